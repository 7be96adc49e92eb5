"""What can be asked about customers and tenants, within the caller's scope."""

from datetime import datetime
from typing import Any

from purser_common.identity import ROLES, Caller, scope_filter
from purser_common.mongo import DESCENDING, Collection, Database, Document
from purser_common.web import cursor, position
from tenant_connection_service.store import CUSTOMERS, TENANTS


class Views:
    """Read queries."""

    def __init__(self, database: Database) -> None:
        self._customers = database[CUSTOMERS]
        self._tenants = database[TENANTS]

    async def customers(self, caller: Caller, after: str | None, limit: int) -> dict[str, Any]:
        """Customers, newest first."""
        scopes = caller.scopes(*ROLES)
        whole = frozenset(scope for scope in scopes if not scope.startswith("tenant/"))
        allowed = scope_filter(whole, customer="_id", tenant="_id")
        return await _newest(self._customers, "added_at", allowed, after, limit)

    async def tenants(self, caller: Caller, after: str | None, limit: int) -> dict[str, Any]:
        """Tenants, newest first."""
        allowed = scope_filter(caller.scopes(*ROLES), customer="customer_id", tenant="_id")
        return await _newest(self._tenants, "registered_at", allowed, after, limit)

    async def customer_tenants(
        self, customer_id: str, after: str | None, limit: int
    ) -> dict[str, Any]:
        """A customer's tenants, newest first."""
        own = {"customer_id": customer_id}
        return await _newest(self._tenants, "registered_at", own, after, limit)

    async def customer(self, id: str) -> Document | None:
        """A customer's document."""
        return await self._customers.find_one({"_id": id})

    async def tenant(self, id: str) -> Document | None:
        """A tenant's document."""
        return await self._tenants.find_one({"_id": id})

    async def referencing(self, reseller_id: str) -> list[dict[str, str]]:
        """The tenants that are connected to a reseller, or about to be."""
        found = await self._tenants.find({"reseller_id": reseller_id}).to_list(None)
        return [{"id": d["_id"], "name": d["state"]["name"]} for d in found]


async def _newest(
    collection: Collection, time: str, allowed: Document | None, after: str | None, limit: int
) -> dict[str, Any]:
    place = position(after, datetime.fromisoformat, str)
    if allowed is None:
        return {"items": [], "next": None}
    query = allowed
    if place is not None:
        at, id = place
        older = {"$or": [{time: {"$lt": at}}, {time: at, "_id": {"$lt": id}}]}
        # Side by side they would overwrite each other's `$or`, and `_id` inside a scope's `$in`.
        query = {"$and": [allowed, older]} if allowed else older
    order = [(time, DESCENDING), ("_id", DESCENDING)]
    found = await collection.find(query).sort(order).limit(limit + 1).to_list(limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    return {
        "items": [document["state"] for document in found[:limit]],
        "next": cursor(last[time].isoformat(), last["_id"]) if last else None,
    }
