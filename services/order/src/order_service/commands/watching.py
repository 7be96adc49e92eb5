"""Watching the marketplace: following placed orders, and sweeping accounts for every order they show."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from order_service.commands.ports import Accounts, Connections, Marketplace, Orders, Requests
from order_service.commands.sending import SERVICE, cause_of
from order_service.domain import purchase as rules
from order_service.domain import review
from order_service.domain.following import next_read
from order_service.domain.offers import Seen
from order_service.domain.purchase import Evidence, Purchase
from purser_common import crash
from purser_common.errors import NotFound, VersionConflict
from purser_common.outbox import Loaded
from purser_common.telemetry import Cause, continued
from purser_events.license import ObservedOrder

OVERLAP = timedelta(hours=1)


@dataclass(frozen=True)
class Post:
    """What watching needs."""

    requests: Requests
    accounts: Accounts
    orders: Orders
    connections: Connections
    marketplace: Marketplace
    lease: timedelta
    verify: timedelta
    calm: timedelta
    busy: timedelta
    now: Callable[[], datetime]
    real_now: Callable[[], datetime]


async def follow_next(post: Post) -> Loaded[Purchase] | None:
    """Read the placed order that is due; completed counts only when the subscription agrees."""
    loaded = await post.requests.claim(rules.PLACED, post.lease)
    if loaded is None:
        return None
    with continued("order.follow", loaded.state.traceparent):
        return await _follow(post, loaded)


async def _follow(post: Post, loaded: Loaded[Purchase]) -> Loaded[Purchase]:
    purchase, request = loaded.state, loaded.state.request
    assert request.order is not None  # noqa: S101  a placed request has its order
    seen = await post.marketplace.order(request.reseller_id, request.order.id)
    crash.point("order.follow.read")
    cause = cause_of(purchase)
    if seen.order.status == "completed":
        for subscription_id in seen.subscription_ids:
            seats = await post.marketplace.seats(
                request.reseller_id, subscription_id, request.product
            )
            if seats is not None and seats >= request.quantity:
                done, facts = rules.completed(purchase, seen.order, subscription_id, seats)
                written = await post.requests.save(loaded, done, facts, cause)
                crash.point("order.follow.completed")
                return written
    due_at = post.real_now() + next_read(purchase.reads)
    followed, facts = rules.followed(purchase, seen.order, due_at)
    return await post.requests.save(loaded, followed, facts, cause)


async def sweep_next(post: Post) -> bool:
    """Sweep the account that is due: every order it shows is linked, flagged, or mirrored."""
    claimed = await post.accounts.claim(post.lease * 4)
    if claimed is None:
        return False
    reseller_id, swept_at = claimed
    began = post.real_now()
    watched = await post.requests.watched(reseller_id)
    starts = [p.state.attempts[0].started_at for p in watched if p.state.attempts]
    since = min([*starts, swept_at or began]) - OVERLAP
    listed = await post.marketplace.listed(reseller_id, since)
    crash.point("order.sweep.listed")
    await _account_for(post, reseller_id, listed)
    control = await post.requests.newest_order(reseller_id)
    conclusive = control is None or any(order_id == control for order_id, _, _ in listed)
    waiting = await _note_absence(post, reseller_id, began, conclusive)
    pause = post.busy if waiting else post.calm
    await post.accounts.swept(reseller_id, began, post.real_now() + pause)
    return True


async def _account_for(
    post: Post, reseller_id: str, listed: list[tuple[str, str, datetime | None]]
) -> None:
    known = await post.orders.known([order_id for order_id, _, _ in listed])
    for order_id, status, _ in listed:
        if known.get(order_id) == status or await post.requests.by_order(order_id) is not None:
            continue
        seen = await post.marketplace.order(reseller_id, order_id)
        if await _linked(post, reseller_id, seen):
            continue
        await _mirror(post, reseller_id, seen)


async def _linked(post: Post, reseller_id: str, seen: Seen) -> bool:
    """A sales order with our PO is ours; renewals inherit the PO and are not (marketplace §6)."""
    if seen.type != "sales" or seen.po_number is None:
        return False
    found = await post.requests.by_po(reseller_id, seen.po_number)
    if found is None or found.state.request.marketplace_customer_id != seen.customer_id:
        return False
    for _ in range(3):
        purchase, facts = rules.taken(
            found.state, seen.order, "reference", post.real_now(), SERVICE
        )
        if purchase == found.state:
            return True
        try:
            with continued("order.link", purchase.traceparent):
                await post.requests.save(found, purchase, facts, cause_of(purchase))
            crash.point("order.sweep.linked")
            return True
        except VersionConflict:
            found = await post.requests.load(found.state.id)
    evidence = Evidence(seen.order.id, "reference", post.real_now(), SERVICE)
    await post.requests.push_evidence(found.state.id, evidence)
    return True


async def _mirror(post: Post, reseller_id: str, seen: Seen) -> None:
    tenants = await post.connections.connected(reseller_id, seen.customer_id)
    connection = tenants[0].connection if tenants else None
    if connection is None:
        return
    # an order names no tenant: of several that share the marketplace customer, any would be a guess
    tenant_ids = {tenant.id for tenant in tenants}
    customer_ids = {tenant.customer_id for tenant in tenants}
    observed = ObservedOrder(
        id=seen.order.id,
        marketplace=connection.marketplace,
        reseller_id=reseller_id,
        marketplace_customer_id=seen.customer_id,
        tenant_id=tenant_ids.pop() if len(tenant_ids) == 1 else None,
        customer_id=customer_ids.pop() if len(customer_ids) == 1 else None,
        number=seen.order.number,
        type=seen.type,
        status=seen.order.status,
        po_number=seen.po_number,
        marketplace_subscription_id=next(iter(seen.subscription_ids), None),
        ordered_at=seen.ordered_at,
        observed_at=post.now(),
    )
    await post.orders.observe(observed, Cause(SERVICE, f"order-{seen.order.id}"))


async def _note_absence(post: Post, reseller_id: str, began: datetime, conclusive: bool) -> bool:
    """Tell every unsettled request that a complete listing did not show its order."""
    waiting = False
    for loaded in await post.requests.watched(reseller_id):
        purchase = loaded.state
        if purchase.phase not in (rules.VERIFYING, rules.NEEDS_REVIEW):
            waiting = waiting or purchase.phase == rules.SENDING
            continue
        waiting = True
        looked, facts = review.looked(purchase, began, conclusive, post.real_now(), post.verify)
        if looked == purchase:
            continue
        try:
            with continued("order.look", purchase.traceparent):
                await post.requests.save(loaded, looked, facts, cause_of(purchase))
            crash.point("order.sweep.noted")
        except VersionConflict:
            continue  # somebody learned something meanwhile; the next sweep looks again
    return waiting


async def order_shown(post: Post, reseller_id: str, order_id: str) -> Seen:
    """An order that a person named. Raises NotFound when the marketplace does not show it."""
    try:
        return await post.marketplace.order(reseller_id, order_id)
    except NotFound as error:
        raise NotFound(f"the marketplace shows no order {order_id}") from error
