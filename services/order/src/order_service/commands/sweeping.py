"""Sweeping accounts: every order that the marketplace shows is linked, flagged, or mirrored.

This, not the sender, is what makes sure that no order is lost (reliability §b.5).
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from order_service.commands.ports import (
    Accounts,
    Connections,
    Marketplace,
    Orders,
    Requests,
    Resellers,
)
from order_service.commands.sending import SERVICE, cause_of
from order_service.domain import matching, review
from order_service.domain import purchase as rules
from order_service.domain.offers import Control, Listed, Seen, Swept
from order_service.domain.purchase import Evidence, Purchase
from purser_common import crash
from purser_common.errors import NotFound, Problem, VersionConflict
from purser_common.outbox import Loaded
from purser_common.telemetry import Cause, continued
from purser_events.license import ObservedOrder
from purser_events.tenant import Tenant

OVERLAP = timedelta(hours=1)
_OPEN = (rules.VERIFYING, rules.NEEDS_REVIEW)


@dataclass(frozen=True)
class Pauses:
    """How long things take: when a person is asked, Q, and the pauses between sweeps."""

    verify: timedelta
    quarantine: timedelta
    calm: timedelta
    busy: timedelta


@dataclass(frozen=True)
class Post:
    """What sweeping needs."""

    requests: Requests
    accounts: Accounts
    orders: Orders
    connections: Connections
    marketplace: Marketplace
    resellers: Resellers
    pauses: Pauses
    lease: timedelta
    keeping: Callable[[str], contextlib.AbstractAsyncContextManager[None]]
    now: Callable[[], datetime]
    real_now: Callable[[], datetime]


async def sweep_next(post: Post) -> bool:
    """Sweep the account that is due; False when there is none. A deleted reseller's is let go."""
    last = await post.accounts.claim(post.lease)
    if last is None:
        return False
    began = post.real_now()
    # read before anything is listed: of whoever comes meanwhile, nothing is accounted for yet
    connected = await post.connections.connected(last.reseller_id)
    try:
        async with post.keeping(last.reseller_id):
            waiting = await _sweep(post, last, connected, began)
    except NotFound:
        cause = Cause(SERVICE, f"sweep-{last.reseller_id}")
        if not await post.resellers.gone(last.reseller_id, cause):
            raise
        await post.accounts.retire(last.reseller_id)
        return True
    pause = post.pauses.busy if waiting else post.pauses.calm
    swept = Swept(last.reseller_id, began, frozenset(connected))
    await post.accounts.swept(swept, post.real_now() + pause)
    return True


async def _sweep(
    post: Post, last: Swept, connected: Mapping[str, Sequence[Tenant]], began: datetime
) -> bool:
    reseller_id, dated = last.reseller_id, post.now()
    watched = [one.state for one in await post.requests.watched(reseller_id)]
    unsettled = any(purchase.phase in _OPEN for purchase in watched)
    control = await _control(post, reseller_id) if unsettled else None
    starts = [p.attempts[0].started_at for p in watched if p.attempts]
    swept = [last.at or began, *_unswept(connected, last.customers)]
    since = min([*starts, *swept, *([control.since] if control else [])]) - OVERLAP
    first = await post.marketplace.listed(reseller_id, since)
    crash.point("order.sweep.listed")
    second = await post.marketplace.listed(reseller_id, since) if unsettled else first
    rows = {row.id: row for row in [*await _named(post, reseller_id, watched), *first, *second]}
    await _account_for(post, reseller_id, list(rows.values()), connected)
    absent = unsettled and matching.proves_absence(first, second, control, dated)
    return await _note_absence(post, reseller_id, began, absent)


def _unswept(connected: Mapping[str, Sequence[Tenant]], swept: frozenset[str]) -> list[datetime]:
    """Since when the customers are connected that the last sweep did not know."""
    return [
        tenant.connection.connected_at
        for customer_id in connected.keys() - swept
        for tenant in connected[customer_id]
        if tenant.connection
    ]


async def _control(post: Post, reseller_id: str) -> Control | None:
    """The newest order that the account is known to have, ours or not."""
    known = [await post.requests.newest_order(reseller_id), await post.orders.newest(reseller_id)]
    latest = max((one for one in known if one), key=lambda one: one[0], default=None)
    return latest[1] if latest else None


async def _named(post: Post, reseller_id: str, watched: Sequence[Purchase]) -> list[Listed]:
    """Orders that conflicts named: they may be older than what a sweep lists."""
    numbers = {
        attempt.named_order
        for purchase in watched
        if purchase.phase in _OPEN
        for attempt in purchase.attempts
        if attempt.named_order
    }
    found = [await post.marketplace.numbered(reseller_id, number) for number in sorted(numbers)]
    return [row for rows in found for row in rows]


async def _account_for(
    post: Post,
    reseller_id: str,
    rows: Sequence[Listed],
    connected: Mapping[str, Sequence[Tenant]],
) -> None:
    # read after the listings: whose order is in them is by now being sent, or has it
    watched = [one.state for one in await post.requests.watched(reseller_id)]
    ours = {*connected, *(p.request.marketplace_customer_id for p in watched), None}
    # how long after Send-By an order may be dated: orders are dated in business time
    late = post.pauses.quarantine + (post.now() - post.real_now())
    known = await post.orders.known([row.id for row in rows])
    unlinked: list[Seen] = []
    settled: set[str | None] = set()
    for row in rows:
        if row.customer_id not in ours:
            continue
        if await post.requests.by_order(row.id) is not None:
            if row.id in known:
                await post.orders.linked(row.id)
            continue
        waits = any(
            p.phase in _OPEN and p.request.marketplace_customer_id == row.customer_id
            for p in watched
            if matching.in_time(p, row.ordered_at, late)
        )
        if known.get(row.id) == row.status and not waits:
            continue
        seen = await post.marketplace.order(reseller_id, row.id)
        request_id = await _linked_by_po(post, reseller_id, seen)
        settled.add(request_id)
        if request_id is None:
            unlinked.append(seen)
    waiting = [p for p in watched if p.id not in settled]
    linked = await _link_alike(post, unlinked, waiting, late)
    for seen in unlinked:
        on_its_way = matching.on_its_way(watched, seen, late)
        if seen.order.id not in linked and not on_its_way:
            await _mirror(post, reseller_id, seen, connected.get(seen.customer_id, []))


async def _linked_by_po(post: Post, reseller_id: str, seen: Seen) -> str | None:
    """The request whose own PO number the order has; renewals inherit it and are nobody's."""
    found = seen.po_number and await post.requests.by_po(reseller_id, seen.po_number)
    if not found or not matching.is_of(found.state.request, seen):
        return None
    await _link(post, found, seen, "reference")
    return found.state.id


async def _link_alike(
    post: Post, unlinked: Sequence[Seen], waiting: Sequence[Purchase], late: timedelta
) -> set[str]:
    """Where no PO number of its own shows, one request and one order may fit only each other."""
    pairs = matching.by_likeness(waiting, unlinked, late)
    for purchase, seen in pairs:
        await _link(post, await post.requests.load(purchase.id), seen, "fingerprint")
    return {seen.order.id for _, seen in pairs}


async def _link(post: Post, found: Loaded[Purchase], seen: Seen, source: str) -> None:
    for _ in range(3):
        before = found.state
        after, facts = rules.taken(before, seen.order, source, post.real_now(), SERVICE)
        if after == before:
            return
        try:
            with continued("order.link", before.traceparent):
                await post.requests.save(found, after, facts, cause_of(before))
            crash.point("order.sweep.linked")
            await post.orders.linked(seen.order.id)
            await _resolved(post, before)
            return
        except VersionConflict:
            found = await post.requests.load(before.id)
    evidence = Evidence(seen.order.id, source, post.real_now(), SERVICE)
    await post.requests.push_evidence(found.state.id, evidence)


async def _mirror(post: Post, reseller_id: str, seen: Seen, tenants: Sequence[Tenant]) -> None:
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


async def _note_absence(post: Post, reseller_id: str, began: datetime, absent: bool) -> bool:
    """Tell every unsettled request that its order was not shown; whether any still waits."""
    waiting = False
    for loaded in await post.requests.watched(reseller_id):
        purchase = loaded.state
        if purchase.phase not in _OPEN:
            waiting = waiting or purchase.phase == rules.SENDING
            continue
        waiting = True
        looked, facts = review.looked(purchase, began, absent, post.real_now(), post.pauses.verify)
        if looked.phase == rules.VERIFYING:
            await post.resellers.unresolved(purchase, cause_of(purchase))
        if looked == purchase:
            continue
        try:
            with continued("order.look", purchase.traceparent):
                await post.requests.save(loaded, looked, facts, cause_of(purchase))
            crash.point("order.sweep.noted")
        except VersionConflict:
            continue  # somebody learned something meanwhile; the next sweep looks again
        if looked.phase != rules.VERIFYING:
            await _resolved(post, purchase)
    return waiting


async def _resolved(post: Post, before: Purchase) -> None:
    """The account's breaker no longer counts it; an entry that stays behind expires by itself."""
    if before.phase == rules.VERIFYING:
        with contextlib.suppress(Problem):
            await post.resellers.resolved(before, cause_of(before))


async def order_shown(post: Post, reseller_id: str, order_id: str) -> Seen:
    """An order that a person named. Raises NotFound when the marketplace does not show it."""
    try:
        return await post.marketplace.order(reseller_id, order_id)
    except NotFound as error:
        raise NotFound(f"the marketplace shows no order {order_id}") from error
