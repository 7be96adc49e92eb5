"""Licence change requests over HTTP."""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from order_service.commands.requesting import (
    Desk,
    NewTotal,
    Want,
    preview_purchase,
    request_change,
    request_purchase,
)
from order_service.domain.offers import Quote, Terms
from order_service.domain.purchase import Purchase
from order_service.views import Views
from purser_common.errors import FieldError, Invalid, NotFound
from purser_common.identity import ROLES
from purser_common.outbox import Loaded
from purser_common.web import CallerOf, CauseOf, RequestOf, answer, etag_of
from purser_events.license import LicenseChangeRequest
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
    unit_price: Money | None = Field(
        description="What the customer pays per seat and billing period; null: unknown."
    )
    total: Money | None = Field(description="By the marketplace's estimate.")
    lines: list[PreviewLine]
    mapped: bool = Field(description="False: map the product before it can be bought.")
    sku_part_number: str | None


class LicenseChangeBody(Body):
    """A wanted change of licences."""

    tenant_id: str
    kind: Literal["buy", "change_quantity"]
    product: ProductIdentity
    quantity: int = Field(
        strict=True, ge=1, le=1_000_000, description="Seats to buy, or the new total of a change."
    )
    subscription_id: str | None = Field(
        default=None, description="With `change_quantity`: the subscription to change."
    )
    expected_quantity: int | None = Field(
        default=None,
        strict=True,
        ge=0,
        description="With `change_quantity`: the seats now; with any other number nothing is sent.",
    )
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
    named_order: str | None = Field(
        default=None, description="Number of an order that the answer named as in the way."
    )


class Evidence(BaseModel):
    """What showed an order of the request."""

    order_id: str
    source: str = Field(description="`answer`, `reference`, `fingerprint` or `human`.")
    at: str
    by: str


class Execution(BaseModel):
    """How far the request has come, in the purchase protocol's own words."""

    phase: str
    attempts: list[Attempt]
    evidence: list[Evidence]
    absence_shown_at: str | None = Field(
        description="When the latest complete listings began that did not show the order."
    )


class LicenseChangeDetail(LicenseChangeRequest):
    """A request with its execution."""

    execution: Execution | None = Field(
        description="Null only where the gateway stands in for this service."
    )


def add(routes: APIRouter, desk: Desk, views: Views, on_request: Callable[[], None]) -> None:
    """Add the routes of licence change requests."""

    @routes.post("/v1/purchase-previews", operation_id="preview_purchase")
    async def preview(
        body: PurchasePreviewRequest, caller: CallerOf, cause: CauseOf, _: RequestOf
    ) -> PurchasePreview:
        """What a purchase would cost, by the marketplace's own estimate."""
        terms, quote = await preview_purchase(
            desk, body.tenant_id, body.product, body.quantity, caller, cause
        )
        return shown_preview(body.product, body.quantity, terms, quote)

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
        """Ask for licences to be bought, or for other seats. Follow the request at `Location`."""
        want = _want(body)
        if isinstance(want, NewTotal):
            loaded = await request_change(desk, want, caller, cause, keyed)
        else:
            loaded = await request_purchase(desk, want, caller, cause, keyed)
        on_request()
        response.headers["Location"] = f"/v1/license-change-requests/{loaded.state.id}"
        return answered(response, loaded)

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


def shown_preview(
    product: ProductIdentity, quantity: int, terms: Terms, quote: Quote
) -> PurchasePreview:
    """What a purchase would cost, as the answer to whoever asked."""
    return PurchasePreview(
        product_name=terms.product_name or product.mpn,
        quantity=quantity,
        minimum_quantity=terms.minimum_quantity,
        maximum_quantity=terms.maximum_quantity,
        unit_price=terms.unit_price,
        total=quote.total,
        lines=[PreviewLine(name=n, quantity=q, price=p) for n, q, p in quote.lines],
        mapped=terms.mapping is not None,
        sku_part_number=terms.mapping.sku_part_number if terms.mapping else None,
    )


def _want(body: LicenseChangeBody) -> Want | NewTotal:
    """What is wanted. Raises Invalid for a field that the kind needs or does not know."""
    about = {
        "/subscription_id": body.subscription_id,
        "/expected_quantity": body.expected_quantity,
    }
    if body.kind == "buy":
        wrong = [name for name, value in about.items() if value is not None]
        remedy = "leave it out when buying"
    else:
        wrong = [name for name, value in about.items() if value is None]
        remedy = "a change of seats needs it"
    if wrong:
        errors = tuple(FieldError(name, remedy) for name in wrong)
        raise Invalid(f"the fields do not fit the kind {body.kind}", errors=errors)
    if body.subscription_id is None or body.expected_quantity is None:
        return Want(body.tenant_id, body.product, body.quantity, body.po_number, body.comment)
    return NewTotal(
        body.tenant_id,
        body.subscription_id,
        body.product,
        body.quantity,
        body.expected_quantity,
        body.po_number,
        body.comment,
    )


def answered(response: Response, loaded: Loaded[Purchase]) -> LicenseChangeRequest:
    """A request as the answer to a command."""
    subject = f"license-change-request/{loaded.state.id}"
    return answer(response, subject, loaded.sequence, loaded.state.request)
