"""Calls to the marketplace, through the reseller service."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from purser_common.errors import NotFound, Unavailable
from purser_common.web import Peer, Signed
from purser_marketplace import errors, models
from purser_marketplace.client import Marketplace as SimpleApi
from subscription_service.domain import Reading

T = TypeVar("T")


class Marketplace:
    """The marketplace, through the pass-through of the reseller service."""

    def __init__(self, peer: Peer, http: httpx.AsyncClient) -> None:
        self._peer = peer
        self._http = http

    def _api(self, reseller_id: str) -> SimpleApi:
        base = f"{self._peer.url}/internal/marketplace/{reseller_id}"
        return SimpleApi(self._http, base, Signed(self._peer))

    async def subscription(self, reseller_id: str, id: str) -> Reading:
        """One subscription in detail. Raises NotFound, Unavailable."""
        found = await _asked(lambda: self._api(reseller_id).subscription(id))
        return Reading(found.customer_id or "", found.ms_customer_id, _fields(found))

    async def subscription_ids(self, reseller_id: str, customer_id: str) -> list[str]:
        """The ids of all subscriptions of a marketplace customer."""

        async def walk() -> list[str]:
            found = self._api(reseller_id).subscriptions(customer_id=customer_id)
            return [one.id async for one in found]

        return await _asked(walk)


def _fields(found: models.Subscription) -> dict[str, object]:
    periods = {
        "subscription_period": _period(found.subscription_period),
        "billing_period": _period(found.billing_period),
    }
    return {
        "name": found.name or found.id,
        "status": found.status,
        "auto_renew": found.renewal_status,
        **periods,
        "created_on": found.creation_date,
        "renews_on": found.renewal_date,
        "expires_on": found.expiration_date,
        "options": [
            {
                "product": {"mpn": p.mpn or "", "vendor": p.vendor or "", **_whole(periods)},
                "name": p.name or p.mpn or "",
                "quantity": p.quantity or 0,
                "unit_price": (
                    {"currency": p.unit_price.currency, "amount": p.unit_price.amount}
                    if p.unit_price
                    else None
                ),
                "vendor_subscription_id": p.vendor_subscription_id,
            }
            for p in found.products
        ],
    }


def _whole(periods: dict[str, dict[str, object] | None]) -> dict[str, dict[str, object]]:
    return {name: period or {"type": "unknown", "duration": 0} for name, period in periods.items()}


def _period(period: models.Period | None) -> dict[str, object] | None:
    return {"type": period.type, "duration": period.duration} if period else None


async def _asked(ask: Callable[[], Awaitable[T]]) -> T:
    """A marketplace error in the words of this system."""
    try:
        return await ask()
    except errors.NotFound as error:
        raise NotFound("the marketplace does not know it") from error
    except errors.MarketplaceError as error:
        raise Unavailable(
            "the marketplace cannot be asked now", code="marketplace_unavailable"
        ) from error
