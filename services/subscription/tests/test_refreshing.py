"""Reading the marketplace into the mirror: what is wanted is read, and one bad answer proves nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from purser_common import mongo as chassis_mongo
from purser_common import settings
from purser_common.clock import real_now
from purser_common.testing import eventually, records
from purser_events.subscription import SubscriptionActivated, SubscriptionChanged, SubscriptionEnded
from subscription_service import store
from subscription_service.domain.mirror import MOST_FAILURES, Refresh

LEASE = timedelta(minutes=1)
TOPICS = tuple(f.TOPIC for f in (SubscriptionActivated, SubscriptionChanged, SubscriptionEnded))


@pytest.fixture
async def refreshes(mongo: settings.Mongo) -> AsyncIterator[store.Refreshes]:
    """What is to be read, with nobody who reads it."""
    client = chassis_mongo.connect(mongo)
    await chassis_mongo.declare_indexes(client[mongo.database], store.INDEXES)
    yield store.Refreshes(client[mongo.database])
    await chassis_mongo.close(client)


def refresh(id: str = "r1|c1|s1") -> Refresh:
    reseller, customer, subscription = id.split("|")
    return Refresh(id, reseller, customer, subscription, "correlation-1", None, None, wanted=0)


async def connected(service: Any, shop: Any, *quantities: int) -> list[str]:
    bought = [await shop.buy(quantity) for quantity in quantities]
    await service.tell(shop.tenant())
    for id in bought:
        await service.mirrored(shop, id)
    return bought


async def told(kafka: settings.Kafka, shop: Any, bought: str, *topics: str) -> list[str]:
    """The topics of the facts about a subscription, once these are among them."""

    def about(read: Any) -> list[str]:
        found = [r for r in read if json.loads(r.value)["subject"] == subject]
        assert {r.key.decode() for r in found} <= {shop.tenant_id}
        return [r.topic for r in found]

    subject = f"subscription/{shop.id(bought)}"
    read = await records(kafka, *TOPICS, until=lambda read: set(topics) <= set(about(read)))
    return about(read)


async def test_what_is_wanted_while_it_is_read_is_read_again(refreshes: Any) -> None:
    await refreshes.want(refresh())
    reading = await refreshes.claim(LEASE)
    await refreshes.want(refresh())
    await refreshes.done(reading, None)
    again = await refreshes.claim(LEASE)
    assert again is not None
    await refreshes.done(again, None)
    assert await refreshes.claim(LEASE) is None


async def test_a_reading_that_failed_does_not_put_off_what_was_wanted_meanwhile(
    refreshes: Any,
) -> None:
    await refreshes.want(refresh())
    reading = await refreshes.claim(LEASE)
    await refreshes.want(refresh())
    await refreshes.postponed(reading, real_now() + timedelta(hours=1))
    again = await refreshes.claim(LEASE)
    assert again is not None
    assert again.failures == 0


async def test_wanting_twice_is_one_reading_and_a_reader_that_died_is_replaced(
    refreshes: Any,
) -> None:
    for _ in range(2):
        await refreshes.want(refresh())
    died = await refreshes.claim(timedelta(0))
    assert died is not None
    assert await refreshes.claim(LEASE) is not None
    assert await refreshes.claim(LEASE) is None


async def test_an_older_answer_that_arrives_late_does_not_overwrite_a_newer_one(
    service: Any, shop: Any
) -> None:
    (bought,) = await connected(service, shop, 5)
    one = f"/v1/subscriptions/{shop.id(bought)}"
    before = await shop.reads(f"/subscriptions/{bought}")
    late = {"kind": "delay", "seconds": 4}
    fault = await shop.fault(f"/subscriptions/{bought}", "execute_then", then=late)
    slow = asyncio.create_task(service.get(one, refresh=True))
    await eventually(lambda: shop.spent(fault))
    await shop.change(bought, 6)
    assert (await service.get(one, refresh=True)).json()["options"][0]["quantity"] == 6
    assert not slow.done()
    assert (await slow).json()["options"][0]["quantity"] == 6
    assert await shop.reads(f"/subscriptions/{bought}") > before + 1
    assert (await service.get(one)).json()["options"][0]["quantity"] == 6


async def test_a_marketplace_that_is_away_is_asked_again(service: Any, shop: Any) -> None:
    bought = await shop.buy(3)
    await shop.fault("/subscriptions", "status", status=503, times=2)
    await service.tell(shop.tenant())
    await service.seats(shop, bought, 3)


async def test_a_purchase_that_is_not_shown_yet_is_looked_for_again(
    service: Any, shop: Any, readings: Any
) -> None:
    await service.tell(shop.tenant())
    await readings.over(shop)
    bought = await shop.buy(3)
    await shop.fault(f"/subscriptions/{bought}", "status", status=404, times=2)
    await service.purchased(shop, bought, 3)
    await service.seats(shop, bought, 3)
    assert await shop.reads(f"/subscriptions/{bought}") == 3


async def test_what_is_never_shown_is_given_up_in_the_end(
    service: Any, shop: Any, readings: Any
) -> None:
    await service.tell(shop.tenant())
    await readings.over(shop)
    await service.purchased(shop, "99999999")
    id = f"{shop.reseller_id}|{shop.customer['id']}|99999999"

    async def failing() -> bool:
        found = await readings.collection.find_one({"_id": id})
        return found is not None and found["failures"] > 0

    await eventually(failing, within=20)
    await readings.collection.update_one(
        {"_id": id}, {"$set": {"failures": MOST_FAILURES, "due_at": real_now()}}
    )
    await readings.over(shop, "99999999")


async def test_one_that_is_listed_and_not_shown_neither_ends_nor_stops_the_others(
    service: Any, shop: Any, readings: Any, provisioned: settings.Kafka
) -> None:
    missing, other = await connected(service, shop, 5, 5)
    await told(provisioned, shop, missing, SubscriptionActivated.TOPIC)
    for id in (missing, other):
        await shop.change(id, 6)
    planted = await shop.fault(f"/subscriptions/{missing}", "status", status=404, times=None)
    await service.tell(shop.tenant())
    await service.seats(shop, other, 6)
    await readings.over(shop)
    state = (await service.get(f"/v1/subscriptions/{shop.id(missing)}")).json()
    assert (state["status"], state["options"][0]["quantity"]) == ("active", 5)
    await shop.mend(planted)
    await service.tell(shop.tenant())
    await service.seats(shop, missing, 6)
    topics = await told(provisioned, shop, missing, SubscriptionChanged.TOPIC)
    assert sorted(topics) == [SubscriptionActivated.TOPIC, SubscriptionChanged.TOPIC]


async def test_an_end_is_told_once_when_the_marketplace_says_so(
    service: Any, shop: Any, provisioned: settings.Kafka
) -> None:
    (bought,) = await connected(service, shop, 5)
    await shop.cancel(bought)
    for _ in range(2):
        await service.tell(shop.tenant())
        await service.mirrored(shop, bought, status="terminated", auto_renew=False)
    topics = await told(provisioned, shop, bought, SubscriptionEnded.TOPIC)
    assert topics.count(SubscriptionEnded.TOPIC) == 1


async def test_facts_are_acknowledged_and_leave_the_outbox(
    service: Any, shop: Any, database: Any
) -> None:
    (bought,) = await connected(service, shop, 5)

    async def empty() -> bool:
        found = await database["subscriptions"].find_one({"_id": shop.id(bought)})
        return found["outbox"] == [] and "outbox_since" not in found

    await eventually(empty)
