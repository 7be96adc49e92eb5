"""The queue of requests that wait for a person, in figures."""

from dataclasses import replace
from datetime import timedelta

from prometheus_client import REGISTRY

from order_service import store
from order_service.commands.measuring import measure_reviews
from order_service.domain import purchase as rules
from order_service.domain import review
from order_service.domain.purchase import Purchase, Unknown
from purser_common import mongo as chassis_mongo
from purser_common import settings
from purser_common.clock import Clock, real_now
from purser_common.outbox import Outbox, Request
from purser_common.telemetry import Cause
from purser_events.license import LicenseChangeRequest
from purser_events.values import Period, ProductIdentity

CAUSE = Cause("service:order", "correlation-1")
HOUR = timedelta(hours=1)


def in_review(id: str, age: timedelta) -> Purchase:
    """A request that was sent so long ago and waits for a person."""
    month, sent = Period(type="month", duration=1), real_now() - age
    request = LicenseChangeRequest(
        id=id,
        kind="buy",
        status="placing",
        marketplace="ingram-micro-xvantage",
        reseller_id="r1",
        customer_id="c1",
        tenant_id=f"t-{id}",
        entra_tenant_id="e1",
        marketplace_customer_id="1000003",
        product=ProductIdentity(
            mpn="M", vendor="V", subscription_period=month, billing_period=month
        ),
        product_name="Product",
        quantity=5,
        po_number="PO-1",
        po_number_sent=f"PO-{id}",
        origin="person",
        requested_by="user:requester",
        requested_at=sent,
    )
    purchase, _ = rules.requested(request, "correlation-1", None, sent)
    purchase = rules.start_sending(purchase, sent, sent, sent)
    purchase, _ = rules.answered(purchase, Unknown("reset", True), sent, HOUR)
    return review.looked(purchase, sent, True, sent, timedelta(0))[0]


async def test_how_many_wait_for_a_person_how_long_and_too_long_shows(
    mongo: settings.Mongo,
) -> None:
    client = chassis_mongo.connect(mongo)
    database = client[mongo.database]
    requests = store.Requests(database, Outbox("order", Clock(), lambda *_: None))

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
    await chassis_mongo.close(client)
