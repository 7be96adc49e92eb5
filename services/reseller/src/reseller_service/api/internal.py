"""What other services ask: reads, the pass-through to the marketplace, and the hop that sends."""

import json
from collections.abc import Coroutine, Mapping
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel

from purser_common.errors import Malformed, NotFound
from purser_common.web import CallerOf
from purser_events.reseller import LicenseMapping, Reseller
from purser_events.values import Money, Period, ProductIdentity
from reseller_service.commands import mapping, sending
from reseller_service.commands.mapping import Shelf, Terms
from reseller_service.commands.sending import Hop
from reseller_service.domain.closing import Kept
from reseller_service.domain.sending import Attempt, Outcome

PEERS = ("order", "subscription", "tenant-connection")
_READABLE = ("customers", "resellers", "products", "plans", "orders", "subscriptions", "reports")
_POSTABLE = ("orders/estimate", "validation/parameters")
_RETURNED = ("content-type", "retry-after", "x-correlation-id")


class Answered(Protocol):
    """A whole answer of the marketplace."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


class Gate(Protocol):
    """The way to the marketplace."""

    async def customer(self, reseller_id: str, customer_id: str) -> Any: ...
    async def own_prices(self, reseller_id: str) -> bool: ...
    async def forward(
        self,
        reseller_id: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any,
        *,
        urgent: bool,
    ) -> Answered: ...


class Resellers(Protocol):
    """Reads resellers, also those that were deleted."""

    async def tombstone(self, id: str) -> Kept: ...


class Sends(Protocol):
    """Lets a send outlive its caller."""

    async def run(self, work: Coroutine[Any, Any, Outcome]) -> Outcome: ...


class MarketplaceCustomer(BaseModel):
    """A customer as the marketplace shows it."""

    id: str
    name: str


class PricesShown(BaseModel):
    """Whose costs the marketplace shows to a reseller's credentials: its own, or a parent's."""

    own: bool


class SoldProduct(BaseModel):
    """A product that the reseller sells."""

    identity: ProductIdentity
    name: str
    minimum_quantity: int
    maximum_quantity: int
    unit_price: Money | None


class ResellerNow(Reseller):
    """A reseller, also one that was deleted; while it is closing, nothing may refer to it anew."""

    closing: bool


class PurchaseTerms(BaseModel):
    """What buying a product means at a reseller."""

    reseller: ResellerNow
    mapping: LicenseMapping | None
    product: SoldProduct | None


def router(shelf: Shelf, resellers: Resellers, hop: Hop, gate: Gate, sends: Sends) -> APIRouter:
    """The routes for other services."""
    routes = APIRouter(prefix="/internal", include_in_schema=False)
    _read_routes(routes, shelf, resellers, gate)
    _send_routes(routes, hop, sends)
    _pass_through(routes, gate)
    return routes


def _read_routes(routes: APIRouter, shelf: Shelf, resellers: Resellers, gate: Gate) -> None:
    @routes.get("/resellers/{id}")
    async def reseller(id: str, caller: CallerOf) -> ResellerNow:
        caller.require_service(*PEERS)
        return _now(await resellers.tombstone(id))

    @routes.get("/resellers/{id}/marketplace-customers/{customer_id}")
    async def customer(id: str, customer_id: str, caller: CallerOf) -> MarketplaceCustomer:
        caller.require_service("tenant-connection", "order")
        found = await gate.customer(id, customer_id)
        return MarketplaceCustomer(id=found.id, name=found.name)

    @routes.get("/resellers/{id}/prices-shown")
    async def prices_shown(id: str, caller: CallerOf) -> PricesShown:
        caller.require_service("subscription")
        return PricesShown(own=await gate.own_prices(id))

    @routes.get("/resellers/{id}/purchase-terms")
    async def terms(
        id: str,
        caller: CallerOf,
        mpn: str,
        vendor: str,
        subscription_type: str,
        subscription_duration: int,
        billing_type: str,
        billing_duration: int,
        current: bool = True,
    ) -> PurchaseTerms:
        caller.require_service("order")
        product = ProductIdentity(
            mpn=mpn,
            vendor=vendor,
            subscription_period=Period(type=subscription_type, duration=subscription_duration),
            billing_period=Period(type=billing_type, duration=billing_duration),
        )
        terms = await mapping.purchase_terms(shelf, id, product, current)
        return _terms(terms, await resellers.tombstone(id))


def _send_routes(routes: APIRouter, hop: Hop, sends: Sends) -> None:
    @routes.post("/marketplace/{id}/orders")
    async def send(
        id: str,
        request: Request,
        response: Response,
        caller: CallerOf,
        attempt: Annotated[str, Header(alias="Purser-Attempt")],
        send_by: Annotated[str, Header(alias="Purser-Send-By")],
    ) -> Outcome:
        caller.require_service("order")
        named = Attempt.read(attempt, send_by)
        order = await request.body()
        _json_object(order)
        outcome = await sends.run(sending.send_order(hop, id, named, order))
        response.headers["Purser-Sent"] = outcome.sent
        return outcome

    @routes.post("/attempts/{attempt:path}/closure")
    async def closure(attempt: str, response: Response, caller: CallerOf) -> Outcome:
        caller.require_service("order")
        outcome = await sending.close_attempt(hop, attempt)
        response.headers["Purser-Sent"] = outcome.sent
        return outcome


def _pass_through(routes: APIRouter, gate: Gate) -> None:
    @routes.api_route("/marketplace/{id}/{path:path}", methods=["GET", "PATCH", "POST"])
    async def forward(
        id: str,
        path: str,
        request: Request,
        caller: CallerOf,
        priority: Annotated[Literal["reconcile"] | None, Header(alias="Purser-Priority")] = None,
    ) -> Response:
        caller.require_service(*PEERS)
        _require_passable(request.method, path)
        raw = await request.body()
        body = _json_object(raw) if request.method != "GET" else None
        query = dict(request.query_params)
        urgent = priority is not None
        answered = await gate.forward(id, request.method, path, query, body, urgent=urgent)
        headers = {name: answered.headers[name] for name in _RETURNED if name in answered.headers}
        return Response(answered.body, answered.status, headers)


def _require_passable(method: str, path: str) -> None:
    """Orders have their own way out; tokens and everything unknown have none."""
    first, *rest = path.split("/")
    plain = all(part not in ("", ".", "..") for part in rest)
    if method == "POST" and path in _POSTABLE:
        return
    if method != "POST" and first in _READABLE and plain:
        return
    raise NotFound("the pass-through does not offer this")


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not valid JSON", code="malformed_json") from error
    if not isinstance(body, dict):
        raise Malformed("the body is not a JSON object", code="malformed_json")
    return body


def _now(kept: Kept) -> ResellerNow:
    return ResellerNow(**kept.reseller.model_dump(), closing=kept.closing is not None)


def _terms(terms: Terms, kept: Kept) -> PurchaseTerms:
    sold = terms.product
    product = sold and SoldProduct(
        identity=sold.product,
        name=sold.name,
        minimum_quantity=sold.minimum_quantity,
        maximum_quantity=sold.maximum_quantity,
        unit_price=terms.unit_price,
    )
    return PurchaseTerms(reseller=_now(kept), mapping=terms.mapping, product=product)
