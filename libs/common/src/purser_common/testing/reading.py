"""Topics of a test's own, and what was written to them."""

import asyncio
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from purser_common import settings


async def create_topics(config: settings.Kafka, *names: str, partitions: int = 0) -> None:
    """Create topics, with the settings' number of partitions or this one; existing ones stay."""
    admin = AIOKafkaAdminClient(bootstrap_servers=config.bootstrap_servers)
    await admin.start()
    try:
        count = partitions or config.partitions
        answer = await admin.create_topics(
            [NewTopic(name, count, config.replication) for name in names]
        )
        for name, code, *_ in answer.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                raise for_code(code)(f"topic {name}")
    finally:
        await admin.close()


async def begin_at_end(config: settings.Kafka, group: str, *topics: str) -> None:
    """Let a consumer group without members begin with what is sent from now on."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=config.bootstrap_servers, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        places = [
            TopicPartition(topic, number) for topic in topics for number in range(config.partitions)
        ]
        consumer.assign(places)
        await consumer.commit(await consumer.end_offsets(places))
    finally:
        await consumer.stop()


async def records(
    config: settings.Kafka,
    *topics: str,
    until: Callable[[list[ConsumerRecord[bytes, bytes]]], object],
    within: float = 10.0,
) -> list[ConsumerRecord[bytes, bytes]]:
    """Everything on the topics from the beginning, read until `until` says it is enough.

    Raises AssertionError with what was read when it is not enough within that many seconds.
    """
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=config.bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    read: list[ConsumerRecord[bytes, bytes]] = []
    await consumer.start()
    try:
        async with asyncio.timeout(within):
            while not until(read):
                batches = await consumer.getmany(timeout_ms=200)
                read += [record for batch in batches.values() for record in batch]
    except TimeoutError:
        seen = [(record.topic, record.value) for record in read[-10:]]
        raise AssertionError(
            f"not within {within:g} s; {len(read)} records read, the last of them {seen}"
        ) from None
    finally:
        await consumer.stop()
    return read
