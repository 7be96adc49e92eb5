"""The three answers of a review (design §4)."""

from dataclasses import dataclass

from order_service.commands.sweeping import Post, order_shown
from order_service.domain import matching, review
from order_service.domain.purchase import READY, Decision, Purchase
from purser_common import crash
from purser_common.errors import Conflict, FieldError, Invalid, VersionConflict
from purser_common.identity import Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause

ANSWERS = ("link", "not_placed", "give_up")


@dataclass(frozen=True)
class Settlement:
    """What a person says about an order whose outcome is unknown."""

    request_id: str
    answer: str
    order_id: str | None
    reason: str


async def settle_review(
    post: Post,
    settlement: Settlement,
    caller: Caller,
    cause: Cause,
    request: Request,
) -> Loaded[Purchase]:
    """Settle a review item; the same keyed call is settled once.

    Raises NotFound for a foreign request or an order that the marketplace does not show, Conflict when
    it is not in review or sending again is not safe yet, Invalid for an order that is not of it.
    """
    for _ in range(3):
        loaded = await post.requests.load(settlement.request_id)
        state = loaded.state.request
        caller.require("purchaser", customer=state.customer_id, tenant=state.tenant_id)
        if await post.requests.replayed(settlement.request_id, request) is not None:
            return loaded
        purchase, facts = await _decision(post, settlement, caller, loaded.state)
        try:
            saved = await post.requests.save(loaded, purchase, facts, cause, request)
        except VersionConflict:
            continue
        crash.point("order.review.decided")
        if settlement.answer == "link" and settlement.order_id is not None:
            await post.orders.linked(settlement.order_id)
        if purchase.phase == READY:
            await post.accounts.queue(state.reseller_id, post.real_now())
        return saved
    raise Conflict("the request keeps changing; read it again and decide again", code="busy")


async def preview_settlement(post: Post, settlement: Settlement, caller: Caller) -> Purchase:
    """What the request would become; nothing is changed. Raises what `settle_review` would."""
    loaded = await post.requests.load(settlement.request_id)
    state = loaded.state.request
    caller.require("purchaser", customer=state.customer_id, tenant=state.tenant_id)
    purchase, _ = await _decision(post, settlement, caller, loaded.state)
    return purchase


async def _decision(
    post: Post, settlement: Settlement, caller: Caller, purchase: Purchase
) -> Decision:
    by, reason = caller.subject, settlement.reason
    if settlement.answer == "give_up":
        return review.give_up(purchase, by, reason)
    if settlement.answer == "not_placed":
        return review.not_placed(purchase, by, reason, post.real_now(), post.pauses.quarantine)
    if settlement.order_id is None:
        raise Invalid(
            "name the order",
            errors=(FieldError("/order_id", "the marketplace's id of the order to link"),),
        )
    seen = await order_shown(post, purchase.request.reseller_id, settlement.order_id)
    taken_by = await post.requests.by_order(seen.order.id)
    if taken_by is not None and taken_by.state.id != purchase.id:
        raise Conflict(
            "this order belongs to another request",
            code="order_linked",
            request_id=taken_by.state.id,
        )
    if not matching.is_of(purchase.request, seen):
        raise Invalid(
            "this order cannot be of the request",
            code="other_order",
            errors=(
                FieldError(
                    "/order_id", "an order of the same customer, type, product and quantity"
                ),
            ),
        )
    return review.link(purchase, seen.order, by, reason, post.real_now())
