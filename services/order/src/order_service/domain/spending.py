"""How much may be bought a day: what a request spends, and whether the cap leaves room for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from order_service.domain.purchase import CHANGE_QUANTITY
from purser_common.errors import Conflict, FieldError, Invalid
from purser_events.envelope import Change, Fact
from purser_events.license import LicenseChangeRequest, SpendCap, SpendCapChanged
from purser_events.values import Money


@dataclass(frozen=True)
class Spent:
    """What the day's requests of a reseller spend, in the cap's currency.

    `seen` counts the reservations it was read from: one more is only good while there are no others.
    """

    by_request: Mapping[str, Decimal] = field(default_factory=dict)
    seen: int = 0

    @property
    def total(self) -> Decimal:
        """What is spent in all."""
        return sum(self.by_request.values(), Decimal())


def spend(request: LicenseChangeRequest) -> Money | None:
    """What the customer pays for the added seats in one billing period; None: unknown.

    Fewer seats spend nothing. What the reseller pays is not counted: it may be unknown here.
    """
    if request.unit_price is None:
        return None
    started_from = request.expected_quantity or 0 if request.kind == CHANGE_QUANTITY else 0
    added = max(0, request.quantity - started_from)
    return request.unit_price.model_copy(update={"amount": request.unit_price.amount * added})


def adds_seats(request: LicenseChangeRequest) -> bool:
    """Whether a cap is about this request at all."""
    return request.kind != CHANGE_QUANTITY or request.quantity > (request.expected_quantity or 0)


def objection(cap: SpendCap, request: LicenseChangeRequest, spent: Spent) -> tuple[str, str] | None:
    """Why the cap refuses a request: (code, detail); None when there is room. Unknown is not zero."""
    if cap.daily is None or not adds_seats(request) or request.id in spent.by_request:
        return None
    wanted = spend(request)
    if wanted is None or wanted.currency != cap.daily.currency:
        known = "unknown" if wanted is None else f"in {wanted.currency}"
        return "spend_not_comparable", f"the price is {known}, the cap is in {cap.daily.currency}"
    left = cap.daily.amount - spent.total
    if wanted.amount > left:
        return (
            "spend_cap_reached",
            f"it spends {wanted.amount} {wanted.currency} and {left} are left of the day's cap",
        )
    return None


def must_fit(cap: SpendCap, request: LicenseChangeRequest, spent: Spent) -> None:
    """Raises Conflict when the cap leaves no room."""
    refusal = objection(cap, request, spent)
    if refusal:
        code, detail = refusal
        raise Conflict(
            f"the reseller's spend cap refuses it: {detail}",
            code=code,
            missing_step=f"PUT /v1/spend-caps/{request.reseller_id}",
        )


def cap_changed(
    before: SpendCap | None, reseller_id: str, daily: Money | None, by: str, now: datetime
) -> tuple[SpendCap, tuple[Fact, ...]]:
    """Another cap, or none. Raises Invalid for an amount that is not above zero."""
    if daily is not None and daily.amount <= 0:
        raise Invalid(
            "the cap must leave something to spend",
            errors=(FieldError("/daily/amount", "above 0, or null for `daily`: no cap"),),
        )
    after = SpendCap(id=reseller_id, reseller_id=reseller_id, daily=daily, set_by=by, set_at=now)
    old = before.daily if before else None
    if before is not None and old == daily:
        return before, ()
    change = Change(
        pointer="/daily",
        before=old.model_dump(mode="json") if old else None,
        after=daily.model_dump(mode="json") if daily else None,
    )
    return after, (SpendCapChanged(state=after, changes=(change,)),)
