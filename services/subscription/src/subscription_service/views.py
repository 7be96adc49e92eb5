"""What can be asked about subscriptions."""

from datetime import datetime
from typing import Any

from purser_common.identity import ROLES, Caller, scope_filter
from purser_common.mongo import DESCENDING, Database, Document
from purser_common.web import cursor, position
from subscription_service.store import CONNECTIONS, SUBSCRIPTIONS


class Views:
    """Read queries over the mirror, and over the copy of tenants."""

    def __init__(self, database: Database) -> None:
        self._subscriptions = database[SUBSCRIPTIONS]
        self._connections = database[CONNECTIONS]

    async def customer_of(self, tenant_id: str) -> str | None:
        """The customer of a tenant; None while its facts have not arrived."""
        document = await self._connections.find_one({"_id": tenant_id}, {"state.customer_id": 1})
        return document["state"]["customer_id"] if document else None

    async def of_tenant(
        self, caller: Caller, tenant_id: str, after: str | None, limit: int
    ) -> dict[str, Any]:
        """A tenant's subscriptions within the caller's scope, newest first."""
        place = position(after, datetime.fromisoformat, str)
        allowed = _beyond_tenant(caller, tenant_id)
        if allowed is None:
            return {"items": [], "next": None}
        query: dict[str, Any] = {"tenant_id": tenant_id, **allowed}
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


def _beyond_tenant(caller: Caller, tenant_id: str) -> Document | None:
    """What a query for a tenant's documents must ask besides; None when nothing may be seen."""
    if caller.may(*ROLES, tenant=tenant_id):
        return {}
    customers = frozenset(s for s in caller.scopes(*ROLES) if s.startswith("customer/"))
    return scope_filter(customers, customer="customer_id", tenant="tenant_id")
