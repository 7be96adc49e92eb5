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
from purser_events.envelope import Change, Fact
from purser_events.license import (
    Failure,
    LicenseChangeRequest,
    LicenseChangeRequested,
    LicenseChangeWithdrawn,
    MarketplaceOrder,
    OrderDuplicateSuspected,
    OrderFailed,
    OrderPlaced,
    OrderUncertain,
)
from purser_events.values import ProductIdentity

READY, SENDING, VERIFYING, NEEDS_REVIEW = "ready", "sending", "verifying", "needs_review"
PLACED, COMPLETED, FAILED = "placed", "completed", "failed"
CANCELLED, WITHDRAWN = "cancelled", "withdrawn"
DUPLICATE_SUSPECTED = "duplicate_suspected"

BUY, CHANGE_QUANTITY = "buy", "change_quantity"
ORDER_TYPES: Mapping[str, str] = {BUY: "sales", CHANGE_QUANTITY: "change"}
"""What kind of order carries out what kind of request (marketplace §4)."""

MAX_ATTEMPTS = 3

TRANSITIONS: Mapping[str, frozenset[str]] = {
    READY: frozenset({SENDING, FAILED, WITHDRAWN, PLACED, DUPLICATE_SUSPECTED}),
    SENDING: frozenset({READY, VERIFYING, PLACED, FAILED, DUPLICATE_SUSPECTED}),
    VERIFYING: frozenset({NEEDS_REVIEW, PLACED, DUPLICATE_SUSPECTED}),
    NEEDS_REVIEW: frozenset({PLACED, READY, CANCELLED, DUPLICATE_SUSPECTED}),
    PLACED: frozenset({COMPLETED, FAILED, DUPLICATE_SUSPECTED}),
    COMPLETED: frozenset({DUPLICATE_SUSPECTED}),
    FAILED: frozenset({PLACED, DUPLICATE_SUSPECTED}),
    CANCELLED: frozenset({PLACED, DUPLICATE_SUSPECTED}),
    WITHDRAWN: frozenset({PLACED, DUPLICATE_SUSPECTED}),
    DUPLICATE_SUSPECTED: frozenset(),
}
"""Every step that a request may take; anything else is a defect."""

STATUS: Mapping[str, str] = {READY: "placing", SENDING: "placing", VERIFYING: "uncertain"}
"""What others are told of a phase, where it differs from the phase's name."""

HOLDS_SLOT = frozenset({READY, SENDING, VERIFYING, NEEDS_REVIEW, PLACED})

OPEN = HOLDS_SLOT
"""What has not ended: a tenant or reseller that it is of cannot be let go of."""

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
    named_order: str | None = None
    """The number of an order that the answer named as standing in the way: followed, not believed."""


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
    absence_shown_at: datetime | None = None
    late: bool = False
    """Its order showed up after it had ended: its slot may be another request's by now."""
    due_at: datetime | None = None

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.id

    @property
    def _holds_slot(self) -> bool:
        return self.phase in HOLDS_SLOT and not self.late

    @property
    def slot_buy(self) -> str | None:
        """Keeps a second purchase of the same product for the same tenant out while this is open."""
        if not self._holds_slot or self.request.kind != BUY:
            return None
        return buy_slot(self.request)

    @property
    def slot_now(self) -> str | None:
        """Keeps a second immediate change of the same subscription out while this is open."""
        if not self._holds_slot or self.request.kind != CHANGE_QUANTITY:
            return None
        return f"{self.request.reseller_id}|{self.request.marketplace_subscription_id}"

    @property
    def po_names_one(self) -> bool:
        """Whether the purchase order number that is sent names this request and no other."""
        return self.request.po_number_sent != self.request.po_number

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
    named_order: str | None = None


Answer = NotSent | Refused | Taken | Unknown


def buy_slot(request: LicenseChangeRequest) -> str:
    """The tenant and the product, which may have one open purchase at most."""
    return slot_of(request.tenant_id, request.product)


def slot_of(tenant_id: str, product: ProductIdentity) -> str:
    """The slot of purchases of a product for a tenant."""
    periods = (product.subscription_period, product.billing_period)
    return "|".join(
        (tenant_id, product.vendor, product.mpn, *(f"{x.duration}{x.type}" for x in periods))
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
    seats = Change(
        pointer="/quantity", before=request.expected_quantity or 0, after=request.quantity
    )
    return purchase, (LicenseChangeRequested(state=request, changes=(seats,)),)


def start_sending(
    purchase: Purchase, now: datetime, send_by: datetime, lease: datetime
) -> Purchase:
    """The intent that is written before anything leaves. Raises Conflict when an order was seen."""
    if purchase.evidence:
        raise Conflict("an order of this request was seen; it is not sent again", code="evidence")
    attempt = Attempt(len(purchase.attempts) + 1, now, send_by)
    after = moved(purchase, SENDING, due_at=lease)
    return replace(after, attempts=(*purchase.attempts, attempt), absence_shown_at=None)


def answered(purchase: Purchase, answer: Answer, now: datetime, retry: timedelta) -> Decision:
    """What the answer of the latest attempt means. A late answer never undoes what is known."""
    if isinstance(answer, Taken):
        return taken(purchase, answer.order, "answer", now, "service:order")
    if purchase.phase != SENDING:
        return purchase, ()
    if isinstance(answer, NotSent):
        noted = _noted(purchase, "not_sent", answer.reason)
        pause = timedelta(seconds=answer.retry_after) if answer.retry_after else retry
        return moved(noted, READY, due_at=now + pause), ()
    if isinstance(answer, Refused):
        return _refused(purchase, answer, now, retry)
    noted = _noted(purchase, "unknown", answer.reason, answer.fenced, answer.named_order)
    return _uncertain(noted, now)


def _refused(purchase: Purchase, answer: Refused, now: datetime, retry: timedelta) -> Decision:
    noted = _noted(purchase, "refused", answer.detail)
    sent = sum(1 for attempt in noted.attempts if attempt.outcome != "not_sent")
    if answer.retryable and sent < MAX_ATTEMPTS:
        return moved(noted, READY, due_at=now + retry * sent), ()
    return failed(noted, "refused_by_marketplace", answer.detail)


def _uncertain(purchase: Purchase, now: datetime) -> Decision:
    after = moved(purchase, VERIFYING, due_at=now)
    return after, (OrderUncertain(state=after.request),)


def failed(purchase: Purchase, code: str, detail: str) -> Decision:
    """The request came to nothing."""
    request = purchase.request.model_copy(update={"failure": Failure(code=code, detail=detail)})
    after = moved(replace(purchase, request=request), FAILED, due_at=None)
    return after, (OrderFailed(state=after.request),)


def withdrawn(purchase: Purchase, by: str, reason: str) -> Decision:
    """What waits to be sent is not sent any more; whatever may have left goes its way.

    An attempt before it was definitely not taken; should its order show up all the same, it is linked.
    """
    if purchase.phase != READY or purchase.evidence:
        return purchase, ()
    after = moved(purchase, WITHDRAWN, due_at=None)
    return after, (LicenseChangeWithdrawn(state=after.request, withdrawn_by=by, reason=reason),)


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
    late = seen.late or seen.phase in (FAILED, CANCELLED, WITHDRAWN)
    after = moved(replace(seen, request=request, reads=0, late=late), PLACED, due_at=now)
    return after, (OrderPlaced(state=after.request),)


def adopted(purchase: Purchase) -> Decision:
    """Evidence was pushed beside the state: the order exists, so the request is placed."""
    if len(purchase.evidence) > 1:
        return _duplicate(purchase)
    first = purchase.evidence[0]
    order = MarketplaceOrder(id=first.order_id, status="submitted")
    request = purchase.request.model_copy(update={"order": order, "failure": None})
    after = moved(replace(purchase, request=request, reads=0), PLACED, due_at=first.at)
    return after, (OrderPlaced(state=after.request),)


def _duplicate(purchase: Purchase) -> Decision:
    orders = tuple(evidence.order_id for evidence in purchase.evidence)
    if purchase.phase == DUPLICATE_SUSPECTED:
        return purchase, (OrderDuplicateSuspected(state=purchase.request, order_ids=orders),)
    after = moved(purchase, DUPLICATE_SUSPECTED, due_at=None)
    return after, (OrderDuplicateSuspected(state=after.request, order_ids=orders),)


def _noted(
    purchase: Purchase,
    outcome: str,
    detail: str,
    fenced: bool = False,
    named_order: str | None = None,
) -> Purchase:
    last = replace(
        purchase.attempt,
        outcome=outcome,
        detail=detail[:500],
        fenced=fenced,
        named_order=named_order,
    )
    return replace(purchase, attempts=(*purchase.attempts[:-1], last))


def moved(purchase: Purchase, phase: str, due_at: datetime | None) -> Purchase:
    """The request in another phase. Raises Conflict for a step that there is not."""
    if phase not in TRANSITIONS[purchase.phase]:
        raise Conflict(f"a request that is {purchase.phase} cannot become {phase}")
    status = STATUS.get(phase, phase)
    request = purchase.request.model_copy(update={"status": status})
    return replace(purchase, request=request, phase=phase, due_at=due_at)
