"""What can be asked about requests, review items and orders."""

from datetime import datetime
from typing import Any

from order_service.domain.purchase import NEEDS_REVIEW
from order_service.store import ORDERS, REQUESTS
from purser_common.identity import ROLES, Caller, scope_filter
from purser_common.mongo import DESCENDING, Database, Document
from purser_common.web import cursor, position

_NEWEST = [("requested_at", DESCENDING), ("_id", DESCENDING)]


def _page(documents: list[Document], limit: int, time: str) -> dict[str, Any]:
    shown = documents[:limit]
    more = len(documents) > limit
    last = shown[-1] if more else None
    return {
        "items": [document["state"] for document in shown],
        "next": cursor(last[time].isoformat(), last["_id"]) if last else None,
    }


def _after(time: str, place: tuple[Any, ...] | None) -> dict[str, Any]:
    if place is None:
        return {}
    at, id = place
    return {"$or": [{time: {"$lt": at}}, {time: at, "_id": {"$lt": id}}]}


class Views:
    """Read queries, each within the caller's scope."""

    def __init__(self, database: Database) -> None:
        self._requests = database[REQUESTS]
        self._orders = database[ORDERS]

    async def requests(
        self, caller: Caller, tenant_id: str | None, cursor: str | None, limit: int
    ) -> dict[str, Any]:
        """Requests, newest first."""
        own: dict[str, Any] = {"tenant_id": tenant_id} if tenant_id else {}
        return await self._list(caller, own, cursor, limit)

    async def review_items(self, caller: Caller, cursor: str | None, limit: int) -> dict[str, Any]:
        """Requests that only a person can settle, newest first."""
        return await self._list(caller, {"phase": NEEDS_REVIEW}, cursor, limit)

    async def _list(
        self, caller: Caller, own: dict[str, Any], cursor: str | None, limit: int
    ) -> dict[str, Any]:
        place = position(cursor, datetime.fromisoformat, str)
        allowed = scope_filter(caller.scopes(*ROLES), customer="customer_id", tenant="tenant_id")
        if allowed is None:
            return {"items": [], "next": None}
        parts = [part for part in (allowed, own, _after("requested_at", place)) if part]
        query = {"$and": parts} if len(parts) > 1 else (parts[0] if parts else {})
        found = self._requests.find(query).sort(_NEWEST).limit(limit + 1)
        return _page(await found.to_list(limit + 1), limit, "requested_at")

    async def request(self, id: str) -> Document | None:
        """A request with its execution: attempts and what showed its order."""
        document = await self._requests.find_one({"_id": id})
        if document is None:
            return None
        execution = {
            "phase": document["phase"],
            "attempts": timestamps(document["attempts"]),
            "evidence": timestamps(document["evidence"]),
            "absence_shown_at": timestamps(document.get("absence_shown_at")),
        }
        return {
            "sequence": document["sequence"],
            "body": {**document["state"], "execution": execution},
        }

    async def orders(self, tenant_id: str, cursor: str | None, limit: int) -> dict[str, Any]:
        """The tenant's orders that Purser did not place, newest first."""
        place = position(cursor, datetime.fromisoformat, str)
        parts = [part for part in ({"tenant_id": tenant_id}, _after("ordered_at", place)) if part]
        query = {"$and": parts} if len(parts) > 1 else parts[0]
        order = [("ordered_at", DESCENDING), ("_id", DESCENDING)]
        found = await self._orders.find(query).sort(order).limit(limit + 1).to_list(limit + 1)
        return _page(found, limit, "ordered_at")


def timestamps(value: Any) -> Any:
    """Documents as JSON: datetimes become ISO strings."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return [timestamps(one) for one in value]
    if isinstance(value, dict):
        return {key: timestamps(one) for key, one in value.items()}
    return value
