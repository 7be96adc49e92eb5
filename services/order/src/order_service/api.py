"""Licence change requests, review items and orders over HTTP."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from order_service.commands.requesting import Desk, Want, preview_purchase, request_purchase
from order_service.commands.reviewing import Settlement, settle_review
from order_service.commands.watching import Post
from order_service.domain.purchase import Purchase
from order_service.views import Views
from purser_common.errors import NotFound
from purser_common.identity import ROLES
from purser_common.outbox import Loaded
from purser_common.web import CallerOf, CauseOf, Page, RequestOf, answer, etag_of
from purser_events.license import LicenseChangeRequest, ObservedOrder
from purser_events.values import Money, ProductIdentity

Limit = Annotated[int, Query(ge=1, le=200)]


class Body(BaseModel):
    """What a caller sends; an unknown field is an error that names it."""

    model_config = ConfigDict(extra="forbid")


class PurchasePreviewRequest(Body):
    """What might be bought."""

    tenant_id: str
    product: ProductIdentity
    quantity: int = Field(strict=True, ge=1, le=1_000_000)


class PreviewLine(BaseModel):
    """One line of an estimate; products that the marketplace adds by itself show here too."""

    name: str
    quantity: Decimal | None
    price: Money | None


class PurchasePreview(BaseModel):
    """What a purchase would cost; nothing was ordered."""

    product_name: str
    quantity: int
    minimum_quantity: int
    maximum_quantity: int
    unit_price: Money | None = Field(description="What the customer pays per seat.")
    total: Money | None = Field(description="By the marketplace's estimate.")
    lines: list[PreviewLine]
    mapped: bool = Field(description="False: map the product before it can be bought.")
    sku_part_number: str | None


class LicenseChangeBody(Body):
    """A wanted change of licences."""

    tenant_id: str
    kind: Literal["buy"]
    product: ProductIdentity
    quantity: int = Field(strict=True, ge=1, le=1_000_000, description="Seats to buy.")
    po_number: str = Field(description="The reseller's purchase order number (R73).")
    comment: str | None = Field(default=None, max_length=1_000)


class Attempt(BaseModel):
    """One try to send the order."""

    n: int
    started_at: str
    send_by: str
    outcome: str | None
    detail: str | None
    fenced: bool


class Evidence(BaseModel):
    """What showed an order of the request."""

    order_id: str
    source: str = Field(description="`answer`, `reference` or `human`.")
    at: str
    by: str


class Execution(BaseModel):
    """How far the request has come, in the purchase protocol's own words."""

    phase: str
    attempts: list[Attempt]
    evidence: list[Evidence]
    absent_since: str | None


class LicenseChangeDetail(LicenseChangeRequest):
    """A request with its execution."""

    execution: Execution


class SettlementBody(Body):
    """The answer to a purchase that only a person can settle."""

    answer: Literal["link", "not_placed", "give_up"]
    order_id: str | None = Field(default=None, description="With `link`: the marketplace's order.")
    reason: str = Field(min_length=1, max_length=1_000)


def router(
    desk: Desk, post: Post, views: Views, quarantine: timedelta, on_request: Callable[[], None]
) -> APIRouter:
    """The order service's routes."""
    routes = APIRouter()
    _add_requests(routes, desk, views, on_request)
    _add_reviews(routes, desk, post, views, quarantine, on_request)
    return routes


def _add_requests(
    routes: APIRouter, desk: Desk, views: Views, on_request: Callable[[], None]
) -> None:
    @routes.post("/v1/purchase-previews", operation_id="preview_purchase")
    async def preview(
        body: PurchasePreviewRequest, caller: CallerOf, cause: CauseOf, _: RequestOf
    ) -> PurchasePreview:
        """What a purchase would cost, by the marketplace's own estimate."""
        terms, quote = await preview_purchase(
            desk, body.tenant_id, body.product, body.quantity, caller, cause
        )
        return PurchasePreview(
            product_name=terms.product_name or body.product.mpn,
            quantity=body.quantity,
            minimum_quantity=terms.minimum_quantity,
            maximum_quantity=terms.maximum_quantity,
            unit_price=terms.unit_price,
            total=quote.total,
            lines=[PreviewLine(name=n, quantity=q, price=p) for n, q, p in quote.lines],
            mapped=terms.mapping is not None,
            sku_part_number=terms.mapping.sku_part_number if terms.mapping else None,
        )

    @routes.post(
        "/v1/license-change-requests", operation_id="request_license_change", status_code=202
    )
    async def request(
        body: LicenseChangeBody,
        caller: CallerOf,
        cause: CauseOf,
        keyed: RequestOf,
        response: Response,
    ) -> LicenseChangeRequest:
        """Ask for licences to be bought. Follow the request at `Location`."""
        want = Want(body.tenant_id, body.product, body.quantity, body.po_number, body.comment)
        loaded = await request_purchase(desk, want, caller, cause, keyed)
        on_request()
        response.headers["Location"] = f"/v1/license-change-requests/{loaded.state.id}"
        return _answered(response, loaded)

    @routes.get("/v1/license-change-requests", operation_id="list_license_change_requests")
    async def requests(
        caller: CallerOf, tenant_id: str | None = None, cursor: str | None = None, limit: Limit = 50
    ) -> Page[LicenseChangeRequest]:
        """Requests within the caller's scope, newest first."""
        return Page[LicenseChangeRequest].model_validate(
            await views.requests(caller, tenant_id, cursor, limit)
        )

    @routes.get("/v1/license-change-requests/{id}", operation_id="get_license_change_request")
    async def one(id: str, caller: CallerOf, response: Response) -> LicenseChangeDetail:
        """One request with its execution."""
        found = await views.request(id)
        if found is None:
            raise NotFound("there is no such licence change request")
        state = found["body"]
        caller.require(*ROLES, customer=state["customer_id"], tenant=state["tenant_id"])
        response.headers["ETag"] = etag_of(found["sequence"])
        return LicenseChangeDetail.model_validate(state)


def _add_reviews(
    routes: APIRouter,
    desk: Desk,
    post: Post,
    views: Views,
    quarantine: timedelta,
    on_request: Callable[[], None],
) -> None:
    @routes.get("/v1/review-items", operation_id="list_review_items")
    async def items(
        caller: CallerOf, cursor: str | None = None, limit: Limit = 50
    ) -> Page[LicenseChangeRequest]:
        """Requests that only a person can settle, newest first."""
        return Page[LicenseChangeRequest].model_validate(
            await views.review_items(caller, cursor, limit)
        )

    @routes.post("/v1/review-items/{id}/settlements", operation_id="settle_review")
    async def settle(
        id: str,
        body: SettlementBody,
        caller: CallerOf,
        cause: CauseOf,
        keyed: RequestOf,
        response: Response,
    ) -> LicenseChangeRequest:
        """Link the order, give up, or let it be sent again once that is safe."""
        settlement = Settlement(id, body.answer, body.order_id, body.reason)
        loaded = await settle_review(post, quarantine, settlement, caller, cause, keyed)
        on_request()
        return _answered(response, loaded)

    @routes.get("/v1/tenants/{id}/orders", operation_id="list_observed_orders")
    async def orders(
        id: str, caller: CallerOf, cause: CauseOf, cursor: str | None = None, limit: Limit = 50
    ) -> Page[ObservedOrder]:
        """The tenant's orders at the marketplace that Purser did not place."""
        tenant = await desk.tenants.tenant(id, caller, cause)
        caller.require(*ROLES, customer=tenant.customer_id, tenant=tenant.id)
        return Page[ObservedOrder].model_validate(await views.orders(id, cursor, limit))


def _answered(response: Response, loaded: Loaded[Purchase]) -> LicenseChangeRequest:
    subject = f"license-change-request/{loaded.state.id}"
    return answer(response, subject, loaded.sequence, loaded.state.request)
