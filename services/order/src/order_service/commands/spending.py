"""Spend caps: setting them, and reserving of them before an order may leave."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from order_service.commands.ports import Resellers, Spending
from order_service.domain import spending as rules
from purser_common.errors import Stale, Unavailable
from purser_common.identity import Caller
from purser_common.outbox import Loaded
from purser_common.telemetry import Cause
from purser_events.license import LicenseChangeRequest, SpendCap
from purser_events.values import Money


@dataclass(frozen=True)
class Purse:
    """What caps need. `now` is business time: a day is a day of it, in UTC."""

    spending: Spending
    resellers: Resellers
    now: Callable[[], datetime]


async def set_cap(
    purse: Purse, reseller_id: str, daily: Money | None, expected: int, caller: Caller, cause: Cause
) -> Loaded[SpendCap]:
    """Set, change or lift a reseller's cap; the first one expects sequence 0.

    Raises Forbidden, NotFound for the reseller, Stale, Invalid.
    """
    caller.require("purchaser")
    await purse.resellers.permission(reseller_id, cause)
    before = await purse.spending.cap(reseller_id)
    if (before.sequence if before else 0) != expected:
        raise Stale("the cap")
    state = before.state if before else None
    cap, facts = rules.cap_changed(state, reseller_id, daily, caller.subject, purse.now())
    if before is not None and not facts:
        return before
    return await purse.spending.keep(before, cap, facts, cause)


async def room_for(purse: Purse, request: LicenseChangeRequest) -> None:
    """Raises Conflict when the cap has no room for a new request; nothing is reserved yet."""
    cap = await purse.spending.cap(request.reseller_id)
    if cap is not None:
        spent = await purse.spending.spent(request.reseller_id, purse.now().date())
        rules.must_fit(cap.state, request, spent)


async def reserve(purse: Purse, request: LicenseChangeRequest) -> tuple[str, str] | None:
    """Reserve what the request spends, once however often it is asked; else why not.

    Raises Unavailable when others keep reserving first.
    """
    cap = await purse.spending.cap(request.reseller_id)
    if cap is None or cap.state.daily is None or not rules.adds_seats(request):
        return None
    today = purse.now().date()
    for _ in range(5):
        spent = await purse.spending.spent(request.reseller_id, today)
        refusal = rules.objection(cap.state, request, spent)
        if refusal is not None or request.id in spent.by_request:
            return refusal
        wanted = rules.spend(request)
        assert wanted is not None  # noqa: S101  an unknown one was refused
        if await purse.spending.reserve(
            request.reseller_id, today, spent.seen, request.id, wanted.amount
        ):
            return None
    raise Unavailable("the reseller's spending keeps changing", code="busy")
