"""What nobody but a person can settle: looking, waiting, and the three answers of a review."""

from dataclasses import replace
from datetime import datetime, timedelta

from order_service.domain.purchase import (
    CANCELLED,
    NEEDS_REVIEW,
    READY,
    VERIFYING,
    Decision,
    Purchase,
    moved,
    taken,
)
from purser_common.errors import Conflict
from purser_events.envelope import Change, Fact
from purser_events.license import MarketplaceOrder, OrderReviewSettled, OrderUncertain


def looked(
    purchase: Purchase, began: datetime, conclusive: bool, now: datetime, verify: timedelta
) -> Decision:
    """Listings did not show the order. After `verify` a person is asked; the looking goes on.

    Kept is when the latest conclusive listings began: `not_placed` needs such from after the wait.
    """
    seen = replace(purchase, absence_shown_at=began if conclusive else None)
    if seen.phase == VERIFYING and now >= seen.attempt.send_by + verify:
        after = moved(seen, NEEDS_REVIEW, due_at=None)
        return after, (OrderUncertain(state=after.request),)
    return seen, ()


def link(
    purchase: Purchase, order: MarketplaceOrder, by: str, reason: str, now: datetime
) -> Decision:
    """A person found the order."""
    _must_be_open(purchase)
    after, facts = taken(purchase, order, "human", now, by)
    return after, (*facts, _settled(purchase, after, "link", by, reason))


def give_up(purchase: Purchase, by: str, reason: str) -> Decision:
    """A person ends the request; the marketplace stays watched for its order."""
    _must_be_open(purchase)
    after = moved(purchase, CANCELLED, due_at=None)
    return after, (_settled(purchase, after, "give_up", by, reason),)


def not_placed(
    purchase: Purchase, by: str, reason: str, now: datetime, quarantine: timedelta
) -> Decision:
    """A person lets the order be sent again. Refused until it is safe (reliability §b.6).

    Safe is: nothing can still arrive or become listed (`send_by` + Q), complete listings begun after
    that do not show the order, and a sender that was paused was ended by the fence.
    """
    _must_be_open(purchase)
    attempt = purchase.attempt
    safe_at = attempt.send_by + quarantine
    if now < safe_at:
        raise Conflict(
            f"the order may still arrive; answer this after {safe_at.isoformat()}",
            code="too_early",
            not_before=safe_at.isoformat(),
        )
    if not attempt.fenced:
        raise Conflict(
            "the sender ran without its pause fence, so it may still send; link an order or give up",
            code="sender_not_fenced",
        )
    if purchase.absence_shown_at is None or purchase.absence_shown_at < safe_at:
        raise Conflict(
            "no complete listing has shown that the order is absent; try again after the next sweep",
            code="absence_not_shown",
        )
    after = moved(purchase, READY, due_at=now)
    return after, (_settled(purchase, after, "not_placed", by, reason),)


def _settled(before: Purchase, after: Purchase, answer: str, by: str, reason: str) -> Fact:
    old, new = before.request.status, after.request.status
    return OrderReviewSettled(
        state=after.request,
        changes=(Change(pointer="/status", before=old, after=new),),
        answer=answer,
        settled_by=by,
        reason=reason,
    )


def _must_be_open(purchase: Purchase) -> None:
    if purchase.phase != NEEDS_REVIEW:
        raise Conflict(
            f"this request is {purchase.request.status}; only needs_review can be settled",
            code="not_in_review",
        )
