"""One document, one write: state, version, pending facts and the mark of the request that caused it.

`version` counts writes and guards fenced saves; `sequence` counts facts and is the ETag (design §3).
Whoever wrote publishes; a sweeper publishes what was left behind.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from prometheus_client import Counter, Gauge

from purser_common import crash, logs, telemetry
from purser_common.clock import Clock, real_now
from purser_common.errors import Invalid, Stale, Unavailable, VersionConflict
from purser_common.mongo import (
    Collection,
    Document,
    Index,
    PyMongoError,
    ReturnDocument,
    away_is_unavailable,
)
from purser_common.telemetry import Cause
from purser_events.envelope import CONTENT_TYPE, TYPE_HEADER, Fact, envelop
from purser_events.topics import BY_NAME

MAX_FACT_BYTES = 256 * 1024
MAX_PENDING = 100
RECENT_OPS = 20

_log = logs.get(__name__)
_published = Counter("events_published_total", "Facts acknowledged by Kafka.", ["topic"])
_oldest = Gauge("outbox_oldest_seconds", "Age of the oldest fact that waits for Kafka.")
_requests = uuid.uuid5(uuid.NAMESPACE_URL, "urn:purser:requests")


@dataclass(frozen=True)
class Stamp:
    """What a fenced save must still find."""

    id: str
    version: int
    sequence: int
    pending: int

    @classmethod
    def of(cls, document: Document) -> "Stamp":
        """The stamp of a loaded document."""
        return cls(
            document["_id"], document["version"], document["sequence"], len(document["outbox"])
        )


S = TypeVar("S")


@dataclass(frozen=True)
class Loaded(Generic[S]):
    """An aggregate's state as it was read or written, with the stamp that fences the next save."""

    state: S
    stamp: Stamp

    @property
    def sequence(self) -> int:
        """The number of the last fact: the ETag."""
        return self.stamp.sequence

    def must_be_at(self, sequence: int, what: str = "this") -> None:
        """Raises Stale when the caller decided on another state than this one."""
        if self.sequence != sequence:
            raise Stale(what)


@dataclass(frozen=True)
class Request:
    """One keyed call: who made it, to do what, with which key and which content."""

    caller: str
    operation: str
    key: str
    digest: str

    def id(self, item: int = 0) -> str:
        """The `_id` of what the call creates: the same however often it is repeated."""
        return str(uuid.uuid5(_requests, f"{self.caller}|{self.operation}|{self.key}|{item}"))

    def must_equal(self, digest: str) -> None:
        """Raises Invalid when the key was used before with another content."""
        if digest != self.digest:
            raise Invalid(
                "this Idempotency-Key was used with another request; take a new key",
                code="idempotency_key_reused",
            )


def replayed(document: Document, request: Request) -> bool:
    """Whether the document has already seen this call. Raises Invalid for another content."""
    op = request.id()
    if op in (document["_id"], document.get("first_op")) and "request_digest" in document:
        request.must_equal(document["request_digest"])
        return True
    for seen in document.get("recent_ops", ()):
        if seen["op"] == op:
            request.must_equal(seen["digest"])
            return True
    return False


async def find_replayed(collection: Collection, id: str, request: Request) -> Document | None:
    """The document if it has already seen this call. Raises Invalid for another content."""
    document = await collection.find_one({"_id": id})
    return document if document is not None and replayed(document, request) else None


def indexes(collection: str) -> tuple[Index, ...]:
    """What the sweeper needs of every collection with an outbox."""
    return (Index(collection, (("outbox_since", 1),), sparse=True),)


class Outbox:
    """Writes aggregates with their facts. `source` is the service's name."""

    def __init__(
        self, source: str, clock: Clock, on_pending: Callable[[Collection, str], None]
    ) -> None:
        self._source = source
        self._clock = clock
        self._on_pending = on_pending

    async def insert(
        self,
        collection: Collection,
        id: str,
        state: Mapping[str, Any],
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Document:
        """Insert a new aggregate. Raises DuplicateKeyError, Unavailable, Invalid (oversize fact)."""
        document: Document = {
            **{field: value for field, value in state.items() if value is not None},
            "_id": id,
            "version": 1,
            "sequence": len(facts),
            "outbox": self._entries(facts, 0, cause),
            "recent_ops": [],
        }
        if facts:
            document["outbox_since"] = real_now()
        if request:
            document["request_digest"] = request.digest
        with away_is_unavailable():
            await collection.insert_one(document)
        self._announce(collection, id, facts)
        return document

    async def save(
        self,
        collection: Collection,
        stamp: Stamp,
        state: Mapping[str, Any],
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Document:
        """Write the next state of an aggregate, fenced on its version; None unsets a field.

        Raises VersionConflict when somebody wrote meanwhile, Unavailable when MongoDB is away or the
        outbox is full, Invalid for an oversize fact.
        """
        if facts and stamp.pending + len(facts) > MAX_PENDING:
            raise Unavailable("too many facts of this object wait for Kafka", code="outbox_full")
        document = await self._update(
            collection,
            {"_id": stamp.id, "version": stamp.version},
            _fields(state),
            self._entries(facts, stamp.sequence, cause),
            request,
        )
        if document is None:
            raise VersionConflict(stamp.id)
        self._announce(collection, stamp.id, facts)
        return document

    async def push(
        self, collection: Collection, id: str, field: str, evidence: Mapping[str, Any]
    ) -> Document | None:
        """Append evidence by `_id` alone: never fenced, so that nothing that was seen is lost.

        It bumps the version, so a save that has not seen it decides again.
        """
        with away_is_unavailable():
            return await collection.find_one_and_update(
                {"_id": id},
                {"$push": {field: dict(evidence)}, "$inc": {"version": 1}},
                return_document=ReturnDocument.AFTER,
            )

    async def _update(
        self,
        collection: Collection,
        filter: Mapping[str, Any],
        update: dict[str, Any],
        entries: list[Document],
        request: Request | None,
    ) -> Document | None:
        pushes: dict[str, Any] = {}
        if entries:
            pushes["outbox"] = {"$each": entries}
            update["$min"] = {"outbox_since": real_now()}
        if request:
            op = {"op": request.id(), "digest": request.digest}
            pushes["recent_ops"] = {"$each": [op], "$slice": -RECENT_OPS}
        if pushes:
            update["$push"] = pushes
        update["$inc"] = {"version": 1, "sequence": len(entries)}
        with away_is_unavailable():
            return await collection.find_one_and_update(
                filter, update, return_document=ReturnDocument.AFTER
            )

    def _announce(self, collection: Collection, id: str, facts: Sequence[Fact]) -> None:
        if facts:
            self._on_pending(collection, id)

    def _entries(self, facts: Sequence[Fact], sequence: int, cause: Cause) -> list[Document]:
        now, parent = self._clock.now(), telemetry.traceparent()
        return [
            self._entry(fact, number, now, parent, cause)
            for number, fact in enumerate(facts, start=sequence + 1)
        ]

    def _entry(
        self, fact: Fact, sequence: int, now: datetime, parent: str | None, cause: Cause
    ) -> Document:
        """An entry is final when it is saved: a re-send is byte-identical."""
        topic, state = BY_NAME[fact.TOPIC], getattr(fact, "state")  # noqa: B009  every fact has one
        tenant_id = state.id if topic.aggregate == "tenant" else getattr(state, "tenant_id", None)
        owners = (
            tenant_id,
            getattr(state, "reseller_id", None),
            getattr(state, "customer_id", None),
        )
        envelope = envelop(
            fact,
            source=f"purser/{self._source}",
            subject=f"{topic.aggregate}/{state.id}",
            sequence=sequence,
            time=now,
            actor=cause.actor,
            correlation_id=cause.correlation_id,
            causation_id=cause.causation_id,
            marketplace=getattr(state, "marketplace", None),
            tenant_id=tenant_id,
            traceparent=parent,
        )
        value = envelope.model_dump_json(exclude_none=True, serialize_as_any=True).encode()
        if len(value) > MAX_FACT_BYTES:
            raise Invalid(f"the fact {fact.TOPIC} is larger than 256 KiB", code="fact_too_large")
        return {
            "seq": sequence,
            "topic": fact.TOPIC,
            "key": next((owner for owner in owners if owner), state.id),
            "value": value,
            "type": envelope.type,
            "traceparent": parent,
        }


def _fields(state: Mapping[str, Any]) -> dict[str, Any]:
    unset = {field: "" for field, value in state.items() if value is None}
    update: dict[str, Any] = {
        "$set": {field: value for field, value in state.items() if value is not None}
    }
    if unset:
        update["$unset"] = unset
    return update


class Sender(Protocol):
    """Sends one record and returns when Kafka has acknowledged it. Raises Unavailable."""

    async def send(
        self, topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> None: ...


class Publisher:
    """Sends the pending facts of documents: per document in order, each acknowledged before the next."""

    def __init__(self, sender: Sender, workers: int = 8) -> None:
        self._sender = sender
        self._workers = workers
        self._queue: asyncio.Queue[tuple[Collection, str]] = asyncio.Queue()
        self._taken: set[tuple[str, str]] = set()
        self._again: set[tuple[str, str]] = set()

    def nudge(self, collection: Collection, id: str) -> None:
        """Publish this document soon, off the caller's path; one worker per document at a time."""
        document = (collection.name, id)
        if document in self._taken:
            self._again.add(document)
            return
        self._taken.add(document)
        self._queue.put_nowait((collection, id))

    async def run(self) -> None:
        """Publish what is nudged, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            collection, id = await self._queue.get()
            document = (collection.name, id)
            try:
                await self.publish(collection, id)
            except (Unavailable, PyMongoError) as error:
                # The entries stay in their document; the sweeper comes back for them.
                _log.warning("facts wait", collection=collection.name, error=str(error))
            except Exception:  # noqa: BLE001  one bad document must not end the process over and over
                _log.exception("facts not published", collection=collection.name)
            self._taken.discard(document)
            if document in self._again:
                self._again.discard(document)
                self.nudge(collection, id)

    async def publish(self, collection: Collection, id: str) -> int:
        """Publish all pending facts of one document; returns how many.

        Two publishers of one document send duplicates, never disorder: only acknowledged entries are
        removed, and by their number. Raises Unavailable at the first send that fails.
        """
        document = await collection.find_one({"_id": id}, {"outbox": 1})
        entries = document["outbox"] if document else []
        acked = 0
        try:
            for entry in entries:
                if acked:
                    crash.point("outbox.sent_some")
                await self._send(entry)
                acked = entry["seq"]
            crash.point("outbox.acknowledged")
        finally:
            if acked:
                await self._remove(collection, id, acked)
        return len(entries)

    async def _send(self, entry: Document) -> None:
        headers = [("content-type", CONTENT_TYPE.encode()), (TYPE_HEADER, entry["type"].encode())]
        if entry.get("traceparent"):
            headers.append((telemetry.TRACEPARENT, entry["traceparent"].encode()))
        crash.point("outbox.read")
        await self._sender.send(entry["topic"], entry["key"], entry["value"], headers)
        _published.labels(entry["topic"]).inc()

    async def _remove(self, collection: Collection, id: str, acked: int) -> None:
        gone = {"$pull": {"outbox": {"seq": {"$lte": acked}}}}
        done = await collection.update_one(
            {"_id": id, "sequence": acked}, {**gone, "$unset": {"outbox_since": ""}}
        )
        if not done.matched_count:
            await collection.update_one({"_id": id}, gone)
        crash.point("outbox.removed")

    async def sweep(
        self, collections: Iterable[Collection], older_than: timedelta = timedelta(seconds=3)
    ) -> None:
        """Nudge what has waited too long, and tell the age of the oldest."""
        now, oldest = real_now(), None
        for collection in collections:
            waiting = collection.find(
                {"outbox_since": {"$lte": now - older_than}}, {"outbox_since": 1}
            )
            for document in await waiting.sort([("outbox_since", 1)]).limit(200).to_list(200):
                oldest = min(oldest or now, document["outbox_since"])
                self.nudge(collection, document["_id"])
        _oldest.set((now - oldest).total_seconds() if oldest else 0)
