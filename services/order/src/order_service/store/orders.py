"""The mirror of orders that Purser did not place."""

from collections.abc import Sequence
from datetime import datetime

from order_service.domain.offers import Control
from purser_common import outbox
from purser_common.mongo import (
    ASCENDING,
    DESCENDING,
    Collection,
    Database,
    DuplicateKeyError,
    Index,
)
from purser_common.outbox import Outbox, Stamp
from purser_common.telemetry import Cause
from purser_events.license import ObservedOrder, OrderObserved

ORDERS = "orders"
INDEXES = (
    Index(ORDERS, (("tenant_id", ASCENDING), ("ordered_at", DESCENDING), ("_id", DESCENDING))),
    Index(ORDERS, (("reseller_id", ASCENDING), ("ordered_at", DESCENDING))),
    *outbox.indexes(ORDERS),
)


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
        fields = {
            "state": state,
            "tenant_id": order.tenant_id,
            "reseller_id": order.reseller_id,
            "ordered_at": order.ordered_at,
        }
        document = await self._collection.find_one({"_id": order.id})
        facts = (OrderObserved(state=order),)
        if document is None:
            try:
                await self._outbox.insert(self._collection, order.id, fields, facts, cause)
            except DuplicateKeyError:
                return  # another sweep was faster; the next one sees what it wrote
        elif {**document["state"], "observed_at": None} != {**state, "observed_at": None}:
            await self._outbox.save(self._collection, Stamp.of(document), fields, facts, cause)

    async def linked(self, order_id: str) -> None:
        """It proved to be a request's own: the tenant's list of other orders shows it no more."""
        await self._collection.update_one(
            {"_id": order_id, "tenant_id": {"$exists": True}},
            {"$unset": {"tenant_id": ""}, "$inc": {"version": 1}},
        )

    async def newest(self, reseller_id: str) -> tuple[datetime, Control] | None:
        """The account's mirrored order that was made last, and when."""
        document = await self._collection.find_one(
            {"reseller_id": reseller_id, "ordered_at": {"$exists": True}},
            {"ordered_at": 1},
            sort=[("ordered_at", DESCENDING)],
        )
        if document is None:
            return None
        return document["ordered_at"], Control(document["_id"], document["ordered_at"])
