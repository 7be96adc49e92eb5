"""Calls to the reseller service (and through it to the marketplace) and to tenant-connection."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from order_service.domain.items import Search, StoreItem
from order_service.domain.offers import (
    Listed,
    OrderedLine,
    Permission,
    Quote,
    Seen,
    Terms,
    seat_price,
)
from order_service.domain.purchase import Answer, NotSent, Purchase, Refused, Taken, Unknown
from purser_common import crash
from purser_common.errors import Conflict, NotFound, Problem, Unavailable
from purser_common.identity import Caller
from purser_common.telemetry import Cause
from purser_common.web import Peer, Signed, segment
from purser_events.license import MarketplaceOrder
from purser_events.reseller import LicenseMapping, Reseller
from purser_events.subscription import Subscription
from purser_events.tenant import Tenant
from purser_events.values import Money, ProductIdentity
from purser_marketplace import errors, models, placing
from purser_marketplace.client import Marketplace as SimpleApi

T = TypeVar("T")
CATALOGUE_WITHIN = 25.0
"""Seconds that a catalogue may take to be read; less than the gateway waits."""


class Resellers:
    """The reseller service."""

    def __init__(self, peer: Peer, http: httpx.AsyncClient, answer_within: float) -> None:
        self._peer = peer
        self._http = http
        self._answer_within = answer_within

    async def terms(
        self,
        reseller_id: str,
        product: ProductIdentity,
        caller: Caller | None,
        cause: Cause,
        current: bool = True,
    ) -> Terms:
        """What buying the product means at this reseller; `current`: by the live catalogue only."""
        params = {
            "current": current,
            "mpn": product.mpn,
            "vendor": product.vendor,
            "subscription_type": product.subscription_period.type,
            "subscription_duration": product.subscription_period.duration,
            "billing_type": product.billing_period.type,
            "billing_duration": product.billing_period.duration,
        }
        path = f"/internal/resellers/{reseller_id}/purchase-terms"
        found = await self._peer.json("GET", path, caller=caller, cause=cause, params=params)
        sold, mapping = found["product"], found["mapping"]
        price = sold["unit_price"] if sold else None
        return Terms(
            reseller=Reseller.model_validate(found["reseller"]),
            mapping=LicenseMapping.model_validate(mapping) if mapping else None,
            product_name=sold["name"] if sold else None,
            minimum_quantity=sold["minimum_quantity"] if sold else 1,
            maximum_quantity=sold["maximum_quantity"] if sold else 1,
            unit_price=Money.model_validate(price) if price else None,
        )

    async def gone(self, reseller_id: str, cause: Cause) -> bool:
        """Whether the reseller was deleted."""
        path = f"/internal/resellers/{reseller_id}"
        return bool((await self._peer.json("GET", path, cause=cause))["status"] == "deleted")

    async def permission(self, reseller_id: str, cause: Cause) -> Permission:
        """Whether the account may send now."""
        return _permission(
            await self._peer.json("GET", f"/internal/accounts/{reseller_id}", cause=cause)
        )

    async def take(self, reseller_id: str, attempt_id: str, cause: Cause) -> Permission:
        """Whether this attempt may be sent now; if so it has one of the account's places."""
        path = f"/internal/accounts/{reseller_id}/sends/{attempt_id}"
        return _permission(await self._peer.json("PUT", path, cause=cause))

    async def unresolved(self, purchase: Purchase, cause: Cause) -> None:
        """The account's breaker counts this request for a while; to be said again while it lasts."""
        await self._peer.json("PUT", _unresolved(purchase), cause=cause)

    async def resolved(self, purchase: Purchase, cause: Cause) -> None:
        """The account's breaker no longer counts this request."""
        await self._peer.json("DELETE", _unresolved(purchase), cause=cause)

    async def send(self, purchase: Purchase, order: dict[str, Any], cause: Cause) -> Answer | None:
        """Hand the order to the hop that sends, once; None when its answer went missing.

        A connect failure is definitely not sent; any other missing answer is for `close` to settle.
        """
        url = f"{self._peer.url}/internal/marketplace/{purchase.request.reseller_id}/orders"
        headers = {
            **self._peer.headers(None, cause),
            "Content-Type": "application/json",
            "Purser-Attempt": purchase.attempt_id,
            "Purser-Send-By": purchase.attempt.send_by.isoformat(),
        }
        sent = await placing.send_order_once(
            url,
            headers,
            json.dumps(order).encode(),
            answer_within=self._answer_within,
            on_sent=lambda: crash.point("order.send.left"),
        )
        if sent.outcome == "no":
            return NotSent("the reseller service is away")
        if sent.outcome == "unknown" or sent.status != 200 or sent.body is None:
            return None
        return _meaning(json.loads(sent.body))

    async def close(self, purchase: Purchase, cause: Cause) -> Answer:
        """What became of the latest attempt; one that never reached the hop is closed for ever."""
        path = f"/internal/attempts/{quote(purchase.attempt_id)}/closure"
        return _meaning(await self._peer.json("POST", path, cause=cause))


def _permission(found: dict[str, Any]) -> Permission:
    return Permission(found["sending_allowed"], found["reason"], found["retry_after_seconds"])


def _unresolved(purchase: Purchase) -> str:
    return f"/internal/accounts/{purchase.request.reseller_id}/unresolved/{purchase.id}"


def _meaning(outcome: dict[str, Any]) -> Answer:
    """What the hop's answer means (reliability §b.5 step 6)."""
    if outcome["sent"] == "no":
        return NotSent(outcome.get("reason") or "not sent")
    fenced = bool(outcome.get("fenced"))
    if outcome["sent"] != "yes" or outcome.get("status") is None:
        return Unknown(outcome.get("reason") or "no answer", fenced)
    meaning = placing.classify(outcome["status"], (outcome.get("body") or "").encode())
    match meaning:
        case placing.Placed():
            return Taken(_order(meaning.order))
        case placing.DefinitelyRefused():
            return Refused(meaning.retryable, meaning.message)
        case _:
            return Unknown(meaning.reason, fenced, meaning.conflict_order_number)


class Storehouse:
    """The catalogues of the resellers, as the reseller service keeps them."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def items(
        self, reseller_id: str, wanted: Search, costs: bool, caller: Caller, cause: Cause
    ) -> tuple[list[StoreItem], str | None]:
        """A page of a reseller's products and the next cursor. Raises NotFound, Unavailable."""
        fields = ("q", "vendor", "mpn", "mapped", "cursor", "limit")
        given = {name: getattr(wanted, name) for name in fields}
        params = {"costs": costs} | {n: value for n, value in given.items() if value is not None}
        path = f"/internal/resellers/{segment(reseller_id)}/store-items"
        page = await self._read(path, params, caller, cause)
        return [StoreItem.model_validate(item) for item in page["items"]], page["next"]

    async def item(
        self, reseller_id: str, item_id: str, costs: bool, caller: Caller, cause: Cause
    ) -> StoreItem:
        """One product. Raises NotFound, Unavailable."""
        path = f"/internal/resellers/{segment(reseller_id)}/store-items/{segment(item_id)}"
        return StoreItem.model_validate(await self._read(path, {"costs": costs}, caller, cause))

    async def reseller(self, reseller_id: str, cause: Cause) -> Reseller:
        """A reseller. Raises NotFound, Unavailable."""
        path = f"/internal/resellers/{segment(reseller_id)}"
        return Reseller.model_validate(await self._peer.json("GET", path, cause=cause))

    async def _read(self, path: str, params: dict[str, Any], caller: Caller, cause: Cause) -> Any:
        """A catalogue that was never read is read first, which takes a while."""
        return await self._peer.json(
            "GET", path, caller=caller, cause=cause, params=params, timeout=CATALOGUE_WITHIN
        )


class Tenants:
    """The tenant-connection service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def tenant(self, tenant_id: str, caller: Caller | None, cause: Cause) -> Tenant:
        """A tenant. Raises NotFound, Conflict while it or its connection is about to be let go of."""
        path = f"/internal/tenants/{quote(tenant_id, safe='')}"
        found = await self._peer.json("GET", path, caller=caller, cause=cause)
        if found["closing"]:
            raise Conflict(
                "the tenant is just being disconnected, moved or removed; try again in a moment",
                code="tenant_closing",
                retry_after=2.0,
            )
        return Tenant.model_validate(found["state"])


class Subscriptions:
    """The subscription service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def current(self, id: str, caller: Caller, cause: Cause) -> Subscription:
        """A subscription, read again first. Raises NotFound, also for a foreign one."""
        path = f"/v1/subscriptions/{quote(id, safe='')}"
        found = await self._peer.json(
            "GET", path, caller=caller, cause=cause, params={"refresh": "true"}
        )
        return Subscription.model_validate(found)


class Marketplace:
    """The marketplace, through the pass-through of the reseller service.

    For reconciling, reads come out of the part of the account's budget that is kept for it.
    """

    def __init__(
        self, peer: Peer, http: httpx.AsyncClient, *, for_reconciling: bool = False
    ) -> None:
        self._peer = peer
        self._http = http
        self._headers = {"Purser-Priority": "reconcile"} if for_reconciling else {}

    def _api(self, reseller_id: str) -> SimpleApi:
        base = f"{self._peer.url}/internal/marketplace/{reseller_id}"
        return SimpleApi(self._http, base, Signed(self._peer, self._headers))

    async def order(self, reseller_id: str, order_id: str) -> Seen:
        """One order in detail. Raises NotFound."""
        found = await _asked(lambda: self._api(reseller_id).order(order_id))
        lines = (line.subscription_id for line in found.products)
        ids = dict.fromkeys(id for id in (found.subscription_id, *lines) if id)
        return Seen(
            order=_order(found),
            type=found.type,
            customer_id=found.customer_id or "",
            po_number=found.po_number,
            subscription_ids=tuple(ids),
            ordered_at=found.creation_date,
            lines=tuple(OrderedLine(line.mpn, _whole(line.quantity)) for line in found.products),
        )

    async def listed(self, reseller_id: str, since: datetime) -> list[Listed]:
        """Every order since; all pages, or it raises."""
        return await _asked(lambda: _rows(self._api(reseller_id).orders(created_from=since)))

    async def numbered(self, reseller_id: str, order_number: str) -> list[Listed]:
        """The orders with this number, however old."""
        return await _asked(lambda: _rows(self._api(reseller_id).orders(order_number=order_number)))

    async def seats(
        self, reseller_id: str, subscription_id: str, product: ProductIdentity
    ) -> int | None:
        """Seats of the product in an active subscription; None while it is not active or known."""
        try:
            found = await _asked(lambda: self._api(reseller_id).subscription(subscription_id))
        except NotFound:
            return None
        if found.status != "active":
            return None
        seats = [p.quantity for p in found.products if p.mpn == product.mpn]
        return seats[0] if len(seats) == 1 else None

    async def estimate(
        self, reseller_id: str, customer_id: str, product: ProductIdentity, quantity: int
    ) -> Quote:
        """The marketplace's own price for a purchase."""
        order = models.NewOrder.sales(
            customer_id=customer_id,
            po_number=None,
            mpn=product.mpn,
            vendor=product.vendor,
            subscription_period=models.Period(**product.subscription_period.model_dump()),
            billing_period=models.Period(**product.billing_period.model_dump()),
            quantity=quantity,
        )
        found = await _asked(lambda: self._api(reseller_id).estimate(order))
        return quote_of(found, customer_id, product, quantity)


def quote_of(
    found: models.Estimate, customer_id: str, product: ProductIdentity, quantity: int
) -> Quote:
    """What an estimate says.

    The price is taken only from the level of the chain that names the customer as the buyer: `total` and
    the lines' prices may be another level's, such as the reseller's cost. Of several products, which
    the marketplace adds by itself, no level tells the price of one.
    """
    lines = tuple(
        (line.name or line.mpn or "", line.quantity, _money(line.extended_price))
        for line in found.lines
    )
    paid = [t for one in found.subscriptions for t in one.tcvs if t.buyer_id == customer_id]
    price = None
    if len(lines) == len(paid) == 1:
        once = paid[0].plan_period.total if paid[0].plan_period else None
        price = seat_price(product, quantity, _money(once), _money(paid[0].total))
    return Quote(_money(found.total), lines, price)


async def _rows(orders: AsyncIterator[models.Order]) -> list[Listed]:
    return [Listed(o.id, o.status, o.customer_id, o.creation_date) async for o in orders]


def _whole(number: Decimal | None) -> int | None:
    return int(number) if number is not None and number == int(number) else None


def _order(order: models.Order) -> MarketplaceOrder:
    return MarketplaceOrder(id=order.id, number=order.order_number, status=order.status)


def _money(money: models.Money | None) -> Money | None:
    return Money(currency=money.currency, amount=money.amount) if money else None


async def _asked(ask: Callable[[], Awaitable[T]]) -> T:
    """A marketplace error in the words of this system."""
    try:
        return await ask()
    except errors.NotFound as error:
        raise NotFound("the marketplace does not know it") from error
    except errors.Refused as error:
        raise Unprocessed(f"the marketplace refused: {error.message}") from error
    except errors.MarketplaceError as error:
        raise Unavailable(
            "the marketplace cannot be asked now", code="marketplace_unavailable"
        ) from error


class Unprocessed(Problem):
    """409: the marketplace refused what it was asked."""

    status = 409
    default_code = "refused_by_marketplace"
