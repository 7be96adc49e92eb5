"""Whether an order at the marketplace is the one of a request, and what a listing proves.

A purchase order number alone proves nothing: renewals inherit it, and a person may type it again at
the marketplace (reliability §b.2).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from order_service.domain.offers import Control, Listed, OrderedLine, Seen
from order_service.domain.purchase import (
    CANCELLED,
    CHANGE_QUANTITY,
    NEEDS_REVIEW,
    ORDER_TYPES,
    SENDING,
    VERIFYING,
    Purchase,
)
from purser_events.license import LicenseChangeRequest

SKEW = timedelta(minutes=10)
"""How far the marketplace's clock may be from ours."""

_WITHOUT_ORDER = (VERIFYING, NEEDS_REVIEW, CANCELLED)


def is_of(request: LicenseChangeRequest, seen: Seen) -> bool:
    """Whether an order with the request's PO number says what the request wants."""
    if seen.type != ORDER_TYPES[request.kind]:
        return False
    if seen.customer_id != request.marketplace_customer_id:
        return False
    subscriptions = seen.subscription_ids if request.kind == CHANGE_QUANTITY else ()
    if subscriptions and request.marketplace_subscription_id not in subscriptions:
        return False
    return not seen.lines or any(_is_line_of(request, line) for line in seen.lines)


def _is_line_of(request: LicenseChangeRequest, line: OrderedLine) -> bool:
    if line.mpn != request.product.mpn:
        return False
    quantities = {request.quantity, None}
    if request.kind == CHANGE_QUANTITY:
        quantities.add(request.quantity - (request.expected_quantity or 0))
    return line.quantity in quantities


def by_likeness(
    waiting: Iterable[Purchase], unlinked: Sequence[Seen], late: timedelta
) -> list[tuple[Purchase, Seen]]:
    """Pairs that no PO number of their own shows: one request and one order that fit only each other.

    The number may have been sent as typed, or the marketplace may have cut or dropped it. Zero or
    several fitting orders are a person's to settle (rung 1 of reliability §b.5). `late` is how long
    after Send-By an order may still be executed.
    """
    requests = [p for p in waiting if p.phase in _WITHOUT_ORDER]
    fits = [(p, s) for p in requests for s in unlinked if _may_be(p, s, late)]
    return [
        (purchase, seen)
        for purchase, seen in fits
        if [p.id for p, s in fits if s is seen] == [purchase.id]
        and [s.order.id for p, s in fits if p is purchase] == [seen.order.id]
    ]


def on_its_way(watched: Iterable[Purchase], seen: Seen, late: timedelta) -> bool:
    """Whether an order may be the one that a request is just sending: its answer will tell."""
    return any(p.phase == SENDING and _may_be(p, seen, late) for p in watched)


def in_time(purchase: Purchase, ordered_at: datetime | None, late: timedelta) -> bool:
    """Whether an order of that time can be one of the request's attempts."""
    return ordered_at is not None and any(
        attempt.started_at - SKEW <= ordered_at <= attempt.send_by + late + SKEW
        for attempt in purchase.attempts
    )


def _may_be(purchase: Purchase, seen: Seen, late: timedelta) -> bool:
    return (
        _may_say(purchase, seen.po_number)
        and is_of(purchase.request, seen)
        and in_time(purchase, seen.ordered_at, late)
    )


def _may_say(purchase: Purchase, shown: str | None) -> bool:
    sent = purchase.request.po_number_sent
    # one's own in full is a reference: of an order that says something else, it is a renewal's
    return (
        shown != sent and sent.startswith(shown or "") if purchase.po_names_one else shown == sent
    )


def proves_absence(
    first: Sequence[Listed], second: Sequence[Listed], control: Control | None, began: datetime
) -> bool:
    """Whether two passes show everything there is: they agree, and both hold what must be there.

    `began` is when the first pass was started, in business time, as orders are dated.
    Without a known order of the account nothing tells an empty account from an empty answer.
    """
    before, after = ({row.id for row in rows} for rows in (first, second))
    if control is None or control.order_id not in before or not before <= after:
        return False
    came_between = [row for row in second if row.id not in before]
    return all(row.ordered_at is not None and row.ordered_at >= began for row in came_between)
