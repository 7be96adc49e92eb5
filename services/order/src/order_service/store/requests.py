"""Licence change requests: one document each."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from order_service.domain.offers import Control
from order_service.domain.purchase import (
    BUY,
    CANCELLED,
    CHANGE_QUANTITY,
    NEEDS_REVIEW,
    READY,
    SENDING,
    VERIFYING,
    Attempt,
    Evidence,
    Purchase,
)
from purser_common import jobs, outbox
from purser_common.clock import real_now
from purser_common.errors import Conflict, NotFound
from purser_common.mongo import (
    ASCENDING,
    DESCENDING,
    Collection,
    Database,
    Document,
    DuplicateKeyError,
    Index,
    away_is_unavailable,
)
from purser_common.outbox import Loaded, Outbox, Request, Stamp
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.license import LicenseChangeRequest

REQUESTS = "license_change_requests"
UP = ASCENDING
INDEXES = (
    Index(REQUESTS, (("slot_buy", UP),), unique=True, sparse=True),
    Index(REQUESTS, (("slot_now", UP),), unique=True, sparse=True),
    Index(REQUESTS, (("po_own", UP),), unique=True, sparse=True),
    Index(REQUESTS, (("order_ids", UP),), sparse=True),
    Index(REQUESTS, (("phase", UP), ("due_at", UP))),
    Index(REQUESTS, (("phase", UP), ("requested_at", DESCENDING), ("_id", DESCENDING))),
    Index(REQUESTS, (("reseller_id", UP), ("phase", UP), ("requested_at", UP), ("_id", UP))),
    Index(REQUESTS, (("reseller_id", UP), ("phase", UP), ("due_at", UP))),
    Index(REQUESTS, (("reseller_id", UP), ("placed_at", DESCENDING))),
    Index(REQUESTS, (("tenant_id", UP), ("phase", UP))),
    *outbox.indexes(REQUESTS),
)
UNSETTLED = (SENDING, VERIFYING, NEEDS_REVIEW)
GIVEN_UP_WATCHED = timedelta(days=90)


class Requests:
    """Licence change requests: one document each."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection: Collection = database[REQUESTS]
        self._outbox = outbox

    async def find(self, id: str) -> Loaded[Purchase] | None:
        """A request, or None. Raises Unavailable."""
        with away_is_unavailable():
            document = await self._collection.find_one({"_id": id})
        return _loaded(document) if document else None

    async def load(self, id: str) -> Loaded[Purchase]:
        """A request. Raises NotFound."""
        found = await self.find(id)
        if found is None:
            raise NotFound("there is no such licence change request")
        return found

    async def replayed(self, id: str, request: Request) -> Loaded[Purchase] | None:
        """The request as it is now, if this keyed call has changed it before. Raises Invalid."""
        document = await outbox.find_replayed(self._collection, id, request)
        return _loaded(document) if document else None

    async def insert(
        self, purchase: Purchase, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[Purchase]:
        """Insert a request; its slot must be free. Raises Conflict naming the holder."""
        try:
            document = await self._outbox.insert(
                self._collection, purchase.id, _fields(purchase), facts, cause, request
            )
        except DuplicateKeyError:
            return await self._duplicate(purchase, request)
        return _loaded(document)

    async def _duplicate(self, purchase: Purchase, request: Request) -> Loaded[Purchase]:
        earlier = await self.replayed(purchase.id, request)
        if earlier is not None:
            return earlier
        raise await self._slot_taken(purchase)

    async def _slot_taken(self, purchase: Purchase) -> Conflict:
        field, slot, code, detail = _slot(purchase)
        holder = await self._collection.find_one({field: slot}, {"_id": 1}) or {}
        return Conflict(detail, code=code, request_id=holder.get("_id"))

    async def save(
        self,
        loaded: Loaded[Purchase],
        purchase: Purchase,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[Purchase]:
        """Write the next state. Raises VersionConflict, Conflict (slot taken), Unavailable."""
        try:
            document = await self._outbox.save(
                self._collection, loaded.stamp, _fields(purchase), facts, cause, request
            )
        except DuplicateKeyError as error:
            raise await self._slot_taken(purchase) from error
        return _loaded(document)

    async def push_evidence(self, id: str, evidence: Evidence) -> None:
        """Keep what was seen, whoever is writing."""
        await self._outbox.push(self._collection, id, "evidence", asdict(evidence))

    async def claim(self, phase: str, lease: timedelta) -> Loaded[Purchase] | None:
        """Take the request of this phase that has been due longest."""
        document = await jobs.claim(self._collection, "due_at", lease, {"phase": phase})
        return _loaded(document) if document else None

    async def extend(self, id: str, until: datetime) -> None:
        """Move the time at which the request is due, while it is."""
        with away_is_unavailable():
            await self._collection.update_one(
                {"_id": id, "due_at": {"$ne": None}}, {"$set": {"due_at": until}}
            )

    async def next_ready(self, reseller_id: str) -> Loaded[Purchase] | None:
        """The account's request that has waited longest and may be sent now."""
        document = await self._collection.find_one(
            {"reseller_id": reseller_id, "phase": READY, "due_at": {"$lte": real_now()}},
            sort=[("requested_at", UP), ("_id", UP)],
        )
        return _loaded(document) if document else None

    async def waiting(self, tenant_id: str) -> list[Loaded[Purchase]]:
        """A tenant's requests that wait to be sent."""
        found = self._collection.find({"tenant_id": tenant_id, "phase": READY})
        return [_loaded(document) for document in await found.to_list(None)]

    async def ready_at(self, reseller_id: str) -> datetime | None:
        """When the account's next request may be sent; None when none waits."""
        document = await self._collection.find_one(
            {"reseller_id": reseller_id, "phase": READY}, {"due_at": 1}, sort=[("due_at", UP)]
        )
        return document["due_at"] if document else None

    async def overdue(self, before: datetime) -> set[str]:
        """Accounts with requests that should have been sent before that time."""
        found = self._collection.find(
            {"phase": READY, "due_at": {"$lte": before}}, {"reseller_id": 1}
        )
        return {
            d["reseller_id"] for d in await found.sort([("due_at", UP)]).limit(200).to_list(200)
        }

    async def by_po(self, reseller_id: str, po_sent: str) -> Loaded[Purchase] | None:
        """The one request that sent this purchase order number, which is its own."""
        document = await self._collection.find_one({"po_own": f"{reseller_id}|{po_sent}"})
        return _loaded(document) if document else None

    async def by_order(self, order_id: str) -> Loaded[Purchase] | None:
        """The request that an order is linked to."""
        document = await self._collection.find_one({"order_ids": order_id})
        return _loaded(document) if document else None

    async def watched(self, reseller_id: str) -> list[Loaded[Purchase]]:
        """Requests whose order may show up: unsettled ones, and given-up ones for 90 days."""
        found = await self._collection.find(
            {"reseller_id": reseller_id, "phase": {"$in": [*UNSETTLED, CANCELLED]}}
        ).to_list(None)
        since = real_now() - GIVEN_UP_WATCHED
        loaded = [_loaded(document) for document in found]
        return [
            one
            for one in loaded
            if one.state.phase != CANCELLED or one.state.attempt.started_at >= since
        ]

    async def in_review(self) -> list[datetime]:
        """When each request that waits for a person was last sent."""
        waiting = self._collection.find({"phase": NEEDS_REVIEW}, {"attempts.started_at": 1})
        return [one["attempts"][-1]["started_at"] for one in await waiting.to_list(None)]

    async def newest_order(self, reseller_id: str) -> tuple[datetime, Control] | None:
        """The account's order that was seen last, and when: a listing without it shows nothing."""
        document = await self._collection.find_one(
            {"reseller_id": reseller_id, "placed_at": {"$exists": True}},
            {"order_ids": 1, "placed_at": 1, "requested_at": 1},
            sort=[("placed_at", DESCENDING)],
        )
        if document is None:
            return None
        since = min(document["requested_at"], document["placed_at"])
        return document["placed_at"], Control(document["order_ids"][0], since)

    async def holders(self, slots: Sequence[str]) -> dict[str, str]:
        """The open purchase by each of these slots that is taken."""
        found = self._collection.find({"slot_buy": {"$in": list(slots)}}, {"slot_buy": 1})
        return {one["slot_buy"]: one["_id"] async for one in found}


_SLOTS = {
    BUY: ("slot_buy", "purchase_in_progress", "this product is being bought for the tenant"),
    CHANGE_QUANTITY: ("slot_now", "change_in_progress", "this subscription is being changed"),
}


def _slot(purchase: Purchase) -> tuple[str, str | None, str, str]:
    field, code, detail = _SLOTS[purchase.request.kind]
    slot = purchase.slot_buy if field == "slot_buy" else purchase.slot_now
    return field, slot, code, f"{detail} by another request; wait for it"


def _fields(purchase: Purchase) -> Document:
    """Everything but the evidence pushed by others; None unsets a field."""
    request = purchase.request
    order_ids = [evidence.order_id for evidence in purchase.evidence]
    placed = next((e.at for e in purchase.evidence), None)
    return {
        "state": request.model_dump(mode="json"),
        "phase": purchase.phase,
        "slot_buy": purchase.slot_buy,
        "slot_now": purchase.slot_now,
        "po_own": (
            f"{request.reseller_id}|{request.po_number_sent}" if purchase.po_names_one else None
        ),
        "tenant_id": request.tenant_id,
        "customer_id": request.customer_id,
        "reseller_id": request.reseller_id,
        "requested_at": request.requested_at,
        "order_ids": order_ids or None,
        "placed_at": placed,
        "correlation_id": purchase.correlation_id,
        "traceparent": purchase.traceparent,
        "attempts": [asdict(attempt) for attempt in purchase.attempts],
        "evidence": [asdict(evidence) for evidence in purchase.evidence],
        "reads": purchase.reads,
        "absence_shown_at": purchase.absence_shown_at,
        "late": purchase.late or None,
        "due_at": purchase.due_at,
    }


def _loaded(document: Document) -> Loaded[Purchase]:
    purchase = Purchase(
        request=LicenseChangeRequest.model_validate(document["state"]),
        phase=document["phase"],
        correlation_id=document["correlation_id"],
        traceparent=document.get("traceparent"),
        attempts=tuple(Attempt(**attempt) for attempt in document["attempts"]),
        evidence=tuple(Evidence(**evidence) for evidence in document["evidence"]),
        reads=document["reads"],
        absence_shown_at=document.get("absence_shown_at"),
        late=document.get("late", False),
        due_at=document.get("due_at"),
    )
    if purchase.phase == READY and purchase.due_at is None:
        purchase = replace(purchase, due_at=real_now())
    return Loaded(purchase, Stamp.of(document))
