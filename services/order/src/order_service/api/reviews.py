"""Review items, and the orders that Purser did not place, over HTTP."""

from collections.abc import Callable
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from order_service.api.requests import Body, Limit, answered
from order_service.commands.requesting import Desk
from order_service.commands.reviewing import Settlement, preview_settlement, settle_review
from order_service.commands.sweeping import Post
from order_service.views import Views
from purser_common.identity import ROLES
from purser_common.web import CallerOf, CauseOf, Page, RequestOf
from purser_events.license import LicenseChangeRequest, ObservedOrder


class SettlementBody(Body):
    """The answer to a purchase that only a person can settle."""

    answer: Literal["link", "not_placed", "give_up"]
    order_id: str | None = Field(default=None, description="With `link`: the marketplace's order.")
    reason: str = Field(min_length=1, max_length=1_000)


class SettlementPreview(BaseModel):
    """What a request would become if it were settled so."""

    request_id: str
    answer: str
    status: str


def add(
    routes: APIRouter,
    desk: Desk,
    post: Post,
    views: Views,
    on_request: Callable[[], None],
) -> None:
    """Add the routes of review items and of orders."""

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
        loaded = await settle_review(post, settlement, caller, cause, keyed)
        on_request()
        return answered(response, loaded)

    @routes.post("/v1/review-items/{id}/settlement-previews", operation_id="preview_settlement")
    async def preview(
        id: str, body: SettlementBody, caller: CallerOf, _: RequestOf
    ) -> SettlementPreview:
        """What settling so would do, or why it is refused; nothing is changed."""
        settlement = Settlement(id, body.answer, body.order_id, body.reason)
        purchase = await preview_settlement(post, settlement, caller)
        return SettlementPreview(request_id=id, answer=body.answer, status=purchase.request.status)

    @routes.get("/v1/tenants/{id}/orders", operation_id="list_observed_orders")
    async def orders(
        id: str, caller: CallerOf, cause: CauseOf, cursor: str | None = None, limit: Limit = 50
    ) -> Page[ObservedOrder]:
        """The tenant's orders at the marketplace that Purser did not place."""
        tenant = await desk.tenants.tenant(id, caller, cause)
        caller.require(*ROLES, customer=tenant.customer_id, tenant=tenant.id)
        return Page[ObservedOrder].model_validate(await views.orders(id, cursor, limit))
