"""What a group has put aside, read from its dead-letter topic; and how far groups lag behind."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from purser_common import settings
from purser_common.errors import NotFound, Unavailable
from purser_common.kafka.producing import reachable
from purser_events.topics import dead_letter

Record: TypeAlias = "ConsumerRecord[Any, Any]"

MOST_BYTES = 32 * 1024 * 1024
"""How much is read into memory at once, whatever the number of letters."""
_PATIENCE = 20.0


@dataclass(frozen=True)
class Letter:
    """A record that a group has put aside, as the group read it: with its place, key and headers."""

    group: str
    partition: int
    offset: int
    at: datetime
    about: Mapping[str, str]
    """What was noted when it was put aside, by name without `dlq_`."""
    record: Record

    @property
    def id(self) -> str:
        """Where the letter lies: `<group>/<partition>/<offset>` of the dead-letter topic."""
        return f"{self.group}/{self.partition}/{self.offset}"

    @property
    def source(self) -> str:
        """Where the record came from: `<topic>/<partition>/<offset>`."""
        return f"{self.record.topic}/{self.record.partition}/{self.record.offset}"

    @property
    def key(self) -> str:
        """The record's key."""
        return (self.record.key or b"").decode(errors="replace")


async def letters(
    config: settings.Kafka, group: str, wanted: Callable[[Letter], bool], limit: int
) -> tuple[list[Letter], bool]:
    """The wanted letters of a group, oldest first in each partition, and whether there are more.

    Raises Unavailable when Kafka does not answer.
    """
    found: list[Letter] = []
    size = 0
    async with _reader(config) as consumer:
        places = await _places(config, [dead_letter(group)])
        begin, end = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        # an empty partition is left out: a fetch from it waits for half a second
        for place in (place for place in places if begin[place] < end[place]):
            async for record in _read(consumer, place, 0, end[place]):
                letter = _letter(group, record)
                if not wanted(letter):
                    continue
                size += len(record.value or b"")
                if len(found) == limit or size > MOST_BYTES:
                    return found, True
                found.append(letter)
    return found, False


async def letter(config: settings.Kafka, id: str) -> Letter:
    """One letter. Raises NotFound, Unavailable."""
    group, partition, offset = parsed(id)
    return _letter(group, await record_at(config, dead_letter(group), partition, offset))


def parsed(id: str) -> tuple[str, int, int]:
    """Group, partition and offset of a letter's id. Raises NotFound for what is none."""
    group, _, place = id.partition("/")
    partition, _, offset = place.partition("/")
    if not (group and partition.isdecimal() and offset.isdecimal()):
        raise NotFound("there is no such dead letter; an id is <group>/<partition>/<offset>")
    return group, int(partition), int(offset)


async def record_at(config: settings.Kafka, topic: str, partition: int, offset: int) -> Record:
    """The record at a place. Raises NotFound, Unavailable."""
    place = TopicPartition(topic, partition)
    if place in await _places(config, [topic]):
        async with _reader(config) as consumer:
            end = (await consumer.end_offsets([place]))[place]
            async for record in _read(consumer, place, offset, end):
                if record.offset == offset:
                    return record
                break
    raise NotFound(f"there is no record at {topic}/{partition}/{offset}")


async def whole(config: settings.Kafka, letter: Letter) -> Record:
    """The letter's record, read where it came from when it was too large to be put aside."""
    if "omitted" not in letter.about:
        return letter.record
    source = letter.record
    return await record_at(config, source.topic, source.partition, source.offset)


async def counts(config: settings.Kafka, groups: Sequence[str]) -> dict[str, int]:
    """How many letters each group has ever put aside, as far as they are still kept."""
    totals = dict.fromkeys(groups, 0)
    async with _reader(config) as consumer:
        places = await _places(config, [dead_letter(group) for group in groups])
        begin, end = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    for group in groups:
        own = [place for place in places if place.topic == dead_letter(group)]
        totals[group] = sum(end[place] - begin[place] for place in own)
    return totals


async def lags(config: settings.Kafka, topics: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How many records each group has not committed yet; `topics` are those that it reads."""
    found = {}
    async with _reader(config) as consumer, _admin(config) as admin:
        for group, names in topics.items():
            places = await _places(config, names)
            committed = await admin.list_consumer_group_offsets(group)
            begin = await consumer.beginning_offsets(places)
            end = await consumer.end_offsets(places)
            done = {place: mark.offset for place, mark in committed.items()}
            found[group] = sum(end[p] - max(begin[p], done.get(p, 0)) for p in places)
    return found


def _letter(group: str, record: Record) -> Letter:
    """As it was put aside; a letter that somebody else wrote stands for itself."""
    texts = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    about = {name[4:]: text for name, text in texts.items() if name.startswith("dlq_")}
    place = (about.get("partition", ""), about.get("offset", ""))
    if "topic" in about and all(one.isdecimal() for one in place):
        original = dataclasses.replace(
            record,
            topic=about["topic"],
            partition=int(place[0]),
            offset=int(place[1]),
            headers=tuple(one for one in record.headers if not one[0].startswith("dlq_")),
        )
    else:
        original = record
    at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    return Letter(group, record.partition, record.offset, at, about, original)


@asynccontextmanager
async def _reader(config: settings.Kafka) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group. What Kafka does not answer is Unavailable."""
    await reachable(config)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=config.bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        request_timeout_ms=10_000,
    )
    try:
        await consumer.start()
        yield consumer
    except KafkaError as error:
        raise Unavailable(f"Kafka refused: {error}", code="kafka_unavailable") from error
    finally:
        await consumer.stop()


@asynccontextmanager
async def _admin(config: settings.Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=config.bootstrap_servers, request_timeout_ms=10_000
    )
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def _places(config: settings.Kafka, topics: Sequence[str]) -> list[TopicPartition]:
    """Every partition of the topics that exist."""
    async with _admin(config) as admin:
        described = await admin.describe_topics(list(topics))
    return sorted(
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    )


async def _read(
    consumer: AIOKafkaConsumer, place: TopicPartition, start: int, end: int
) -> AsyncIterator[Record]:
    """The records of a partition from `start` to before `end`."""
    consumer.assign([place])
    begin = (await consumer.beginning_offsets([place]))[place]
    consumer.seek(place, max(start, begin))
    last = asyncio.get_running_loop().time()
    while await consumer.position(place) < end:
        batch = (await consumer.getmany(place, timeout_ms=500, max_records=100)).get(place, [])
        now = asyncio.get_running_loop().time()
        if not batch and now - last > _PATIENCE:
            raise Unavailable("Kafka does not answer", code="kafka_unavailable")
        last = now if batch else last
        for record in batch:
            if record.offset >= end:
                return
            yield record
