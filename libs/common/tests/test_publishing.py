"""Facts on the way to a real Kafka: publishers die, meet, and outlive a broker; none is lost."""

import asyncio
import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import TopicPartition

from purser_common import settings
from purser_common.errors import Unavailable
from purser_common.kafka import Producer, provision
from purser_common.outbox import MAX_FACT_BYTES, Publisher
from purser_common.testing import Servers, eventually, records

PROGRAM = Path(__file__).parent / "publish.py"
TOPIC = "customer.added"


async def told(config: settings.Kafka, id: str, least: int) -> list[int]:
    """The sequences of one document's facts in the order of the log, once there are so many."""

    def own(read: list[Any]) -> list[int]:
        found = [json.loads(one.value) for one in read if one.key == id.encode()]
        return [one["sequence"] for one in found]

    return own(await records(config, TOPIC, until=lambda read: len(own(read)) >= least, within=30))


@pytest.mark.parametrize("acknowledged", [1, 2, 3])
async def test_facts_of_a_publisher_killed_before_it_removed_them_come_again_in_order(
    written: Any,
    mongo: settings.Mongo,
    provisioned: settings.Kafka,
    producer: Producer,
    acknowledged: int,
) -> None:
    id = uuid4().hex
    await written.insert(id, facts=3)
    given = (provisioned.bootstrap_servers, mongo.url, mongo.database, id, str(acknowledged))
    publishing = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), *given, stdout=subprocess.PIPE
    )
    assert publishing.stdout
    assert await publishing.stdout.readline() == b"acknowledged\n"
    publishing.kill()
    await publishing.wait()
    assert len((await written.load(id))["outbox"]) == 3
    publisher = Publisher(producer)
    working = asyncio.create_task(publisher.run())
    await publisher.sweep([written.collection], older_than=timedelta(0))
    assert await told(provisioned, id, acknowledged + 3) == [*range(1, acknowledged + 1), 1, 2, 3]

    async def emptied() -> bool:
        return (await written.load(id))["outbox"] == []

    await eventually(emptied)
    assert "outbox_since" not in await written.load(id)
    working.cancel()


async def test_two_publishers_of_growing_documents_keep_every_order(
    written: Any, provisioned: settings.Kafka
) -> None:
    ids = [uuid4().hex for _ in range(4)]
    producers = [Producer(provisioned), Producer(provisioned)]
    publishers = [Publisher(producer) for producer in producers]
    working = [asyncio.create_task(publisher.run()) for publisher in publishers]

    async def grow(id: str) -> None:
        await written.insert(id)
        for _ in range(9):
            for publisher in publishers:
                publisher.nudge(written.collection, id)
            await written.save(await written.load(id))
        for publisher in publishers:
            publisher.nudge(written.collection, id)

    await asyncio.gather(*(grow(id) for id in ids))

    async def emptied() -> bool:
        return not any([(await written.load(id))["outbox"] for id in ids])

    await eventually(emptied, within=20)
    for id in ids:
        assert list(dict.fromkeys(await told(provisioned, id, 10))) == list(range(1, 11))
    for task in working:
        task.cancel()
    for producer in producers:
        await producer.stop()


@pytest.mark.parametrize("driver", ["motor"])
async def test_facts_written_while_kafka_is_killed_and_comes_back_all_arrive_in_order(
    written: Any, private_servers: Servers
) -> None:
    config = private_servers.kafka.model_copy(update={"send_timeout_seconds": 2.0})
    await provision(config)
    producer, ids = Producer(config), [uuid4().hex for _ in range(3)]
    publisher = Publisher(producer)
    working = [asyncio.create_task(publisher.run())]

    async def sweep() -> None:
        while True:
            await publisher.sweep([written.collection], older_than=timedelta(seconds=1))
            await asyncio.sleep(0.5)

    async def grow(id: str) -> None:
        await written.insert(id)
        for _ in range(29):
            publisher.nudge(written.collection, id)
            await written.save(await written.load(id))
            await asyncio.sleep(0.05)

    working.append(asyncio.create_task(sweep()))
    growing = asyncio.gather(*(grow(id) for id in ids))
    await eventually(lambda: told(config, ids[0], 5))
    await private_servers.kill_kafka()
    await growing
    await private_servers.start_kafka()

    async def emptied() -> bool:
        return not any([(await written.load(id))["outbox"] for id in ids])

    await eventually(emptied, within=60)
    for id in ids:
        assert list(dict.fromkeys(await told(config, id, 30))) == list(range(1, 31))
    for task in working:
        task.cancel()
    await producer.stop()


async def test_the_largest_fact_that_is_accepted_can_be_published(
    written: Any, provisioned: settings.Kafka, producer: Producer
) -> None:
    id = uuid4().hex
    document = await written.insert(id)
    room = MAX_FACT_BYTES - len(document["outbox"][0]["value"]) + len("Contoso")
    await written.save(document, named="x" * room)
    assert len((await written.load(id))["outbox"][1]["value"]) == MAX_FACT_BYTES
    assert await Publisher(producer).publish(written.collection, id) == 2
    assert await told(provisioned, id, 2) == [1, 2]


async def test_a_producer_that_kafka_refuses_for_good_is_built_anew(
    provisioned: settings.Kafka, producer: Producer
) -> None:
    id = uuid4().hex
    await producer.send(TOPIC, id, b"1", [])
    broken = producer._current
    assert broken is not None
    for partition in range(provisioned.partitions):
        # a gap in the numbers of an idempotent producer, as after a loss of the broker's state
        broken._txn_manager.increment_sequence_number(TopicPartition(TOPIC, partition), 1000)
    with pytest.raises(Unavailable):
        await producer.send(TOPIC, id, b"2", [])
    await producer.send(TOPIC, id, b"2", [])
    assert producer._current is not broken
    read = await records(
        provisioned, TOPIC, until=lambda all_: sum(one.key == id.encode() for one in all_) >= 2
    )
    assert [one.value for one in read if one.key == id.encode()] == [b"1", b"2"]


async def test_a_producer_waits_for_all_replicas_and_repeats_nothing_by_itself(
    provisioned: settings.Kafka, producer: Producer
) -> None:
    await producer.send(TOPIC, uuid4().hex, b"1", [])
    assert producer._current is not None
    assert producer._current._sender._acks == -1
    assert producer._current._txn_manager is not None


async def test_a_producer_with_records_under_way_ends_while_kafka_is_away(
    private_servers: Servers,
) -> None:
    config = private_servers.kafka.model_copy(update={"send_timeout_seconds": 1.0})
    await provision(config)
    producer = Producer(config)
    await producer.send(TOPIC, "k", b"1", [])
    await private_servers.kill_kafka()
    with pytest.raises(Unavailable):
        await producer.send(TOPIC, "k", b"2", [])
    began = time.monotonic()
    await producer.stop()
    assert time.monotonic() - began < 8
