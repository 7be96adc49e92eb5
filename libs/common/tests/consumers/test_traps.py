"""Every trap of FastStream and aiokafka that loses a record or repeats it for ever (reliability §f)."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from faststream import AckPolicy
from prometheus_client import REGISTRY

from purser_common import kafka as chassis
from purser_common import mongo as chassis_mongo
from purser_common import settings
from purser_common.errors import Unavailable
from purser_common.mongo import DuplicateKeyError
from purser_common.testing import Servers, begin_at_end, create_topics, eventually
from purser_events.envelope import TYPE_HEADER, Envelope
from purser_events.tenant import CustomerAdded

TYPE = (TYPE_HEADER, CustomerAdded.event_type().encode())


def troubles() -> float:
    return REGISTRY.get_sample_value("consumer_troubles_total") or 0.0


class Held:
    """Stays in the middle of handling one record until it is let go."""

    def __init__(self, name: str = "held") -> None:
        self._name = name
        self.within, self.go = asyncio.Event(), asyncio.Event()

    def __call__(self, name: str) -> Any:
        return self._wait() if name == self._name else None

    async def _wait(self) -> None:
        self.within.set()
        await self.go.wait()


@pytest.mark.parametrize("batch", [False, True])
async def test_a_member_that_joins_while_another_handles_loses_nothing_and_the_gate_holds(
    group: Any, mongo: settings.Mongo, batch: bool
) -> None:
    client = chassis_mongo.connect(mongo)
    copies = client[mongo.database]["copies"]

    async def keep(envelopes: Sequence[Envelope[Any]]) -> None:
        await group.handle(envelopes)
        for envelope in envelopes:
            if group.id not in envelope.subject:
                continue
            try:
                await copies.update_one(
                    {"_id": envelope.subject, "sequence": {"$lt": envelope.sequence}},
                    {"$set": {"sequence": envelope.sequence}, "$push": {"seen": envelope.sequence}},
                    upsert=True,
                )
            except DuplicateKeyError:
                continue

    held = Held()
    group.trouble = held
    await group.join("1", handle=keep, batch=batch)
    keys = [f"-{number}" for number in range(6)]
    await group.send("held")
    await asyncio.wait_for(held.within.wait(), 20)
    for sequence in range(1, 6):
        for key in keys:
            await group.send(f"c{key}", sequence=sequence, key=key)
    # a join ends when the one that handles has taken part in the rebalance
    await group.join("2", handle=keep, batch=batch)
    held.go.set()

    async def all_there() -> bool:
        found = await copies.find({}).to_list(None)
        newest = {one["_id"].rpartition("-")[2]: one["sequence"] for one in found}
        assert newest == {"held": 1, **{key[1:]: 5 for key in keys}}
        return True

    await eventually(all_there, within=40)
    for copy in await copies.find({}).to_list(None):
        assert copy["seen"] == list(range(1, copy["sequence"] + 1))
    await chassis_mongo.close(client)


async def test_a_success_elsewhere_never_commits_past_a_record_that_waits(group: Any) -> None:
    def trouble(name: str) -> None:
        if name == "waits":
            raise Unavailable("away")

    group.trouble = trouble
    member = await group.join(patience=0.2)
    await group.send("waits")
    others = [f"o{number}" for number in range(12)]
    for name in others:
        await group.send(name, key=name)
    places = dict(zip(("waits", *others), await group.placed("waits", *others), strict=True))
    partition, offset = places["waits"]
    elsewhere = {name for name in others if places[name][0] != partition}
    assert elsewhere
    await eventually(lambda: elsewhere <= set(group.handled), within=30)
    await member.stop()
    assert (await group.committed()).get(partition, 0) <= offset
    group.trouble = lambda _: None
    await group.join()
    await eventually(lambda: {"waits", *others} <= set(group.handled), within=30)


async def test_a_commit_that_fails_is_counted_and_the_record_comes_again(group: Any) -> None:
    held, before = Held(), troubles()
    group.trouble = held
    first = await group.join("1")
    await group.send("held")
    await asyncio.wait_for(held.within.wait(), 20)
    # the same instance again: Kafka gives it the first one's place
    await group.join("1")
    held.go.set()
    await eventually(lambda: troubles() > before, within=20)
    await first.stop()
    await eventually(lambda: len(group.handled) >= 2, within=30)
    assert set(group.handled) == {"held"}


async def test_a_stop_waits_for_the_record_in_hand_and_commits_it(group: Any) -> None:
    held = Held()
    group.trouble = held
    member = await group.join()
    await group.send("held")
    ((partition, offset),) = await group.placed("held")
    await asyncio.wait_for(held.within.wait(), 20)
    stopping = asyncio.create_task(member.stop())
    held.go.set()
    await asyncio.wait_for(stopping, 20)
    assert group.handled == ["held"]
    assert (await group.committed())[partition] > offset


async def test_a_record_that_a_stop_cut_off_comes_again(group: Any) -> None:
    held = Held()
    group.trouble = held
    member = await group.join()
    assert member.config.broker_config.graceful_timeout == 25
    member.config.broker_config.graceful_timeout = 0.1
    await group.send("held")
    ((partition, offset),) = await group.placed("held")
    await asyncio.wait_for(held.within.wait(), 20)
    await asyncio.wait_for(member.stop(), 20)
    assert group.handled == []
    assert (await group.committed()).get(partition, 0) <= offset
    held.go.set()
    await group.join()
    await eventually(lambda: group.handled == ["held"], within=30)


async def test_a_handler_that_hangs_is_cut_off_and_its_record_comes_again(group: Any) -> None:
    hung: list[str] = []

    def trouble(name: str) -> Any:
        if name == "hangs" and len(hung) < 2:
            hung.append(name)
            return asyncio.Event().wait()
        return None

    group.trouble = trouble
    await group.join(patience=0.3)
    await group.send("hangs")
    await group.send("next")
    await eventually(lambda: group.handled == ["hangs", "next"], within=30)
    assert len(hung) == 2


async def test_poison_is_not_committed_before_its_dead_letter_is_acknowledged(
    new_group: Any,
) -> None:
    group, refused = new_group, []
    await begin_at_end(group.config, group.name, CustomerAdded.TOPIC)

    class Refused:
        async def send(self, *record: Any) -> None:
            try:
                await group.producer.send(*record)
            except Unavailable:
                refused.append(record)
                raise

    member = await group.join(dead_letters=Refused(), patience=0.2)
    await group.send("poison", b"poison")
    await group.send("next")
    ((partition, offset),) = await group.placed("next")
    await eventually(lambda: len(refused) == 2, within=40)
    assert group.handled == []
    await member.stop()
    assert (await group.committed()).get(partition, 0) < offset
    await create_topics(group.config, f"{group.name}.dlq", partitions=1)
    await group.join()
    await eventually(lambda: group.handled == ["next"], within=40)
    assert [one.value for one in await group.letters()] == [b"poison"]


@pytest.mark.parametrize("batch", [False, True])
async def test_headers_that_nobody_of_ours_sends_do_no_harm(group: Any, batch: bool) -> None:
    await group.join(batch=batch)
    for header in (("odd", None), ("odd", b"\xff"), ("reply_to", b"customer.added")):
        await group.send("odd", headers=[TYPE, header])
    await group.send("next")
    await eventually(lambda: "next" in group.handled, within=20)
    assert group.handled == ["odd", "odd", "odd", "next"]


async def test_poison_too_large_for_a_letter_is_put_aside_by_its_place(group: Any) -> None:
    size = 1_048_300
    await group.join()
    await group.send("large", b"x" * size)
    await group.send("next")
    await eventually(lambda: group.handled == ["next"], within=40)
    (letter,) = await group.letters()
    headers = dict(letter.headers)
    assert letter.value == b""
    assert int(headers["dlq_omitted"]) >= size
    assert headers["dlq_topic"] == b"customer.added"
    assert headers["dlq_offset"].isdigit()


async def test_consuming_creates_no_topic(kafka: settings.Kafka) -> None:
    absent = f"test.{uuid4().hex}"
    broker = chassis.broker(kafka)

    async def handler(_: Any) -> None: ...

    broker.subscriber(absent, group_id=absent, ack_policy=AckPolicy.NACK_ON_ERROR)(handler)
    starting = asyncio.create_task(broker.start())
    await asyncio.wait([starting], timeout=2)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await broker.stop()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    assert absent not in await admin.list_topics()
    await admin.close()


async def test_consumers_of_an_absent_kafka_start_when_it_appears(
    private_servers: Servers, private_group: Any
) -> None:
    await private_group.send("earlier")
    await private_servers.kill_kafka()
    starting = asyncio.create_task(chassis.start(private_group.member(), asyncio.Event()))
    done, _ = await asyncio.wait([starting], timeout=3)
    assert not done
    await private_servers.start_kafka()
    await asyncio.wait_for(starting, 30)
    await eventually(lambda: private_group.handled == ["earlier"], within=20)


@pytest.mark.parametrize(
    ("unsafe", "named"),
    [
        ({"ack_policy": AckPolicy.ACK}, "ack_policy"),
        ({"ack_policy": AckPolicy.MANUAL}, "ack_policy"),
        ({"ack_policy": AckPolicy.ACK_FIRST}, "enable_auto_commit"),
        ({"auto_offset_reset": "latest"}, "auto_offset_reset"),
        ({"group_instance_id": None}, "group_instance_id"),
        ({"group_id": None}, "group_id"),
        ({"max_workers": 2}, "max_workers"),
        ({"no_reply": False}, "no_reply"),
        ({"session_timeout_ms": 10_000}, "session_timeout_ms"),
        ({"rebalance_timeout_ms": None}, "rebalance_timeout_ms"),
        ({"max_poll_interval_ms": 10_000}, "max_poll_interval_ms"),
    ],
)
def test_the_guard_refuses_unsafe_subscribers(unsafe: dict[str, Any], named: str) -> None:
    broker = chassis.broker(settings.Kafka())
    safe: dict[str, Any] = {
        "group_id": "g",
        "group_instance_id": "g.1",
        "ack_policy": AckPolicy.NACK_ON_ERROR,
        "auto_offset_reset": "earliest",
        "session_timeout_ms": 30_000,
        "rebalance_timeout_ms": 60_000,
        "max_poll_interval_ms": 300_000,
        "no_reply": True,
    }

    async def handler(_: Any) -> None: ...

    broker.subscriber("customer.added", **safe)(handler)
    chassis.refuse_unsafe(broker.subscribers)
    broker.subscriber("customer.updated", **{**safe, **unsafe})(handler)
    with pytest.raises(ValueError, match=f"customer.updated: .*{named}"):
        chassis.refuse_unsafe(broker.subscribers)
