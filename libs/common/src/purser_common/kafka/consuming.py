"""Consumers that neither lose a record nor stop at one."""

import asyncio
import contextlib
import dataclasses
import hashlib
import itertools
import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.exceptions import NackMessage
from faststream.kafka import KafkaBroker
from prometheus_client import Counter
from pydantic import ValidationError

from purser_common import crash, logs, settings, telemetry
from purser_common.errors import Unavailable, VersionConflict
from purser_common.kafka.producing import Producer
from purser_common.mongo import PyMongoError, is_away
from purser_events.envelope import TYPE_HEADER, Envelope, Fact
from purser_events.topics import TOPICS, dead_letter

Handler = Callable[[Sequence[Envelope[Any]]], Awaitable[None]]

Place = tuple[str, int, int]

ATTEMPTS = 5
LETTER_BYTES = 900_000
_SAFE_SECONDS = {"session_timeout_ms": 30, "rebalance_timeout_ms": 60, "max_poll_interval_ms": 300}
_log = logs.get(__name__)
_handled = Counter("events_handled_total", "Records by type and outcome.", ["type", "outcome"])
_dead = Counter("dlq_published_total", "Records put aside as unreadable.", ["group"])
_troubles = Counter("consumer_troubles_total", "Commits, seeks and reads that failed.")


class _Troubles:
    """Counts what FastStream swallows: a commit or seek that failed, a loop that was started again.

    None of it loses a record: what was not committed comes again.
    """

    def log(
        self,
        level: int,
        message: Any,
        /,
        *,
        exc_info: Any = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Take what FastStream has to say; only warnings and worse are of interest."""
        if level >= logging.ERROR:
            _troubles.inc()
            what = type(exc_info).__name__ if exc_info else str(message).partition("\n")[0]
            _log.warning("consumer troubled", group=(extra or {}).get("group_id"), error=what)


def broker(config: settings.Kafka) -> KafkaBroker:
    """A FastStream broker that creates nothing by accident, sends nothing and validates nothing."""
    return KafkaBroker(
        config.bootstrap_servers,
        apply_types=False,
        consumer_only=True,
        allow_auto_create_topics=False,
        graceful_timeout=25,
        request_timeout_ms=20_000,
        logger=_Troubles(),
        log_level=logging.DEBUG,
    )


async def start(consumers: KafkaBroker, ending: asyncio.Event) -> None:
    """Start all subscribers of a broker; while Kafka is away, wait for it until this is ending."""
    while not ending.is_set():
        try:
            await consumers.start()
            return
        except KafkaError as error:
            _log.warning("consumers wait for Kafka", error=str(error))
            # some may have started: a second start would leave the first ones behind as rivals
            await consumers.stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await ending.wait()


def subscribe(
    to: KafkaBroker,
    *,
    group: str,
    instance: str,
    handle: Handler,
    dead_letters: Producer,
    facts: Sequence[type[Fact]] | None = None,
    batch: bool = False,
    patience: float = 60.0,
) -> "Reader":
    """Declare the one subscriber of a purpose, for the given facts or, without any, for all of them.

    With facts the handler gets their class as `data`; without, plain dictionaries, also of types that
    this version has not heard of. It may see a record again and must not mind; it writes to its own
    database and calls nobody. One that takes
    longer than `patience` seconds is cancelled, and tried again like one that met an outage.
    """
    reader = Reader(group, handle, dead_letters, facts, patience)
    to.subscriber(
        *reader.topics,
        group_id=group,
        group_instance_id=f"{group}.{instance}",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        auto_offset_reset="earliest",
        max_workers=1,
        session_timeout_ms=30_000,
        heartbeat_interval_ms=5_000,
        max_poll_interval_ms=300_000,
        rebalance_timeout_ms=60_000,
        no_reply=True,
        batch=batch,
        batch_timeout_ms=100,
        max_records=500 if batch else None,
        parser=_parsed,
        decoder=_records,
        title=group,
    )(reader.read)
    return reader


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
            "allow_auto_create_topics": not subscriber._outer_config.allow_auto_create_topics,
            "no_reply": subscriber._no_reply,
            **{
                name: (args.get(name) or 0) >= 1000 * least for name, least in _SAFE_SECONDS.items()
            },
        }
        wrong = [name for name, good in safe.items() if not good]
        if wrong:
            topics = ", ".join(subscriber.topic_names)
            raise ValueError(f"unsafe subscriber of {topics}: {', '.join(wrong)}")


async def _parsed(record: Any, parse: Callable[[Any], Awaitable[Any]]) -> Any:
    """Headers that are empty or not text would raise before any handler, and spin for ever."""
    if isinstance(record, tuple):
        return await parse(tuple(_plain(one) for one in record))
    return await parse(_plain(record))


def _plain(record: ConsumerRecord[Any, Any]) -> ConsumerRecord[Any, Any]:
    headers = tuple(
        (name, (value or b"").decode(errors="replace").encode()) for name, value in record.headers
    )
    return dataclasses.replace(record, headers=headers)


async def _records(message: Any) -> tuple[ConsumerRecord[Any, Any], ...]:
    raw = message.raw_message
    return raw if isinstance(raw, tuple) else (raw,)


class Poison(Exception):
    """A record that no repetition makes readable."""


class TooMany(Exception):
    """Records that together take longer than a handler may."""


class Reader:
    """Lenient decode → skip unknown types → validate → handle; what cannot be read is put aside."""

    def __init__(
        self,
        group: str,
        handle: Handler,
        dead_letters: Producer,
        facts: Sequence[type[Fact]] | None,
        patience: float = 60.0,
    ) -> None:
        self.group = group
        self._handle = handle
        self._patience = patience
        self._dead_letters = dead_letters
        self._facts: Mapping[str, type[Fact]] | None = (
            {fact.event_type(): fact for fact in facts} if facts is not None else None
        )
        self.topics = [fact.TOPIC for fact in facts] if facts else [one.name for one in TOPICS]
        self._aside: set[Place] = set()
        self._until = 0.0

    async def read(self, records: Sequence[ConsumerRecord[Any, Any]]) -> None:
        """Handle the records together, or one by one when together they fail."""
        self._until = asyncio.get_running_loop().time() + 2 * self._patience
        readable: list[tuple[ConsumerRecord[Any, Any], Envelope[Any]]] = []
        for record in records:
            if _place(record) in self._aside:
                continue
            try:
                envelope = self._envelope(record)
            except Poison as error:
                await self._put_aside(record, error, 1)
                continue
            if envelope is not None:
                readable.append((record, envelope))
        if len(readable) < 2 or not await self._together([envelope for _, envelope in readable]):
            for record, envelope in readable:
                await self._one(record, envelope)
        # committed next; until then a batch that comes again has no second letters
        self._aside.difference_update(map(_place, records))

    async def again(self, record: ConsumerRecord[Any, Any]) -> bool:
        """Handle a record that was put aside; False when its type is not for this group.

        Raises Poison, what the handler raises, TimeoutError.
        """
        envelope = self._envelope(_plain(record))
        if envelope is None:
            return False
        with telemetry.continued(f"{self.group} replay", envelope.traceparent):
            await self._effect((envelope,))
        _handled.labels(envelope.type, "replayed").inc()
        return True

    def defects(self, record: ConsumerRecord[Any, Any]) -> list[str]:
        """Why this version cannot read a record, field by field and without its values."""
        try:
            self._envelope(_plain(record))
        except Poison as error:
            cause = error.__cause__
            if isinstance(cause, ValidationError):
                found = cause.errors(include_input=False, include_url=False, include_context=False)
                return [f"/{'/'.join(map(str, one['loc']))}: {one['msg']}" for one in found]
            return [f"{type(cause).__name__}: the value is not a JSON object of an event"]
        return []

    async def _together(self, envelopes: Sequence[Envelope[Any]]) -> bool:
        try:
            with telemetry.continued(f"{self.group} batch", None):
                await self._through(lambda: self._in_time(envelopes))
        except NackMessage:
            raise
        except Exception:  # noqa: BLE001  one by one, the bad record shows
            return False
        for envelope in envelopes:
            _handled.labels(envelope.type, "handled").inc()
        return True

    async def _in_time(self, envelopes: Sequence[Envelope[Any]]) -> None:
        """Together or not at all: what takes too long together gets on one by one, however slowly."""
        try:
            await self._effect(envelopes)
        except TimeoutError as error:
            raise TooMany(f"{len(envelopes)} records") from error

    async def _one(self, record: ConsumerRecord[Any, Any], envelope: Envelope[Any]) -> None:
        for tried in range(1, ATTEMPTS + 1):
            try:
                with telemetry.continued(f"{self.group} {envelope.type}", envelope.traceparent):
                    await self._through(lambda: self._effect((envelope,)))
            except NackMessage:
                raise
            except Exception as error:  # noqa: BLE001  what one record does must not stop a topic
                _handled.labels(envelope.type, "failed").inc()
                if tried == ATTEMPTS:
                    _log.exception("record put aside", group=self.group, type=envelope.type)
                    await self._put_aside(record, error, tried)
                else:
                    await self._pause(0.1 * 2**tried, error)
            else:
                _handled.labels(envelope.type, "handled").inc()
                return

    async def _effect(self, envelopes: Sequence[Envelope[Any]]) -> None:
        crash.point("consumer.before_effect")
        async with asyncio.timeout(self._patience):
            await self._handle(envelopes)
        crash.point("consumer.effect_done")

    async def _through(self, act: Callable[[], Awaitable[None]]) -> None:
        """Wait here while an outage or a lost race lasts; neither ever fills the dead letters."""
        for again in itertools.count():
            try:
                return await act()
            except Exception as error:
                if not passes(error):
                    raise
                _log.warning("consumer waits", group=self.group, error=str(error))
                await self._pause(min(30.0, 0.5 * 2 ** min(again, 6)), error)

    async def _pause(self, seconds: float, error: Exception) -> None:
        """Pause, unless Kafka would miss us: then the records come again, which keeps us in the group."""
        if asyncio.get_running_loop().time() > self._until:
            raise NackMessage from error
        await asyncio.sleep(seconds * random.uniform(0.5, 1))  # noqa: S311

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
        return self._facts is None or type_ in self._facts

    async def _put_aside(
        self, record: ConsumerRecord[Any, Any], error: Exception, tried: int
    ) -> None:
        """The dead letter is acknowledged before the offset is committed; else the record comes again."""
        key, value = (record.key or b"").decode(errors="replace"), record.value or b""
        headers = _about(record, self.group, error, tried)
        rest = list(record.headers)
        size = len(key) + len(value) + sum(len(name) + len(text) for name, text in rest)
        if size > LETTER_BYTES:
            # with more headers Kafka could refuse it for ever; where it came from, it can be read
            headers.append(("dlq_omitted", str(size).encode()))
            key, value, rest = key[:200], b"", []
        letter = (dead_letter(self.group), key, value, [*headers, *rest])
        await self._through(lambda: self._dead_letters.send(*letter))
        crash.point("consumer.dead_letter_acknowledged")
        self._aside.add(_place(record))
        _dead.labels(self.group).inc()
        _handled.labels("poison", "put_aside").inc()


def _about(
    record: ConsumerRecord[Any, Any], group: str, error: Exception, tried: int
) -> list[tuple[str, bytes]]:
    """Where a letter came from, and why it is one."""
    cause = error.__cause__ if isinstance(error, Poison) and error.__cause__ else error
    told = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "group": group,
        "error": type(cause).__name__,
        # the text may quote the record, so that only its likeness is told
        "detail": hashlib.sha256(str(cause).encode()).hexdigest(),
        "attempts": tried,
        "version": version("purser-common"),
    }
    return [(f"dlq_{name}", str(text).encode()) for name, text in told.items()]


def _place(record: ConsumerRecord[Any, Any]) -> Place:
    return record.topic, record.partition, record.offset


def passes(error: Exception) -> bool:
    """Whether the same will work later: somebody is away, or somebody else was faster."""
    return isinstance(error, Unavailable | TimeoutError | VersionConflict) or (
        isinstance(error, PyMongoError) and is_away(error)
    )
