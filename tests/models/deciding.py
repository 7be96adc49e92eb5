"""What the order service and the hop decide, asked of their own code and remembered.

The model holds purchases as numbers. Times are places on a line: every attempt has a Send-By of its own,
and a moment lies before it, after it, or after it by more than Q.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any

from order_service.clients import _meaning
from order_service.commands.sending import record_answer
from order_service.domain import following, review
from order_service.domain import purchase as rules
from order_service.domain.purchase import Answer, Evidence, Purchase
from purser_common.errors import Conflict
from purser_common.outbox import Loaded, Stamp
from purser_common.telemetry import Cause
from purser_events.license import LicenseChangeRequest, MarketplaceOrder
from purser_events.values import Period, ProductIdentity
from reseller_service.domain.sending import Outcome

from .running import finish

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
QUARANTINE = timedelta(minutes=30)
SECOND = timedelta(seconds=1)
EARLY, LATE, SAFE = 0, 1, 2
"""Ages of an attempt: before its Send-By, after it, and after it by more than Q."""

ID = "6f1c7c0e-2d3b-5f4a-9c8d-0123456789ab"
REFUSALS = {"evidence", "too_early", "sender_not_fenced", "absence_not_shown", "not_in_review"}
"""Refusals that are part of the protocol; any other means that the code and its table disagree."""


OUTCOMES = {
    "no": Outcome(sent="no", reason="the reseller service is away"),
    "lost": Outcome(sent="unknown", reason="ReadTimeout"),
    "400": Outcome(sent="yes", status=400, body='{"message": "bad"}'),
    "429": Outcome(sent="yes", status=429, body='{"message": "slow down"}'),
    "504": Outcome(sent="yes", status=504, body="<html>gateway timeout</html>"),
}
"""What an attempt may come to, by name; `201 <id>` is an order."""


@cache
def outcome(name: str, fenced: bool) -> Outcome:
    """The outcome of that name."""
    if name.startswith("201 "):
        body = json.dumps({"id": name[4:], "status": "submitted"})
        return Outcome(sent="yes", status=201, body=body, fenced=fenced)
    return OUTCOMES[name].model_copy(update={"fenced": fenced})


@cache
def named(outcome: Outcome) -> str:
    """The name of an outcome that the hop made; every `no` is alike."""
    if outcome.sent == "no":
        return "no"
    if outcome.sent == "unknown":
        return "lost"
    if outcome.status == 201:
        return f"201 {json.loads(outcome.body or '')['id']}"
    return str(outcome.status)


@cache
def meaning(name: str, fenced: bool = True) -> Answer:
    """What the order service makes of an outcome, as it comes over HTTP."""
    return _meaning(outcome(name, fenced).model_dump(mode="json"))


def send_by(n: int) -> datetime:
    """The Send-By of attempt n: attempts are further apart than Q."""
    return BEGINNING + n * timedelta(hours=1)


def moment(n: int, age: int) -> datetime:
    """A time at which attempt n is of this age."""
    return send_by(n) + (-SECOND, SECOND, QUARANTINE + SECOND)[age]


def order(id: str, status: str = "submitted") -> MarketplaceOrder:
    """An order as the marketplace shows it."""
    return MarketplaceOrder(id=id, status=status)


def requested() -> Purchase:
    """A purchase that nobody has worked on yet."""
    month = Period(type="month", duration=1)
    request = LicenseChangeRequest(
        id=ID,
        kind="buy",
        status="placing",
        marketplace="ingram-micro-xvantage",
        reseller_id="r1",
        customer_id="c1",
        tenant_id="t1",
        entra_tenant_id="e1",
        marketplace_customer_id="1000003",
        product=ProductIdentity(
            mpn="M", vendor="V", subscription_period=month, billing_period=month
        ),
        product_name="Product",
        quantity=5,
        po_number="PO-1",
        po_number_sent="PO-1-AAAA",
        origin="person",
        requested_by="user:requester",
        requested_at=BEGINNING,
    )
    return rules.requested(request, "correlation-1", None, BEGINNING)[0]


def _start_sending(purchase: Purchase) -> Purchase:
    n = len(purchase.attempts) + 1
    return rules.start_sending(purchase, BEGINNING, send_by(n), BEGINNING)


def _recorded(purchase: Purchase, n: int, outcome: str, fenced: bool) -> Purchase:
    """`record_answer` for the attempt n, on ports that answer at once."""
    saved = [purchase]

    async def load(id: str) -> Loaded[Purchase]:
        return Loaded(saved[-1], Stamp(id, 1, 1, 0))

    async def save(loaded: Loaded[Purchase], state: Purchase, *_: Any) -> Loaded[Purchase]:
        saved.append(state)
        return replace(loaded, state=state)

    async def told(*_: Any) -> None:
        return None

    counter: Any = SimpleNamespace(
        requests=SimpleNamespace(load=load, save=save),
        accounts=SimpleNamespace(watch=told, queue=told),
        resellers=SimpleNamespace(unresolved=told, resolved=told),
        times=SimpleNamespace(retry=SECOND),
        real_now=lambda: BEGINNING,
    )
    sent = replace(purchase, attempts=purchase.attempts[:n])
    finish(record_answer(counter, sent, meaning(outcome, fenced), Cause("service:order", "c")))
    return saved[-1]


def _believed(purchase: Purchase, outcome: str, fenced: bool) -> Purchase:
    """An answer taken for one of the latest attempt, whichever it is of."""
    return rules.answered(purchase, meaning(outcome, fenced), BEGINNING, SECOND)[0]


def _pushed(purchase: Purchase, id: str) -> Purchase:
    """Evidence that is pushed beside the state (`Requests.push_evidence`)."""
    found = Evidence(id, "reference", BEGINNING, "service:order")
    return replace(purchase, evidence=(*purchase.evidence, found))


def _looked(purchase: Purchase, began: int, conclusive: bool, age: int) -> Purchase:
    n = purchase.attempt.n
    return review.looked(purchase, moment(n, began), conclusive, moment(n, age), timedelta(0))[0]


def _not_placed(purchase: Purchase, age: int) -> Purchase:
    now = moment(purchase.attempt.n, age)
    return review.not_placed(purchase, "user:purchaser", "looked", now, QUARANTINE)[0]


def _fence_believed(purchase: Purchase) -> Purchase:
    last = replace(purchase.attempt, fenced=True)
    return replace(purchase, attempts=(*purchase.attempts[:-1], last))


def _taken(purchase: Purchase, id: str) -> Purchase:
    return rules.taken(purchase, order(id), "reference", BEGINNING, "service:order")[0]


def _objected(purchase: Purchase) -> Purchase:
    return rules.failed(purchase, "license_not_mapped", "the product's mapping was deleted")[0]


def _completed(purchase: Purchase) -> Purchase:
    found = purchase.request.order
    assert found is not None
    return following.completed(purchase, order(found.id, "completed"), "1000300", 5)[0]


def _order_failed(purchase: Purchase) -> Purchase:
    found = purchase.request.order
    assert found is not None
    return following.followed(purchase, order(found.id, "error"), BEGINNING)[0]


DECISIONS: Mapping[str, Callable[..., Purchase]] = {
    "start_sending": _start_sending,
    "adopted": lambda purchase: rules.adopted(purchase)[0],
    "recorded": _recorded,
    "believed": _believed,
    "pushed": _pushed,
    "taken": _taken,
    "looked": _looked,
    "not_placed": _not_placed,
    "fence_believed": _fence_believed,
    "link": lambda p, id: review.link(p, order(id), "user:a", "seen", BEGINNING)[0],
    "give_up": lambda p: review.give_up(p, "user:a", "enough")[0],
    "objected": _objected,
    "withdrawn": lambda p: rules.withdrawn(p, "user:a", "the tenant was removed")[0],
    "completed": _completed,
    "order_failed": _order_failed,
}


def _place(time: datetime, purchase: Purchase) -> datetime:
    """The moment of the latest attempt that a time lies at; what was before it lies before its Send-By."""
    n = purchase.attempt.n
    return max(
        moment(n, age) for age in (EARLY, LATE, SAFE) if age == EARLY or moment(n, age) <= time
    )


class Book:
    """Purchases by number; what was decided once is remembered."""

    def __init__(self) -> None:
        self._numbers: dict[Purchase, int] = {}
        self._purchases: list[Purchase] = []
        self._decided: dict[tuple[Any, ...], int | None] = {}

    def __getitem__(self, number: int) -> Purchase:
        return self._purchases[number]

    def number(self, purchase: Purchase) -> int:
        """The number of a purchase; what only tells when and how something was learned is made alike."""
        alike = replace(
            purchase,
            reads=0,
            late=False,
            due_at=purchase.due_at and BEGINNING,
            absence_shown_at=purchase.absence_shown_at
            and _place(purchase.absence_shown_at, purchase),
            attempts=tuple(replace(attempt, detail=None) for attempt in purchase.attempts),
            evidence=tuple(replace(one, source="", by="") for one in purchase.evidence),
        )
        if alike not in self._numbers:
            self._numbers[alike] = len(self._purchases)
            self._purchases.append(alike)
        return self._numbers[alike]

    def decide(self, number: int, decision: str, *with_: Any) -> int | None:
        """What the code makes of a purchase; None where it refuses."""
        key = (number, decision, *with_)
        if key not in self._decided:
            try:
                made = DECISIONS[decision](self[number], *with_)
                self._decided[key] = self.number(made)
            except Conflict as refusal:
                if refusal.code not in REFUSALS:
                    raise AssertionError(f"{decision}: {refusal}") from refusal
                self._decided[key] = None
        return self._decided[key]
