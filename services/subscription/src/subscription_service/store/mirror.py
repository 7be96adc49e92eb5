"""Subscriptions as the marketplace showed them last."""

from collections.abc import Sequence
from datetime import datetime

from purser_common import outbox
from purser_common.clock import real_now
from purser_common.errors import VersionConflict
from purser_common.mongo import (
    ASCENDING,
    DESCENDING,
    Database,
    Document,
    DuplicateKeyError,
    Index,
    UpdateOne,
)
from purser_common.outbox import Loaded, Outbox, Stamp
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.subscription import Subscription
from purser_events.values import product_id

SUBSCRIPTIONS, HELD = "subscriptions", "held_products"
_NEWEST = (("created_at", DESCENDING), ("_id", DESCENDING))
INDEXES = (
    Index(SUBSCRIPTIONS, (("products", ASCENDING), ("former", ASCENDING), *_NEWEST)),
    *outbox.indexes(SUBSCRIPTIONS),
)


class Mirror:
    """The mirrored subscriptions, one document each."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection = database[SUBSCRIPTIONS]
        self._held = database[HELD]
        self._outbox = outbox

    async def find(self, id: str) -> Loaded[Subscription] | None:
        """A mirrored subscription, or None."""
        document = await self._collection.find_one({"_id": id})
        return _loaded(document) if document else None

    async def insert(
        self, subscription: Subscription, facts: Sequence[Fact], cause: Cause
    ) -> Loaded[Subscription]:
        """Keep a new one. Raises VersionConflict when another reader was faster."""
        now = real_now()
        await self._hold(subscription)
        fields = {**_fields(subscription), "created_at": now, "read_at": now}
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
        read_at: datetime | None,
    ) -> Loaded[Subscription]:
        """Keep a change; `read_at` is when it was read, if a reading says so. Raises VersionConflict."""
        await self._hold(subscription)
        fields = _fields(subscription) | ({"read_at": read_at} if read_at else {})
        return _loaded(
            await self._outbox.save(self._collection, loaded.stamp, fields, facts, cause)
        )

    async def read(self, id: str, at: datetime) -> None:
        """Note that it was read and nothing had changed; no ETag moves by that."""
        await self._collection.update_one({"_id": id}, {"$max": {"read_at": at}})

    async def _hold(self, subscription: Subscription) -> None:
        """Note which products there are subscriptions of, so that unmapped ones are found by product."""
        writes = [
            UpdateOne({"_id": key}, {"$set": {"held": True}}, upsert=True)
            for key in _products(subscription)
        ]
        if writes:
            await self._held.bulk_write(writes)


def _products(subscription: Subscription) -> list[str]:
    return sorted(
        {product_id(subscription.reseller_id, one.product) for one in subscription.options}
    )


def _fields(subscription: Subscription) -> Document:
    return {
        "state": subscription.model_dump(mode="json"),
        "tenant_id": subscription.tenant_id,
        "customer_id": subscription.customer_id,
        "products": _products(subscription),
        "former": None if subscription.connected else True,
    }


def _loaded(document: Document) -> Loaded[Subscription]:
    return Loaded(Subscription.model_validate(document["state"]), Stamp.of(document))
