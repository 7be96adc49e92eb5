"""Following placed orders until the subscription agrees."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from order_service.commands.ports import Marketplace, Requests
from order_service.commands.sending import cause_of
from order_service.domain import following as rules
from order_service.domain.purchase import PLACED, Purchase
from purser_common import crash
from purser_common.outbox import Loaded
from purser_common.telemetry import continued


@dataclass(frozen=True)
class Lookout:
    """What following needs."""

    requests: Requests
    marketplace: Marketplace
    lease: timedelta
    real_now: Callable[[], datetime]


async def follow_next(lookout: Lookout) -> Loaded[Purchase] | None:
    """Read the placed order that is due; completed counts only when the subscription agrees."""
    loaded = await lookout.requests.claim(PLACED, lookout.lease)
    if loaded is None:
        return None
    with continued("order.follow", loaded.state.traceparent):
        return await _follow(lookout, loaded)


async def _follow(lookout: Lookout, loaded: Loaded[Purchase]) -> Loaded[Purchase]:
    purchase, request = loaded.state, loaded.state.request
    assert request.order is not None  # noqa: S101  a placed request has its order
    seen = await lookout.marketplace.order(request.reseller_id, request.order.id)
    crash.point("order.follow.read")
    cause = cause_of(purchase)
    if seen.order.status == "completed":
        for subscription_id in seen.subscription_ids:
            seats = await lookout.marketplace.seats(
                request.reseller_id, subscription_id, request.product
            )
            if seats is not None and rules.has_its_seats(purchase, seats):
                done, facts = rules.completed(purchase, seen.order, subscription_id, seats)
                written = await lookout.requests.save(loaded, done, facts, cause)
                crash.point("order.follow.completed")
                return written
    due_at = lookout.real_now() + rules.next_read(purchase.reads)
    followed, facts = rules.followed(purchase, seen.order, due_at)
    return await lookout.requests.save(loaded, followed, facts, cause)
