"""Requests, the mirror of foreign orders, and the accounts that are swept."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from order_service.domain.purchase import (
    CANCELLED,
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
    UpdateOne,
    keep_newest,
)
from purser_common.outbox import Loaded, Outbox, Request, Stamp
from purser_common.telemetry import Cause
from purser_events.envelope import Envelope, Fact
from purser_events.license import LicenseChangeRequest, ObservedOrder, OrderObserved
from purser_events.tenant import Tenant, TenantFact

REQUESTS, ORDERS, ACCOUNTS = "license_change_requests", "orders", "accounts"
CONNECTIONS = "connections"

UP = ASCENDING
INDEXES = (
    Index(REQUESTS, (("slot_buy", UP),), unique=True, sparse=True),
    Index(REQUESTS, (("reseller_id", UP), ("po_sent", UP)), unique=True),
    Index(REQUESTS, (("order_ids", UP),), sparse=True),
    Index(REQUESTS, (("phase", UP), ("due_at", UP))),
    Index(REQUESTS, (("phase", UP), ("requested_at", DESCENDING), ("_id", DESCENDING))),
    Index(REQUESTS, (("reseller_id", UP), ("phase", UP))),
    Index(REQUESTS, (("reseller_id", UP), ("placed_at", DESCENDING))),
    Index(REQUESTS, (("requested_at", DESCENDING), ("_id", DESCENDING))),
    Index(REQUESTS, (("tenant_id", UP), ("requested_at", DESCENDING), ("_id", DESCENDING))),
    Index(REQUESTS, (("customer_id", UP), ("requested_at", DESCENDING), ("_id", DESCENDING))),
    Index(ORDERS, (("tenant_id", UP), ("ordered_at", DESCENDING), ("_id", DESCENDING))),
    Index(ACCOUNTS, (("due_at", UP),)),
    Index(CONNECTIONS, (("reseller_id", UP), ("marketplace_customer_id", UP))),
    *outbox.indexes(REQUESTS),
    *outbox.indexes(ORDERS),
)
OUTBOXES = (REQUESTS, ORDERS)
UNSETTLED = (SENDING, VERIFYING, NEEDS_REVIEW)
GIVEN_UP_WATCHED = timedelta(days=90)


class Requests:
    """Licence change requests: one document each."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection: Collection = database[REQUESTS]
        self._outbox = outbox

    async def find(self, id: str) -> Loaded[Purchase] | None:
        """A request, or None."""
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
        document = await self._collection.find_one({"_id": id})
        if document is None or not outbox.replayed(document, request):
            return None
        return _loaded(document)

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
        holder = await self._collection.find_one({"slot_buy": purchase.slot}, {"_id": 1})
        if holder is None:
            raise Conflict(
                "this purchase order number is in use; choose another", code="po_number_in_use"
            )
        raise Conflict(
            "this product is already being bought for the tenant",
            code="purchase_in_progress",
            request_id=holder["_id"],
        )

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
            raise Conflict(
                "this product is being bought for the tenant by another request",
                code="purchase_in_progress",
            ) from error
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
        await self._collection.update_one(
            {"_id": id, "due_at": {"$ne": None}}, {"$set": {"due_at": until}}
        )

    async def by_po(self, reseller_id: str, po_sent: str) -> Loaded[Purchase] | None:
        """The request that sent this purchase order number."""
        document = await self._collection.find_one({"reseller_id": reseller_id, "po_sent": po_sent})
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

    async def newest_order(self, reseller_id: str) -> str | None:
        """The order of this account that was placed last: a listing without it shows nothing."""
        document = await self._collection.find_one(
            {"reseller_id": reseller_id, "placed_at": {"$exists": True}},
            {"order_ids": 1},
            sort=[("placed_at", DESCENDING)],
        )
        return document["order_ids"][0] if document else None


class Orders:
    """Orders that the marketplace shows and Purser did not place."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection: Collection = database[ORDERS]
        self._outbox = outbox

    async def known(self, order_ids: Sequence[str]) -> dict[str, str]:
        """Status by id of the orders that are mirrored."""
        found = self._collection.find({"_id": {"$in": list(order_ids)}}, {"state.status": 1})
        return {d["_id"]: d["state"]["status"] for d in await found.to_list(None)}

    async def observe(self, order: ObservedOrder, cause: Cause) -> None:
        """Mirror an order; a fact only when something else than the time differs."""
        state = order.model_dump(mode="json")
        fields = {"state": state, "tenant_id": order.tenant_id, "ordered_at": order.ordered_at}
        document = await self._collection.find_one({"_id": order.id})
        facts = (OrderObserved(state=order),)
        if document is None:
            try:
                await self._outbox.insert(self._collection, order.id, fields, facts, cause)
            except DuplicateKeyError:
                return  # another sweep was faster; the next one sees what it wrote
        elif {**document["state"], "observed_at": None} != {**state, "observed_at": None}:
            await self._outbox.save(self._collection, Stamp.of(document), fields, facts, cause)


class Accounts:
    """When each marketplace account is swept next."""

    def __init__(self, database: Database) -> None:
        self._collection: Collection = database[ACCOUNTS]

    async def watch(self, reseller_id: str, due_at: datetime) -> None:
        """Sweep this account from now on, and soon."""
        update = UpdateOne(
            {"_id": reseller_id},
            {"$min": {"due_at": due_at}, "$set": {"watched": True}},
            upsert=True,
        )
        await self._collection.bulk_write([update])

    async def claim(self, lease: timedelta) -> tuple[str, datetime | None] | None:
        """Take the account that has been due longest: (reseller, last complete sweep)."""
        document = await jobs.claim(self._collection, "due_at", lease)
        return (document["_id"], document.get("swept_at")) if document else None

    async def swept(self, reseller_id: str, began: datetime, due_at: datetime) -> None:
        """Note a complete sweep."""
        await self._collection.update_one(
            {"_id": reseller_id}, {"$set": {"swept_at": began, "due_at": due_at}}
        )


class Connections:
    """Tenants by the marketplace customer that they are connected to: a copy fed by their facts."""

    def __init__(self, database: Database) -> None:
        self._collection: Collection = database[CONNECTIONS]

    async def keep(self, envelopes: Sequence[Envelope[TenantFact]]) -> None:
        """Keep each tenant's newest state; older and repeated ones change nothing."""
        await keep_newest(self._collection, [_connection(envelope) for envelope in envelopes])

    async def connected(self, reseller_id: str, customer_id: str) -> list[Tenant]:
        """The tenants that are connected to a marketplace customer."""
        found = self._collection.find(
            {"reseller_id": reseller_id, "marketplace_customer_id": customer_id}
        )
        return [Tenant.model_validate(d["state"]) for d in await found.to_list(None)]


def _connection(envelope: Envelope[TenantFact]) -> Document:
    tenant = envelope.data.state
    to = tenant.connection
    return {
        "_id": tenant.id,
        "sequence": envelope.sequence,
        "state": tenant.model_dump(mode="json"),
        "reseller_id": to.reseller_id if to else None,
        "marketplace_customer_id": to.marketplace_customer_id if to else None,
    }


def _fields(purchase: Purchase) -> Document:
    """Everything but the evidence pushed by others; None unsets a field."""
    request = purchase.request
    order_ids = [evidence.order_id for evidence in purchase.evidence]
    placed = next((e.at for e in purchase.evidence), None)
    return {
        "state": request.model_dump(mode="json"),
        "phase": purchase.phase,
        "slot_buy": purchase.slot,
        "po_sent": request.po_number_sent,
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
        "absent_since": purchase.absent_since,
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
        absent_since=document.get("absent_since"),
        due_at=document.get("due_at"),
    )
    if purchase.phase == READY and purchase.due_at is None:
        purchase = replace(purchase, due_at=real_now())
    return Loaded(purchase, Stamp.of(document))


def timestamps(value: Any) -> Any:
    """Documents as JSON: datetimes become ISO strings."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return [timestamps(one) for one in value]
    if isinstance(value, dict):
        return {key: timestamps(one) for key, one in value.items()}
    return value
