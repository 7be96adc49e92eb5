"""Kafka in and out: one acknowledged send, and consumers that neither lose a record nor stop at one.

Every default of FastStream and aiokafka that loses messages is set here (reliability §f); a subscriber
that was declared otherwise is refused at start.
"""

import asyncio
import dataclasses
import json
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, for_code
from faststream import AckPolicy
from faststream.exceptions import NackMessage
from faststream.kafka import KafkaBroker
from prometheus_client import Counter
from pydantic import ValidationError

from purser_common import crash, logs, settings, telemetry
from purser_common.errors import Unavailable, VersionConflict
from purser_common.mongo import PyMongoError, is_away
from purser_events.envelope import TYPE_HEADER, Envelope, Fact
from purser_events.topics import BY_TYPE, CONSUMER_GROUPS, TOPICS, dead_letter

__all__ = [
    "Handler",
    "KafkaError",
    "Poison",
    "Producer",
    "Reader",
    "broker",
    "provision",
    "reachable",
    "refuse_unsafe",
    "subscribe",
]

Handler = Callable[[Sequence[Envelope[Any]]], Awaitable[None]]

ATTEMPTS = 5
_log = logs.get(__name__)
_handled = Counter("events_handled_total", "Records by type and outcome.", ["type", "outcome"])
_dead = Counter("dlq_published_total", "Records put aside as unreadable.", ["group"])


class Producer:
    """An idempotent producer that is rebuilt after a fatal error; no process ends because of Kafka."""

    def __init__(self, config: settings.Kafka) -> None:
        self._config = config
        self._current: AIOKafkaProducer | None = None
        self._building = asyncio.Lock()

    async def send(
        self, topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        """Send one record and return when all replicas have it. Raises Unavailable."""
        producer = await self._producer()
        try:
            async with asyncio.timeout(self._config.send_timeout_seconds):
                await producer.send_and_wait(topic, value, key=key.encode(), headers=list(headers))
        except (TimeoutError, KafkaTimeoutError) as error:
            # It may still arrive: sending it again costs a duplicate, never order.
            raise Unavailable("Kafka does not answer", code="kafka_unavailable") from error
        except KafkaError as error:
            if not error.retriable:
                await self._discard(producer)
            raise Unavailable(f"Kafka refused: {error}", code="kafka_unavailable") from error

    async def _producer(self) -> AIOKafkaProducer:
        async with self._building:
            if self._current is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._config.bootstrap_servers,
                    enable_idempotence=True,
                    acks="all",
                    request_timeout_ms=20_000,
                )
                try:
                    await producer.start()
                except KafkaError as error:
                    await producer.stop()
                    raise Unavailable("Kafka is away", code="kafka_unavailable") from error
                except asyncio.CancelledError:
                    await _stopped(producer)
                    raise
                self._current = producer
            return self._current

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        if self._current is producer:
            self._current = None
        await _stopped(producer)

    async def stop(self) -> None:
        """Close the connection; waits at most a few seconds for records under way."""
        if self._current is not None:
            await self._discard(self._current)


async def _stopped(producer: AIOKafkaProducer) -> None:
    try:
        # An idempotent batch never expires, so without a limit this hangs while Kafka is away.
        async with asyncio.timeout(5):
            await producer.stop()
    except (TimeoutError, KafkaError) as error:
        _log.warning("producer not closed in order", error=type(error).__name__)


async def provision(config: settings.Kafka, groups: Sequence[str] = CONSUMER_GROUPS) -> list[str]:
    """Create the topics and dead-letter topics that are missing; returns their names."""
    names = [topic.name for topic in TOPICS] + [dead_letter(group) for group in groups]
    admin = AIOKafkaAdminClient(bootstrap_servers=config.bootstrap_servers)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [name for name in names if name not in existing]
        answer = await admin.create_topics(
            [
                NewTopic(
                    name,
                    config.partitions,
                    config.replication,
                    topic_configs={"cleanup.policy": "delete", "retention.ms": "-1"},
                )
                for name in missing
            ]
        )
        for name, code, *_ in answer.topic_errors:
            if code:
                raise for_code(code)(f"topic {name}")
    finally:
        await admin.close()
    return missing


async def reachable(config: settings.Kafka) -> None:
    """Raises Unavailable when no broker answers."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=config.bootstrap_servers, request_timeout_ms=5_000
    )
    try:
        await admin.start()
    except KafkaConnectionError as error:
        raise Unavailable(
            f"no Kafka at {config.bootstrap_servers}", code="kafka_unavailable"
        ) from error
    finally:
        await admin.close()


def broker(config: settings.Kafka) -> KafkaBroker:
    """A FastStream broker that creates nothing by accident and validates nothing by itself."""
    return KafkaBroker(
        config.bootstrap_servers,
        apply_types=False,
        enable_idempotence=True,
        acks="all",
        allow_auto_create_topics=False,
        graceful_timeout=25,
        request_timeout_ms=20_000,
        logger=None,
    )


def subscribe(
    to: KafkaBroker,
    *,
    group: str,
    instance: str,
    handle: Handler,
    dead_letters: Producer,
    facts: Sequence[type[Fact]] | None = None,
    batch: bool = False,
) -> None:
    """Declare the one subscriber of a purpose, for the given facts or, without any, for all of them.

    With facts the handler gets their class as `data`, without it plain dictionaries. It may see a
    record again and must not mind; it writes to its own database and calls nobody.
    """
    reader = Reader(group, handle, dead_letters, facts)
    names = [fact.TOPIC for fact in facts] if facts else [topic.name for topic in TOPICS]
    to.subscriber(
        *names,
        group_id=group,
        group_instance_id=f"{group}.{instance}",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        auto_offset_reset="earliest",
        max_workers=1,
        session_timeout_ms=30_000,
        heartbeat_interval_ms=5_000,
        max_poll_interval_ms=300_000,
        rebalance_timeout_ms=60_000,
        fetch_max_wait_ms=5_000,
        batch=batch,
        batch_timeout_ms=100,
        max_records=500 if batch else None,
        parser=_parsed,
        decoder=_records,
        title=group,
    )(reader.read)


def refuse_unsafe(subscribers: Sequence[Any]) -> None:
    """Raise ValueError for a subscriber with settings that can lose a record (reliability §f)."""
    for subscriber in subscribers:
        args = subscriber._connection_args
        safe = {
            "ack_policy": subscriber.ack_policy is AckPolicy.NACK_ON_ERROR,
            "enable_auto_commit": args.get("enable_auto_commit") is False,
            "auto_offset_reset": args.get("auto_offset_reset") == "earliest",
            "group_id": bool(subscriber.group_id),
            "group_instance_id": bool(args.get("group_instance_id")),
            "max_workers": getattr(subscriber, "max_workers", 1) == 1,
        }
        wrong = [name for name, good in safe.items() if not good]
        if wrong:
            topics = ", ".join(subscriber.topic_names)
            raise ValueError(f"unsafe subscriber of {topics}: {', '.join(wrong)}")


async def _parsed(record: Any, parse: Callable[[Any], Awaitable[Any]]) -> Any:
    """Headers that are not text would raise before any handler, and spin for ever."""
    if isinstance(record, tuple):
        return await parse(tuple(_plain(one) for one in record))
    return await parse(_plain(record))


def _plain(record: ConsumerRecord[Any, Any]) -> ConsumerRecord[Any, Any]:
    headers = tuple(
        (name, value.decode(errors="replace").encode()) for name, value in record.headers
    )
    return dataclasses.replace(record, headers=headers)


async def _records(message: Any) -> tuple[ConsumerRecord[Any, Any], ...]:
    raw = message.raw_message
    return raw if isinstance(raw, tuple) else (raw,)


class Poison(Exception):
    """A record that no repetition makes readable."""


class Reader:
    """Lenient decode → skip unknown types → validate → handle; what cannot be read is put aside."""

    def __init__(
        self,
        group: str,
        handle: Handler,
        dead_letters: Producer,
        facts: Sequence[type[Fact]] | None,
    ) -> None:
        self._group = group
        self._handle = handle
        self._dead_letters = dead_letters
        self._facts: Mapping[str, type[Fact]] | None = (
            {fact.event_type(): fact for fact in facts} if facts is not None else None
        )
        self._failures = 0
        self._outage = 0

    async def read(self, records: Sequence[ConsumerRecord[Any, Any]]) -> None:
        """Handle the records together, or one by one when together they fail."""
        readable: list[tuple[ConsumerRecord[Any, Any], Envelope[Any]]] = []
        for record in records:
            try:
                envelope = self._envelope(record)
            except Poison as error:
                await self._put_aside(record, error)
                continue
            if envelope is not None:
                readable.append((record, envelope))
        if len(readable) > 1 and await self._together([envelope for _, envelope in readable]):
            return
        for record, envelope in readable:
            await self._one(record, envelope)

    async def _together(self, envelopes: Sequence[Envelope[Any]]) -> bool:
        try:
            with telemetry.continued(f"{self._group} batch", None):
                await self._effect(envelopes)
        except Exception as error:  # noqa: BLE001  one by one, the bad record shows
            if _is_outage(error):
                await self._wait(error)
            return False
        self._outage = 0
        for envelope in envelopes:
            _handled.labels(envelope.type, "handled").inc()
        return True

    async def _one(self, record: ConsumerRecord[Any, Any], envelope: Envelope[Any]) -> None:
        try:
            with telemetry.continued(f"{self._group} {envelope.type}", envelope.traceparent):
                await self._effect((envelope,))
        except Exception as error:
            if _is_outage(error):
                await self._wait(error)
            self._failures += 1
            _handled.labels(envelope.type, "failed").inc()
            if self._failures < ATTEMPTS or isinstance(error, VersionConflict):
                await asyncio.sleep(0.1 * 2**self._failures)
                raise NackMessage from error
            _log.exception("record put aside", group=self._group, type=envelope.type)
            await self._put_aside(record, error)
        else:
            _handled.labels(envelope.type, "handled").inc()
        self._failures = self._outage = 0

    async def _effect(self, envelopes: Sequence[Envelope[Any]]) -> None:
        crash.point("consumer.before_effect")
        await self._handle(envelopes)
        crash.point("consumer.effect_done")

    async def _wait(self, error: Exception) -> None:
        """An outage waits at this record; it never pours a topic into the dead letters."""
        self._outage += 1
        _log.warning("consumer waits", group=self._group, error=str(error))
        await asyncio.sleep(min(30.0, 2.0 ** min(self._outage, 5) / 2) * random.uniform(0.5, 1))  # noqa: S311
        raise NackMessage from error

    def _envelope(self, record: ConsumerRecord[Any, Any]) -> Envelope[Any] | None:
        headers = dict(record.headers)
        type_ = headers.get(TYPE_HEADER, b"").decode(errors="replace")
        if type_ and not self._known(type_):
            _handled.labels("unknown", "skipped").inc()
            return None
        try:
            body = json.loads(record.value or b"")
            plain = Envelope[dict[str, Any]].model_validate(body)
            if not self._known(plain.type):
                _handled.labels("unknown", "skipped").inc()
                return None
            if self._facts is None:
                return plain
            fact = self._facts[plain.type].model_validate(plain.data)
        except (ValueError, ValidationError, RecursionError) as error:
            raise Poison(type(error).__name__) from error
        return Envelope[Any](**{**dict(plain), "data": fact})

    def _known(self, type_: str) -> bool:
        return type_ in self._facts if self._facts is not None else type_ in BY_TYPE

    async def _put_aside(self, record: ConsumerRecord[Any, Any], error: Exception) -> None:
        """The dead letter is acknowledged before the offset is committed; else the record comes again."""
        headers = [
            ("dlq_topic", record.topic.encode()),
            ("dlq_partition", str(record.partition).encode()),
            ("dlq_offset", str(record.offset).encode()),
            ("dlq_group", self._group.encode()),
            ("dlq_error", type(error).__name__.encode()),
            *record.headers,
        ]
        key = (record.key or b"").decode(errors="replace")
        try:
            await self._dead_letters.send(
                dead_letter(self._group), key, record.value or b"", headers
            )
        except Unavailable as outage:
            await self._wait(outage)
        crash.point("consumer.dead_letter_acknowledged")
        _dead.labels(self._group).inc()
        _handled.labels("poison", "put_aside").inc()


def _is_outage(error: Exception) -> bool:
    return isinstance(error, Unavailable) or (isinstance(error, PyMongoError) and is_away(error))
