"""Consumers neither lose a record nor stop at one (reliability §f)."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from faststream import AckPolicy

from purser_common import kafka as chassis
from purser_common import settings
from purser_common.errors import Unavailable
from purser_common.testing import create_topics, eventually, records
from purser_events.envelope import TYPE_HEADER, Envelope, envelop
from purser_events.tenant import Customer, CustomerAdded


def fact(id: str, sequence: int = 1) -> tuple[bytes, list[tuple[str, bytes]]]:
    state = Customer(id=id, name="Contoso", added_at=datetime(2026, 1, 2, tzinfo=UTC))
    envelope = envelop(
        CustomerAdded(state=state),
        source="purser/test",
        subject=f"customer/{id}",
        sequence=sequence,
        time=datetime.now(UTC),
        actor="user:admin",
        correlation_id="correlation-1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    value = envelope.model_dump_json(exclude_none=True, serialize_as_any=True).encode()
    return value, [(TYPE_HEADER, envelope.type.encode())]


class Seen:
    """A handler that records subjects; `trouble` may raise before."""

    def __init__(self, trouble: Callable[[str], None] = lambda _: None) -> None:
        self.subjects: list[str] = []
        self.trouble = trouble

    async def __call__(self, envelopes: Sequence[Envelope[Any]]) -> None:
        for envelope in envelopes:
            self.trouble(envelope.subject)
        self.subjects += [envelope.subject for envelope in envelopes]


@pytest.fixture
async def producer(provisioned: settings.Kafka) -> AsyncIterator[chassis.Producer]:
    producer = chassis.Producer(provisioned)
    yield producer
    await producer.stop()


@asynccontextmanager
async def consuming(
    config: settings.Kafka, producer: chassis.Producer, handle: chassis.Handler, **options: Any
) -> AsyncIterator[str]:
    group = f"test.{uuid4().hex[:8]}"
    await create_topics(config, f"{group}.dlq")
    broker = chassis.broker(config)
    chassis.subscribe(
        broker,
        group=group,
        instance="1",
        handle=handle,
        dead_letters=producer,
        facts=[CustomerAdded],
        **options,
    )
    chassis.refuse_unsafe(broker.subscribers)
    await broker.start()
    try:
        yield group
    finally:
        await broker.stop()


@pytest.mark.parametrize("batch", [False, True])
async def test_known_facts_arrive_and_unknown_types_are_skipped(
    provisioned: settings.Kafka, producer: chassis.Producer, batch: bool
) -> None:
    seen, id = Seen(), uuid4().hex
    async with consuming(provisioned, producer, seen, batch=batch):
        value, headers = fact(id)
        unknown = [(TYPE_HEADER, b"purser.customer.vanished.v1")]
        await producer.send("customer.added", id, b"not even json", unknown)
        await producer.send("customer.added", id, value, headers)
        await eventually(lambda: f"customer/{id}" in seen.subjects, within=20)


@pytest.mark.parametrize(
    "poison",
    [b"not json", b"5", b"[]", b"{}", b"\xff\xfe", b'{"specversion":"1.0"}'],
    ids=["text", "number", "list", "empty", "binary", "half"],
)
async def test_poison_goes_to_the_groups_dead_letters_and_the_next_record_is_handled(
    provisioned: settings.Kafka, producer: chassis.Producer, poison: bytes
) -> None:
    seen, id = Seen(), uuid4().hex
    async with consuming(provisioned, producer, seen) as group:
        bad_header = [(TYPE_HEADER, CustomerAdded.event_type().encode()), ("odd", b"\xff")]
        await producer.send("customer.added", id, poison, bad_header)
        value, headers = fact(id)
        await producer.send("customer.added", id, value, headers)
        await eventually(lambda: f"customer/{id}" in seen.subjects, within=20)
        dead = await records(
            provisioned,
            f"{group}.dlq",
            until=lambda r: any(x.value == poison for x in r),
            within=30,
        )
        names = dict(next(x for x in dead if x.value == poison).headers)
        assert names["dlq_topic"] == b"customer.added"
        assert names["dlq_group"] == group.encode()


@pytest.mark.parametrize("batch", [False, True])
async def test_an_outage_waits_and_pours_nothing_into_the_dead_letters(
    provisioned: settings.Kafka, producer: chassis.Producer, batch: bool
) -> None:
    id, away = uuid4().hex, [True, True, True]

    def trouble(subject: str) -> None:
        if subject == f"customer/{id}-1" and away:
            away.pop()
            raise Unavailable("the database is away")

    seen = Seen(trouble)
    async with consuming(provisioned, producer, seen, batch=batch):
        for number in (1, 2):
            value, headers = fact(f"{id}-{number}")
            await producer.send("customer.added", id, value, headers)
        await eventually(lambda: f"customer/{id}-2" in seen.subjects, within=40)
    own = [subject for subject in seen.subjects if id in subject]
    assert list(dict.fromkeys(own)) == [f"customer/{id}-1", f"customer/{id}-2"]
    assert not away


async def test_a_record_that_always_fails_is_put_aside_after_some_attempts(
    provisioned: settings.Kafka, producer: chassis.Producer
) -> None:
    id = uuid4().hex

    def trouble(subject: str) -> None:
        if subject == f"customer/{id}-bad":
            raise KeyError("a defect")

    seen = Seen(trouble)
    async with consuming(provisioned, producer, seen) as group:
        for name in ("bad", "good"):
            value, headers = fact(f"{id}-{name}")
            await producer.send("customer.added", id, value, headers)
        await eventually(lambda: f"customer/{id}-good" in seen.subjects, within=40)
        bad = f"customer/{id}-bad".encode()
        await records(
            provisioned,
            f"{group}.dlq",
            until=lambda found: any(bad in (record.value or b"") for record in found),
            within=30,
        )


async def test_a_handler_runs_under_the_trace_of_the_fact(
    provisioned: settings.Kafka, producer: chassis.Producer
) -> None:
    from purser_common import telemetry

    telemetry.configure("test", "1", None)
    id, traces = uuid4().hex, []

    async def handle(envelopes: Sequence[Envelope[Any]]) -> None:
        if envelopes[0].subject == f"customer/{id}":
            traces.append(telemetry.trace_id())

    async with consuming(provisioned, producer, handle):
        value, headers = fact(id)
        await producer.send("customer.added", id, value, headers)
        await eventually(lambda: traces == ["0af7651916cd43dd8448eb211c80319c"], within=20)


@pytest.mark.parametrize(
    ("unsafe", "named"),
    [
        ({"ack_policy": AckPolicy.ACK}, "ack_policy"),
        ({"ack_policy": AckPolicy.ACK_FIRST}, "enable_auto_commit"),
        ({"auto_offset_reset": "latest"}, "auto_offset_reset"),
        ({"group_instance_id": None}, "group_instance_id"),
        ({"group_id": None}, "group_id"),
    ],
)
def test_the_guard_refuses_unsafe_subscribers(unsafe: dict[str, Any], named: str) -> None:
    broker = chassis.broker(settings.Kafka())
    safe: dict[str, Any] = {
        "group_id": "g",
        "group_instance_id": "g.1",
        "ack_policy": AckPolicy.NACK_ON_ERROR,
        "auto_offset_reset": "earliest",
    }

    async def handler(_: Any) -> None: ...

    broker.subscriber("customer.added", **{**safe, **unsafe})(handler)
    with pytest.raises(ValueError, match=named):
        chassis.refuse_unsafe(broker.subscribers)
