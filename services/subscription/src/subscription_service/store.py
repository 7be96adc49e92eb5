"""The mirror, what is to be read into it, and whose it is."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from purser_common import jobs, outbox
from purser_common.clock import real_now
from purser_common.errors import VersionConflict
from purser_common.mongo import (
    ASCENDING,
    Database,
    Document,
    DuplicateKeyError,
    Index,
    UpdateOne,
    keep_newest,
)
from purser_common.outbox import Loaded, Outbox, Stamp
from purser_common.telemetry import Cause
from purser_events.envelope import Envelope, Fact
from purser_events.subscription import Subscription
from purser_events.tenant import Tenant, TenantFact
from subscription_service.domain import MOST_FAILURES, Refresh

SUBSCRIPTIONS, REFRESHES, CONNECTIONS = "subscriptions", "refreshes", "connections"
INDEXES = (
    Index(REFRESHES, (("due_at", ASCENDING),), sparse=True),
    Index(CONNECTIONS, (("reseller_id", ASCENDING), ("marketplace_customer_id", ASCENDING))),
    *outbox.indexes(SUBSCRIPTIONS),
)
OUTBOXES = (SUBSCRIPTIONS,)


class Mirror:
    """Subscriptions as the marketplace showed them last."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection = database[SUBSCRIPTIONS]
        self._outbox = outbox

    async def find(self, id: str) -> Loaded[Subscription] | None:
        """A mirrored subscription, or None."""
        document = await self._collection.find_one({"_id": id})
        return _loaded(document) if document else None

    async def insert(
        self, subscription: Subscription, facts: Sequence[Fact], cause: Cause
    ) -> Loaded[Subscription]:
        """Keep a new one. Raises VersionConflict when another reader was faster."""
        fields = _fields(subscription)
        try:
            document = await self._outbox.insert(
                self._collection, subscription.id, fields, facts, cause
            )
        except DuplicateKeyError as error:
            raise VersionConflict(subscription.id) from error
        return _loaded(document)

    async def save(
        self,
        loaded: Loaded[Subscription],
        subscription: Subscription,
        facts: Sequence[Fact],
        cause: Cause,
    ) -> Loaded[Subscription]:
        """Keep a change. Raises VersionConflict."""
        return _loaded(
            await self._outbox.save(
                self._collection, loaded.stamp, _fields(subscription), facts, cause
            )
        )

    async def read(self, id: str, at: datetime) -> None:
        """Note that it was read and nothing had changed; no ETag moves by that."""
        await self._collection.update_one({"_id": id}, {"$max": {"read_at": at}})


class Refreshes:
    """What is to be read: one document per object, so that one object is read once at a time."""

    def __init__(self, database: Database) -> None:
        self._collection = database[REFRESHES]

    async def want(self, refresh: Refresh) -> None:
        """Read this soon. Wanting it twice is wanting it once."""
        fields = {
            name: value
            for name, value in asdict(refresh).items()
            if name not in ("id", "wanted", "failures")
        }
        write = UpdateOne(
            {"_id": refresh.id},
            {
                "$set": {**fields, "due_at": real_now(), "failures": 0},
                "$inc": {"wanted": 1},
            },
            upsert=True,
        )
        await self._collection.bulk_write([write])

    async def claim(self, lease: timedelta) -> Refresh | None:
        """Take what has been due longest."""
        document = await jobs.claim(self._collection, "due_at", lease)
        if document is None:
            return None
        due = ("_id", "due_at")
        return Refresh(id=document["_id"], **{k: v for k, v in document.items() if k not in due})

    async def done(self, refresh: Refresh, again: datetime | None) -> None:
        """Note a reading, unless another was wanted meanwhile."""
        change: Document = {"$set": {"failures": 0}}
        if again is None:
            change["$unset"] = {"due_at": ""}
        else:
            change["$set"]["due_at"] = again
        await self._collection.update_one({"_id": refresh.id, "wanted": refresh.wanted}, change)

    async def postponed(self, refresh: Refresh, until: datetime) -> None:
        """Try again then, unless it was wanted again meanwhile."""
        await self._collection.update_one(
            {"_id": refresh.id, "wanted": refresh.wanted},
            {"$set": {"due_at": until, "failures": min(refresh.failures + 1, MOST_FAILURES)}},
        )


class Connections:
    """Tenants by the marketplace customer that they are connected to: a copy fed by their facts."""

    def __init__(self, database: Database) -> None:
        self._collection = database[CONNECTIONS]

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


def _fields(subscription: Subscription) -> Document:
    return {
        "state": subscription.model_dump(mode="json"),
        "tenant_id": subscription.tenant_id,
        "customer_id": subscription.customer_id,
        "read_at": real_now(),
    }


def _loaded(document: Document) -> Loaded[Subscription]:
    return Loaded(Subscription.model_validate(document["state"]), Stamp.of(document))
