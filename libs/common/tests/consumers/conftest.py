"""A consumer group of a test's own, whose members come and go."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from faststream.kafka import KafkaBroker

from purser_common import kafka as chassis
from purser_common import settings
from purser_common.testing import Servers, begin_at_end, create_topics, records
from purser_events.envelope import TYPE_HEADER, Envelope, envelop
from purser_events.tenant import Customer, CustomerAdded

TOPIC = CustomerAdded.TOPIC
HEADERS = [(TYPE_HEADER, CustomerAdded.event_type().encode())]
TRACE = "0af7651916cd43dd8448eb211c80319c"


def fact(id: str, sequence: int) -> bytes:
    state = Customer(id=id, name="Contoso", added_at=datetime(2026, 1, 2, tzinfo=UTC))
    envelope = envelop(
        CustomerAdded(state=state),
        source="purser/test",
        subject=f"customer/{id}",
        sequence=sequence,
        time=datetime.now(UTC),
        actor="user:admin",
        correlation_id="correlation-1",
        traceparent=f"00-{TRACE}-b7ad6b7169203331-01",
    )
    return envelope.model_dump_json(exclude_none=True, serialize_as_any=True).encode()


class Group:
    """A group that handles what this test sends, named `<id>-<name>`; others' records pass by.

    `trouble` gets the name before it is noted; it may raise or wait.
    """

    def __init__(self, config: settings.Kafka, producer: chassis.Producer) -> None:
        self.config = config
        self.id = uuid4().hex
        self.name = f"test.{self.id[:8]}"
        self.handled: list[str] = []
        self.trouble: Callable[[str], Any] = lambda _: None
        self.producer = producer
        self._members: list[KafkaBroker] = []

    def fact(self, name: str, sequence: int = 1) -> bytes:
        """A fact of this test's."""
        return fact(f"{self.id}-{name}", sequence)

    async def send(
        self,
        name: str,
        value: bytes | None = None,
        headers: Sequence[tuple[str, Any]] = HEADERS,
        *,
        sequence: int = 1,
        key: str = "",
    ) -> None:
        """Send a fact, or another value; all go to one partition unless a key is given."""
        content = self.fact(name, sequence) if value is None else value
        await self.producer.send(TOPIC, self.id + key, content, headers)

    async def handle(self, envelopes: Sequence[Envelope[Any]]) -> None:
        """Note what is this test's."""
        names = [one.subject.rpartition("-")[2] for one in envelopes if self.id in one.subject]
        for name in names:
            waiting = self.trouble(name)
            if waiting is not None:
                await waiting
        self.handled += names

    def member(self, instance: str = "1", **options: Any) -> KafkaBroker:
        """A member that is not started yet."""
        member = chassis.broker(self.config)
        given = {
            "handle": self.handle,
            "facts": [CustomerAdded],
            "dead_letters": self.producer,
            **options,
        }
        chassis.subscribe(member, group=self.name, instance=instance, **given)
        chassis.refuse_unsafe(member.subscribers)
        self._members.append(member)
        return member

    async def join(self, instance: str = "1", **options: Any) -> KafkaBroker:
        """A member that has joined."""
        member = self.member(instance, **options)
        await member.start()
        return member

    async def placed(self, *names: str) -> list[tuple[int, int]]:
        """Partition and offset of the first record of each name."""

        def places(read: list[Any]) -> dict[str, tuple[int, int]]:
            own = [one for one in read if (one.key or b"").startswith(self.id.encode())]
            return {
                name: (one.partition, one.offset)
                for one in reversed(own)
                for name in names
                if f'{self.id}-{name}"'.encode() in one.value
            }

        read = await records(
            self.config, TOPIC, until=lambda read: len(places(read)) == len(names), within=30
        )
        return [places(read)[name] for name in names]

    async def committed(self) -> dict[int, int]:
        """How far each partition of the topic is committed."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.config.bootstrap_servers)
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(self.name)
        finally:
            await admin.close()
        return {place.partition: at.offset for place, at in found.items() if place.topic == TOPIC}

    async def letters(self) -> list[Any]:
        """All of this group's dead letters by now; the topic has one partition."""
        topic, end = f"{self.name}.dlq", uuid4().hex.encode()
        await self.producer.send(topic, "", end, [])
        found = await records(
            self.config, topic, until=lambda read: read and read[-1].value == end, within=30
        )
        return [one for one in found if (one.key or b"").startswith(self.id.encode())]

    async def end(self) -> None:
        """Stop the members that still run."""
        await asyncio.gather(*(member.stop() for member in self._members))


@pytest.fixture
async def new_group(
    provisioned: settings.Kafka, producer: chassis.Producer
) -> AsyncIterator[Group]:
    """A group that Kafka does not know yet, without dead letters."""
    group = Group(provisioned, producer)
    yield group
    await group.end()


@pytest.fixture
async def group(new_group: Group) -> Group:
    """A group that begins with what this test sends."""
    await create_topics(new_group.config, f"{new_group.name}.dlq", partitions=1)
    await begin_at_end(new_group.config, new_group.name, TOPIC)
    return new_group


@pytest.fixture
async def private_group(private_servers: Servers) -> AsyncIterator[Group]:
    """A group on a Kafka that the test may kill."""
    config = private_servers.kafka.model_copy(update={"send_timeout_seconds": 2.0})
    await chassis.provision(config)
    group = Group(config, chassis.Producer(config))
    await create_topics(config, f"{group.name}.dlq")
    await begin_at_end(config, group.name, TOPIC)
    yield group
    await private_servers.start()
    await group.end()
    await group.producer.stop()
