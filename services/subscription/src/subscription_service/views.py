"""What can be asked about subscriptions."""

from datetime import datetime
from typing import Any

from purser_common.mongo import DESCENDING, Database, Document
from purser_common.web import cursor, position
from subscription_service.store import SUBSCRIPTIONS


class Views:
    """Read queries over the mirror."""

    def __init__(self, database: Database) -> None:
        self._subscriptions = database[SUBSCRIPTIONS]

    async def of_tenant(self, tenant_id: str, after: str | None, limit: int) -> dict[str, Any]:
        """A tenant's subscriptions, newest first."""
        place = position(after, datetime.fromisoformat, str)
        query: dict[str, Any] = {"tenant_id": tenant_id}
        if place is not None:
            at, id = place
            earlier = [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lt": id}}]
            query = {**query, "$or": earlier}
        order = [("created_at", DESCENDING), ("_id", DESCENDING)]
        found = (
            await self._subscriptions.find(query).sort(order).limit(limit + 1).to_list(limit + 1)
        )
        last = found[limit - 1] if len(found) > limit else None
        return {
            "items": [document["state"] for document in found[:limit]],
            "next": cursor(last["created_at"].isoformat(), last["_id"]) if last else None,
        }

    async def one(self, id: str) -> Document | None:
        """A subscription's document: state, sequence, and when it was read."""
        return await self._subscriptions.find_one({"_id": id})
