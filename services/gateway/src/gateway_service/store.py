"""Role assignments, records of calls, remembered answers, and the read model."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from purser_common import outbox
from purser_common.clock import real_now
from purser_common.errors import Conflict, NotFound
from purser_common.identity import Grant
from purser_common.mongo import (
    ASCENDING,
    DESCENDING,
    Database,
    Document,
    DuplicateKeyError,
    Index,
    keep_newest,
)
from purser_common.outbox import Loaded, Outbox, Request, Stamp
from purser_common.telemetry import Cause
from purser_events.access import Action, RoleAssignment
from purser_events.envelope import Envelope, Fact

ASSIGNMENTS, ACTIONS, ANSWERS = "role_assignments", "actions", "idempotency"
MODEL = {
    "reseller": "resellers",
    "reseller-account": "reseller_accounts",
    "customer": "customers",
    "tenant": "tenants",
    "subscription": "subscriptions",
    "finding": "findings",
    "license-change-request": "requests",
    "buying-stop": "buying_stops",
}
"""The read model: aggregate → collection, one document per subject."""
SORTED_BY: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "reseller": ("display_name", str.casefold),
    "customer": ("added_at", datetime.fromisoformat),
    "tenant": ("registered_at", datetime.fromisoformat),
    "subscription": ("created_on", str),
    "finding": ("opened_at", datetime.fromisoformat),
    "license-change-request": ("requested_at", datetime.fromisoformat),
}
"""Aggregate → the field of its state by which its list is sorted, and how its value is read.

Resellers go by name, the others newest first.
"""
TOMBSTONES = {"reseller": "deleted", "customer": "removed", "tenant": "removed"}
"""Aggregate → the status of one that is gone, and is kept only for its sequence."""

UP, DOWN = ASCENDING, DESCENDING


def _of_list(aggregate: str) -> tuple[Index, ...]:
    """What a list is filtered and sorted by."""
    down = DOWN if aggregate != "reseller" else UP
    place = (("place", down), ("_id", down))
    filters = ((), ("customer_id",), ("tenant_id",), ("status",), ("tenant_id", "status"))
    return tuple(
        Index(MODEL[aggregate], (("shown", UP), *((name, UP) for name in names), *place))
        for names in filters
    )


def _of_connections() -> tuple[Index, ...]:
    """What a tenant's subscriptions are listed by, without those of an earlier connection."""
    named = (("shown", UP), ("tenant_id", UP), ("former", UP))
    place = (("place", DOWN), ("_id", DOWN))
    return tuple(
        Index(MODEL["subscription"], (*named, *((name, UP) for name in names), *place))
        for names in ((), ("status",))
    )


INDEXES = (
    Index(ASSIGNMENTS, (("principal", UP), ("status", UP))),
    Index(ASSIGNMENTS, (("granted_at", DOWN), ("_id", DOWN))),
    Index(ANSWERS, (("created_at", UP),)),
    *(Index(name, (("tenant_id", UP), ("at", DOWN))) for name in MODEL.values()),
    *(Index(name, (("customer_id", UP), ("at", DOWN))) for name in MODEL.values()),
    *(Index(name, (("shown", UP), ("at", DOWN))) for name in MODEL.values()),
    *(index for aggregate in SORTED_BY for index in _of_list(aggregate)),
    *_of_connections(),
    Index(MODEL["buying-stop"], (("state.status", UP), ("at", DOWN))),
    *outbox.indexes(ASSIGNMENTS),
    *outbox.indexes(ACTIONS),
)
OUTBOXES = (ASSIGNMENTS, ACTIONS)
IN_FLIGHT = timedelta(seconds=30)
KEPT = timedelta(hours=24)


class Assignments:
    """Who holds which role where."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection = database[ASSIGNMENTS]
        self._outbox = outbox

    async def grants(self, principals: Sequence[str]) -> tuple[Grant, ...]:
        """The roles that are assigned to any of the principals now."""
        found = self._collection.find({"principal": {"$in": list(principals)}, "status": "granted"})
        return tuple(Grant(d["role"], d["scope"]) for d in await found.to_list(None))

    async def load(self, id: str) -> Loaded[RoleAssignment]:
        """One assignment. Raises NotFound."""
        document = await self._collection.find_one({"_id": id})
        if document is None:
            raise NotFound("there is no such role assignment")
        return _assignment(document)

    async def grant(
        self,
        assignment: RoleAssignment,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[RoleAssignment]:
        """Keep a new assignment; one that was revoked is given again, one that holds stays."""
        fields = _fields(assignment)
        try:
            return _assignment(
                await self._outbox.insert(
                    self._collection, assignment.id, fields, facts, cause, request
                )
            )
        except DuplicateKeyError:
            held = await self.load(assignment.id)
        if held.state.status == "granted":
            return held
        return await self.save(held, assignment, facts, cause, request)

    async def save(
        self,
        loaded: Loaded[RoleAssignment],
        assignment: RoleAssignment,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[RoleAssignment]:
        """Write the next state. Raises VersionConflict."""
        return _assignment(
            await self._outbox.save(
                self._collection, loaded.stamp, _fields(assignment), facts, cause, request
            )
        )


class Actions:
    """One record per authenticated call that is meant to change something."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection = database[ACTIONS]
        self._outbox = outbox

    async def keep(self, action: Action, facts: Sequence[Fact], cause: Cause) -> None:
        """Keep a record and tell others."""
        fields = {"state": action.model_dump(mode="json"), "at": action.at}
        await self._outbox.insert(self._collection, action.id, fields, facts, cause)


@dataclass(frozen=True)
class Answer:
    """An answer as it is given and remembered."""

    status: int
    headers: dict[str, str]
    body: bytes


class Answers:
    """Answers to keyed calls, remembered for 24 hours (design §7)."""

    def __init__(self, database: Database) -> None:
        self._collection = database[ANSWERS]

    async def begin(self, request: Request) -> Answer | None:
        """Take the key, or give back the remembered answer.

        Raises Invalid for another content, Conflict while the first call is under way.
        """
        id, now = request.id(), real_now()
        fresh = {"digest": request.digest, "created_at": now, "since": now}
        try:
            await self._collection.insert_one({"_id": id, **fresh})
            return None
        except DuplicateKeyError:
            found = await self._collection.find_one({"_id": id})
        if found is None:
            return await self.begin(request)
        request.must_equal(found["digest"])
        if "status" in found:
            return Answer(found["status"], found["headers"], found["body"])
        taken = await self._collection.find_one_and_update(
            {"_id": id, "since": {"$lte": now - IN_FLIGHT}}, {"$set": {"since": now}}
        )
        if taken is None:
            raise Conflict(
                "a call with this Idempotency-Key is under way; repeat it in a moment",
                code="request_in_flight",
                retry_after=1,
            )
        return None

    async def end(self, request: Request, answer: Answer) -> None:
        """Remember a 2xx answer; any other releases the key."""
        id = request.id()
        if 200 <= answer.status < 300:
            kept = {"status": answer.status, "headers": answer.headers, "body": answer.body}
            await self._collection.update_one({"_id": id}, {"$set": kept})
        else:
            await self._collection.delete_one({"_id": id})

    async def sweep(self) -> None:
        """Forget what is older than 24 hours."""
        await self._collection.delete_many({"created_at": {"$lte": real_now() - KEPT}})


class Model:
    """The newest state of every aggregate, by (subject, sequence)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fold(self, envelopes: Iterable[Envelope[Any]]) -> None:
        """Keep each state that is newer than the one there; older and repeated ones change nothing."""
        batches: dict[str, list[Document]] = {}
        for envelope in envelopes:
            aggregate = envelope.subject.partition("/")[0]
            if aggregate not in MODEL:
                continue
            state = envelope.data.state.model_dump(mode="json")
            document = _document(envelope.subject, envelope.sequence, state)
            batches.setdefault(MODEL[aggregate], []).append(document)
        for collection, batch in batches.items():
            await keep_newest(self._database[collection], batch)

    async def fold_answer(self, subject: str, sequence: int, state: dict[str, Any]) -> None:
        """Keep the state that a command answered with, so that its caller reads its own write."""
        aggregate = subject.partition("/")[0]
        if aggregate in MODEL:
            document = _document(subject, sequence, state)
            await keep_newest(self._database[MODEL[aggregate]], [document])

    async def complete(self) -> None:
        """Give states that an earlier version kept what they are listed by."""
        for name in MODEL.values():
            collection = self._database[name]
            async for old in collection.find({"shown": {"$exists": False}}):
                fields = _listed_by(old["_id"], old["state"])
                still = {"_id": old["_id"], "sequence": old["sequence"]}
                await collection.update_one(still, {"$set": fields})


def _document(subject: str, sequence: int, state: dict[str, Any]) -> Document:
    return {
        "_id": subject,
        "sequence": sequence,
        "state": state,
        "at": real_now(),
        **_listed_by(subject, state),
    }


def _listed_by(subject: str, state: dict[str, Any]) -> Document:
    """What a document is filtered and sorted by, beside its state."""
    aggregate, _, id = subject.partition("/")
    status = state.get("status")
    return {
        "tenant_id": id if aggregate == "tenant" else state.get("tenant_id"),
        "customer_id": id if aggregate == "customer" else state.get("customer_id"),
        "status": status,
        "place": _place(aggregate, state),
        "former": True if state.get("connected") is False else None,
        "shown": status is None or status != TOMBSTONES.get(aggregate),
    }


def _place(aggregate: str, state: dict[str, Any]) -> Any:
    field, read = SORTED_BY.get(aggregate, ("", str))
    value = state.get(field)
    return read(value) if value else ""


def _fields(assignment: RoleAssignment) -> Document:
    return {
        "state": assignment.model_dump(mode="json"),
        "principal": assignment.principal,
        "role": assignment.role,
        "scope": assignment.scope,
        "status": assignment.status,
        "granted_at": assignment.granted_at,
    }


def _assignment(document: Document) -> Loaded[RoleAssignment]:
    return Loaded(RoleAssignment.model_validate(document["state"]), Stamp.of(document))
