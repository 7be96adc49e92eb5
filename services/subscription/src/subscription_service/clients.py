"""Calls to the marketplace, through the reseller service."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

import httpx

from purser_common.clock import real_now
from purser_common.errors import NotFound, Unavailable
from purser_common.web import Peer, Signed, segment
from purser_events.values import Money
from purser_marketplace import errors, models
from purser_marketplace.client import Marketplace as SimpleApi
from subscription_service.domain.mirror import ENDED, Listed, Reading

T = TypeVar("T")


OWN_COSTS_KEPT = timedelta(minutes=1)
"""How long the kind of a reseller's credentials is believed: it changes with them."""


class Marketplace:
    """The marketplace, through the pass-through of the reseller service."""

    def __init__(self, peer: Peer, http: httpx.AsyncClient) -> None:
        self._peer = peer
        self._http = http
        self._own_costs: dict[str, tuple[datetime, bool]] = {}

    async def own_costs(self, reseller_id: str) -> bool:
        """Whether costs are what the reseller pays, and not a parent's. Raises Unavailable."""
        now = real_now()
        asked_at, own = self._own_costs.get(reseller_id, (now - OWN_COSTS_KEPT, False))
        if now - asked_at >= OWN_COSTS_KEPT:
            path = f"/internal/resellers/{segment(reseller_id)}/prices-shown"
            try:
                own = bool((await self._peer.json("GET", path))["own"])
            except NotFound as error:
                raise Unavailable("there is no such reseller", code="reseller_gone") from error
            self._own_costs[reseller_id] = (now, own)
        return own

    def _api(self, reseller_id: str) -> SimpleApi:
        base = f"{self._peer.url}/internal/marketplace/{reseller_id}"
        return SimpleApi(self._http, base, Signed(self._peer))

    async def subscription(self, reseller_id: str, id: str) -> Reading:
        """One subscription in detail. Raises NotFound, Unavailable."""
        found = await _asked(lambda: self._api(reseller_id).subscription(id))
        costs = tuple(
            Money(currency=p.unit_cost.currency, amount=p.unit_cost.amount) if p.unit_cost else None
            for p in found.products
        )
        return Reading(found.customer_id or "", found.ms_customer_id, _fields(found), costs)

    async def subscriptions(self, reseller_id: str, customer_id: str) -> list[Listed]:
        """Every subscription of a marketplace customer as it is listed. Raises Unavailable."""

        async def walk() -> list[Listed]:
            found = self._api(reseller_id).subscriptions(customer_id=customer_id)
            return [_listed(one) async for one in found]

        return await _asked(walk)


def _listed(row: models.Subscription) -> Listed:
    shown = {
        "name": row.name,
        "status": row.status,
        "auto_renew": row.renewal_status,
        "modified_on": row.last_modified_date,
        "renews_on": row.renewal_date,
        "expires_on": row.expiration_date,
    }
    told = {name: None if value is None else str(value) for name, value in shown.items()}
    return Listed(row.id, told, row.status in ENDED, row.last_modified_date)


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
