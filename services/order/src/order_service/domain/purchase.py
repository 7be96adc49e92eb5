"""The purchase protocol: write the intent, send at most once, observe, and never guess.

States and rules are those of the published protocol (reliability §b.4): an outcome that is neither
definitely placed nor definitely refused is VERIFYING, and what listing cannot settle waits for a person.
"""

import base64
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from purser_common.errors import Conflict, FieldError, Invalid
from purser_events.envelope import Fact
from purser_events.license import (
    Failure,
    LicenseChangeRequest,
    LicenseChangeRequested,
    LicensePurchased,
    MarketplaceOrder,
    OrderCompleted,
    OrderDuplicateSuspected,
    OrderFailed,
    OrderPlaced,
    OrderUncertain,
)

READY, SENDING, VERIFYING, NEEDS_REVIEW = "ready", "sending", "verifying", "needs_review"
PLACED, COMPLETED, FAILED = "placed", "completed", "failed"
CANCELLED, DUPLICATE_SUSPECTED = "cancelled", "duplicate_suspected"

MAX_ATTEMPTS = 3

TRANSITIONS: Mapping[str, frozenset[str]] = {
    READY: frozenset({SENDING, FAILED, PLACED, DUPLICATE_SUSPECTED}),
    SENDING: frozenset({READY, VERIFYING, PLACED, FAILED, DUPLICATE_SUSPECTED}),
    VERIFYING: frozenset({NEEDS_REVIEW, PLACED, DUPLICATE_SUSPECTED}),
    NEEDS_REVIEW: frozenset({PLACED, READY, CANCELLED, DUPLICATE_SUSPECTED}),
    PLACED: frozenset({COMPLETED, FAILED, DUPLICATE_SUSPECTED}),
    COMPLETED: frozenset({DUPLICATE_SUSPECTED}),
    FAILED: frozenset({PLACED, DUPLICATE_SUSPECTED}),
    CANCELLED: frozenset({PLACED, DUPLICATE_SUSPECTED}),
    DUPLICATE_SUSPECTED: frozenset(),
}
"""Every step that a request may take; anything else is a defect."""

STATUS: Mapping[str, str] = {READY: "placing", SENDING: "placing", VERIFYING: "uncertain"}
"""What others are told of a phase, where it differs from the phase's name."""

HOLDS_SLOT = frozenset({READY, SENDING, VERIFYING, NEEDS_REVIEW, PLACED})

_PO = re.compile(r"[A-Za-z0-9 ._/-]{1,32}")


@dataclass(frozen=True)
class Attempt:
    """One try to send the order. `outcome` is empty until something is known."""

    n: int
    started_at: datetime
    send_by: datetime
    outcome: str | None = None
    detail: str | None = None
    fenced: bool = False


@dataclass(frozen=True)
class Evidence:
    """Something that shows an order of this request at the marketplace."""

    order_id: str
    source: str
    at: datetime
    by: str


@dataclass(frozen=True)
class Purchase:
    """A licence change request with what its execution needs to know."""

    request: LicenseChangeRequest
    phase: str
    correlation_id: str
    traceparent: str | None = None
    attempts: tuple[Attempt, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    reads: int = 0
    absent_since: datetime | None = None
    due_at: datetime | None = None

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.id

    @property
    def slot(self) -> str | None:
        """Keeps a second purchase of the same product for the same tenant out while this is open."""
        if self.phase not in HOLDS_SLOT:
            return None
        return buy_slot(self.request)

    @property
    def attempt(self) -> Attempt:
        """The latest attempt."""
        return self.attempts[-1]

    @property
    def attempt_id(self) -> str:
        """Names the latest attempt to the service that sends it."""
        return f"{self.id}/{self.attempt.n}"


Decision = tuple[Purchase, tuple[Fact, ...]]


@dataclass(frozen=True)
class NotSent:
    """The order definitely did not leave."""

    reason: str
    retry_after: float | None = None


@dataclass(frozen=True)
class Refused:
    """The marketplace definitely refused the order."""

    retryable: bool
    detail: str


@dataclass(frozen=True)
class Taken:
    """The marketplace took the order."""

    order: MarketplaceOrder


@dataclass(frozen=True)
class Unknown:
    """Nobody can say whether the order was taken."""

    reason: str
    fenced: bool = False


Answer = NotSent | Refused | Taken | Unknown


def buy_slot(request: LicenseChangeRequest) -> str:
    """The tenant and the product, which may have one open purchase at most."""
    p = request.product
    periods = (p.subscription_period, p.billing_period)
    return "|".join(
        (request.tenant_id, p.vendor, p.mpn, *(f"{x.duration}{x.type}" for x in periods))
    )


def checked_po(po_number: str) -> str:
    """The purchase order number, or Invalid for one that the marketplace may not take (R73)."""
    if not _PO.fullmatch(po_number) or po_number != po_number.strip():
        raise Invalid(
            "the purchase order number is not usable",
            code="invalid_po_number",
            errors=(FieldError("/po_number", "1 to 32 of letters, digits, space and . _ / -"),),
        )
    return po_number


def po_to_send(po_number: str, request_id: str, suffix: bool) -> str:
    """What the marketplace is given: with the suffix it names exactly one request (design §4)."""
    if not suffix:
        return po_number
    mark = base64.b32encode(uuid.UUID(request_id).bytes).decode()[:10]
    return f"{po_number}-{mark}"


def checked_quantity(quantity: int, minimum: int, maximum: int) -> int:
    """The quantity, or Invalid outside the product's limits (N17)."""
    lowest = max(1, minimum)
    if not lowest <= quantity <= maximum:
        raise Invalid(
            "the quantity is outside what this product allows",
            code="invalid_quantity",
            errors=(FieldError("/quantity", f"choose {lowest} to {maximum}"),),
        )
    return quantity


def requested(
    request: LicenseChangeRequest, correlation_id: str, traceparent: str | None, due_at: datetime
) -> Decision:
    """A new request that needs nobody's approval is ready to be sent."""
    purchase = Purchase(request, READY, correlation_id, traceparent, due_at=due_at)
    return purchase, (LicenseChangeRequested(state=request),)


def start_sending(
    purchase: Purchase, now: datetime, send_by: datetime, lease: datetime
) -> Purchase:
    """The intent that is written before anything leaves. Raises Conflict when an order was seen."""
    if purchase.evidence:
        raise Conflict("an order of this request was seen; it is not sent again", code="evidence")
    attempt = Attempt(len(purchase.attempts) + 1, now, send_by)
    moved = _to(purchase, SENDING, due_at=lease)
    return replace(moved, attempts=(*purchase.attempts, attempt), absent_since=None)


def answered(purchase: Purchase, answer: Answer, now: datetime, retry: timedelta) -> Decision:
    """What the answer of the latest attempt means. A late answer never undoes what is known."""
    if isinstance(answer, Taken):
        return taken(purchase, answer.order, "answer", now, "service:order")
    if purchase.phase != SENDING:
        return purchase, ()
    if isinstance(answer, NotSent):
        noted = _noted(purchase, "not_sent", answer.reason)
        pause = timedelta(seconds=answer.retry_after) if answer.retry_after else retry
        return _to(noted, READY, due_at=now + pause), ()
    if isinstance(answer, Refused):
        return _refused(purchase, answer, now, retry)
    return _uncertain(_noted(purchase, "unknown", answer.reason, answer.fenced), now)


def _refused(purchase: Purchase, answer: Refused, now: datetime, retry: timedelta) -> Decision:
    noted = _noted(purchase, "refused", answer.detail)
    sent = sum(1 for attempt in noted.attempts if attempt.outcome != "not_sent")
    if answer.retryable and sent < MAX_ATTEMPTS:
        return _to(noted, READY, due_at=now + retry * sent), ()
    return failed(noted, "refused_by_marketplace", answer.detail)


def _uncertain(purchase: Purchase, now: datetime) -> Decision:
    moved = _to(purchase, VERIFYING, due_at=now)
    return moved, (OrderUncertain(state=moved.request),)


def failed(purchase: Purchase, code: str, detail: str) -> Decision:
    """The request came to nothing."""
    request = purchase.request.model_copy(update={"failure": Failure(code=code, detail=detail)})
    moved = _to(replace(purchase, request=request), FAILED, due_at=None)
    return moved, (OrderFailed(state=moved.request),)


def taken(
    purchase: Purchase, order: MarketplaceOrder, source: str, now: datetime, by: str
) -> Decision:
    """An order of this request exists. A second one is flagged, never explained away (I1)."""
    known = {evidence.order_id for evidence in purchase.evidence}
    if order.id in known and purchase.request.order is not None:
        # evidence that was pushed beside a placed request has told nobody yet
        unflagged = len(known) > 1 and purchase.phase != DUPLICATE_SUSPECTED
        return _duplicate(purchase) if unflagged else (purchase, ())
    seen = purchase
    if order.id not in known:
        found = Evidence(order.id, source, now, by)
        seen = replace(purchase, evidence=(*purchase.evidence, found))
    if len(seen.evidence) > 1:
        return _duplicate(seen)
    request = seen.request.model_copy(update={"order": order, "failure": None})
    moved = _to(replace(seen, request=request, reads=0), PLACED, due_at=now)
    return moved, (OrderPlaced(state=moved.request),)


def adopted(purchase: Purchase) -> Decision:
    """Evidence was pushed beside the state: the order exists, so the request is placed."""
    if len(purchase.evidence) > 1:
        return _duplicate(purchase)
    first = purchase.evidence[0]
    order = MarketplaceOrder(id=first.order_id, status="submitted")
    request = purchase.request.model_copy(update={"order": order, "failure": None})
    moved = _to(replace(purchase, request=request, reads=0), PLACED, due_at=first.at)
    return moved, (OrderPlaced(state=moved.request),)


def _duplicate(purchase: Purchase) -> Decision:
    orders = tuple(evidence.order_id for evidence in purchase.evidence)
    if purchase.phase == DUPLICATE_SUSPECTED:
        return purchase, (OrderDuplicateSuspected(state=purchase.request, order_ids=orders),)
    moved = _to(purchase, DUPLICATE_SUSPECTED, due_at=None)
    return moved, (OrderDuplicateSuspected(state=moved.request, order_ids=orders),)


def followed(purchase: Purchase, order: MarketplaceOrder, due_at: datetime) -> Decision:
    """What the marketplace says of a placed order that is not completed with its seats yet."""
    request = purchase.request.model_copy(update={"order": order})
    seen = replace(purchase, request=request, reads=purchase.reads + 1, due_at=due_at)
    if order.status in ("error", "cancelled"):
        return failed(seen, f"order_{order.status}", f"order {order.number}: see the panel")
    facts = () if order == purchase.request.order else (OrderPlaced(state=request),)
    return seen, facts


def completed(
    purchase: Purchase, order: MarketplaceOrder, subscription_id: str, seats: int
) -> Decision:
    """The order is completed and the subscription, read again, shows its seats."""
    request = purchase.request.model_copy(
        update={"order": order, "marketplace_subscription_id": subscription_id}
    )
    moved = _to(replace(purchase, request=request), COMPLETED, due_at=None)
    state = moved.request
    bought = LicensePurchased(
        state=state,
        customer_id=state.customer_id,
        tenant_id=state.tenant_id,
        entra_tenant_id=state.entra_tenant_id,
        marketplace=state.marketplace,
        reseller_id=state.reseller_id,
        marketplace_customer_id=state.marketplace_customer_id,
        marketplace_subscription_id=subscription_id,
        order_number=order.number or order.id,
        po_number=state.po_number,
        product=state.product,
        sku_id=state.sku_id,
        quantity_before=max(0, seats - state.quantity),
        quantity_after=seats,
        request_id=state.id,
        requested_by=state.requested_by,
        origin=state.origin,
        unit_price=state.unit_price,
    )
    return moved, (OrderCompleted(state=state), bought)


def _noted(purchase: Purchase, outcome: str, detail: str, fenced: bool = False) -> Purchase:
    last = replace(purchase.attempt, outcome=outcome, detail=detail[:500], fenced=fenced)
    return replace(purchase, attempts=(*purchase.attempts[:-1], last))


def _to(purchase: Purchase, phase: str, due_at: datetime | None) -> Purchase:
    if phase not in TRANSITIONS[purchase.phase]:
        raise Conflict(f"a request that is {purchase.phase} cannot become {phase}")
    status = STATUS.get(phase, phase)
    request = purchase.request.model_copy(update={"status": status})
    return replace(purchase, request=request, phase=phase, due_at=due_at)
