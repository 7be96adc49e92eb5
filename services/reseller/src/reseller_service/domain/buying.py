"""The switch that stops buying, for everybody or for one reseller."""

from datetime import datetime

from purser_common.errors import Conflict
from purser_events.buying import BuyingResumed, BuyingStop, BuyingStopFact, BuyingStopped
from purser_events.envelope import Change

ALL = "all"
STOPPED, RESUMED = "stopped", "resumed"


def buying_stopped(
    before: BuyingStop | None, scope: str, reason: str, by: str, now: datetime
) -> tuple[BuyingStop, tuple[BuyingStopFact, ...]]:
    """Stops buying in a scope: `all`, or a reseller's id. Raises Conflict when it is stopped."""
    if before is not None and before.status == STOPPED:
        raise Conflict(
            f"buying is stopped here already: {before.reason}",
            code="buying_already_stopped",
            buying_stop_id=before.id,
        )
    state = BuyingStop(
        id=scope,
        reseller_id=None if scope == ALL else scope,
        reason=reason,
        status=STOPPED,
        stopped_at=now,
        stopped_by=by,
    )
    changes = (
        Change(pointer="/status", before=before.status if before else None, after=STOPPED),
        Change(pointer="/reason", before=before.reason if before else None, after=reason),
    )
    return state, (BuyingStopped(state=state, changes=changes),)


def buying_resumed(
    stop: BuyingStop, by: str, now: datetime
) -> tuple[BuyingStop, tuple[BuyingStopFact, ...]]:
    """Lifts a stop."""
    state = stop.model_copy(update={"status": RESUMED, "resumed_at": now, "resumed_by": by})
    change = Change(pointer="/status", before=STOPPED, after=RESUMED)
    return state, (BuyingResumed(state=state, changes=(change,)),)
