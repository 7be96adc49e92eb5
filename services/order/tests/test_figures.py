"""The queue of requests that wait for a person, in figures."""

from dataclasses import replace
from datetime import timedelta

from examples import license_request
from prometheus_client import REGISTRY

from order_service import store
from order_service.commands.measuring import measure_reviews
from order_service.domain import purchase as rules
from order_service.domain import review
from order_service.domain.purchase import Purchase, Unknown
from purser_common.clock import real_now
from purser_common.outbox import Request
from purser_common.telemetry import Cause

CAUSE = Cause("service:order", "correlation-1")
HOUR = timedelta(hours=1)


def in_review(id: str, age: timedelta) -> Purchase:
    """A request that was sent so long ago and waits for a person."""
    sent = real_now() - age
    request = license_request(
        id=id, tenant_id=f"t-{id}", po_number_sent=f"PO-{id}", requested_at=sent
    )
    purchase, _ = rules.requested(request, "correlation-1", None, sent)
    purchase = rules.start_sending(purchase, sent, sent, sent)
    purchase, _ = rules.answered(purchase, Unknown("reset", True), sent, HOUR)
    return review.looked(purchase, sent, True, sent, timedelta(0))[0]


async def test_how_many_wait_for_a_person_how_long_and_too_long_shows(
    requests: store.Requests,
) -> None:
    async def figures() -> tuple[float | None, ...]:
        await measure_reviews(requests, 4 * HOUR, real_now)
        names = ("review_items", "review_overdue_items", "review_oldest_seconds")
        return tuple(REGISTRY.get_sample_value(name) for name in names)

    assert await figures() == (0, 0, 0)
    for id, age in (("1", HOUR), ("2", 5 * HOUR)):
        key = Request("user:requester", "POST", id, "digest")
        await requests.insert(in_review(id, age), (), CAUSE, key)
    items, overdue, oldest = await figures()
    assert (items, overdue) == (2, 1)
    assert oldest is not None
    assert 5 * 3600 <= oldest < 5 * 3600 + 60
    loaded = await requests.load("2")
    ended, facts = review.give_up(loaded.state, "user:a", "enough")
    await requests.save(loaded, replace(ended), facts, CAUSE)
    assert (await figures())[:2] == (1, 0)
