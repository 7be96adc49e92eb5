"""A placed order: when it is looked at again, and when the request has what it wanted."""

from dataclasses import replace
from datetime import datetime, timedelta

from order_service.domain.purchase import BUY, COMPLETED, Decision, Purchase, failed, moved
from purser_events.license import (
    LicensePurchased,
    LicenseQuantityChanged,
    MarketplaceOrder,
    OrderCompleted,
    OrderPlaced,
)

PLAN: tuple[tuple[float, int], ...] = ((1, 1), (3, 1), (10, 6), (30, 10), (120, 30))
"""(seconds, reads): the first read is immediate; then these; then every 15 minutes (marketplace §4)."""


def next_read(reads: int) -> timedelta:
    """The pause after so many reads."""
    for seconds, times in PLAN:
        if reads < times:
            return timedelta(seconds=seconds)
        reads -= times
    return timedelta(minutes=15)


def followed(purchase: Purchase, order: MarketplaceOrder, due_at: datetime) -> Decision:
    """What the marketplace says of a placed order that is not completed with its seats yet."""
    request = purchase.request.model_copy(update={"order": order})
    seen = replace(purchase, request=request, reads=purchase.reads + 1, due_at=due_at)
    if order.status in ("error", "cancelled"):
        return failed(seen, f"order_{order.status}", f"order {order.number}: see the panel")
    facts = () if order == purchase.request.order else (OrderPlaced(state=request),)
    return seen, facts


def has_its_seats(purchase: Purchase, seats: int | None) -> bool:
    """Whether the subscription, read again, shows what was ordered. Unknown is not yet."""
    if seats is None:
        return False
    wanted = purchase.request.quantity
    return seats >= wanted if purchase.request.kind == BUY else seats == wanted


def completed(
    purchase: Purchase, order: MarketplaceOrder, subscription_id: str, seats: int
) -> Decision:
    """The order is completed and the subscription, read again, shows its seats."""
    request = purchase.request.model_copy(
        update={"order": order, "marketplace_subscription_id": subscription_id}
    )
    after = moved(replace(purchase, request=request), COMPLETED, due_at=None)
    state = after.request
    bought = state.kind == BUY
    before = max(0, seats - state.quantity) if bought else state.expected_quantity or 0
    licensed = (LicensePurchased if bought else LicenseQuantityChanged)(
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
        quantity_before=before,
        quantity_after=seats,
        request_id=state.id,
        requested_by=state.requested_by,
        origin=state.origin,
        unit_price=state.unit_price,
    )
    return after, (OrderCompleted(state=state), licensed)
