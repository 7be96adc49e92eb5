"""What can be asked about requests, review items and orders."""

from datetime import datetime
from typing import Any

from order_service.domain.purchase import NEEDS_REVIEW, OPEN, READY
from order_service.store import ORDERS, REQUESTS
from purser_common.identity import ROLES, Caller, scope_filter
from purser_common.mongo import Database, Document
from purser_common.web import newest

MOST_OPEN = 200
OPEN_SHOWN = {
    "state.status": 1,
    "state.tenant_id": 1,
    "state.product": 1,
    "phase": 1,
    "evidence": 1,
}


class Views:
    """Read queries, each within the caller's scope."""

    def __init__(self, database: Database) -> None:
        self._requests = database[REQUESTS]
        self._orders = database[ORDERS]

    async def review_items(self, caller: Caller, cursor: str | None, limit: int) -> dict[str, Any]:
        """Requests that only a person can settle, newest first."""
        allowed = scope_filter(caller.scopes(*ROLES), customer="customer_id", tenant="tenant_id")
        waiting = {"phase": NEEDS_REVIEW}
        return await newest(self._requests, "requested_at", cursor, limit, allowed, waiting)

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

    async def open_requests(self, of: dict[str, Any]) -> list[dict[str, Any]]:
        """Requests that have not ended, of one tenant or one reseller: what may be sent first, 200 at most.

        What waits is asked for before and after the rest: a request that is taken up, or comes back,
        while this reads is seen by one of the three.
        """
        found: dict[str, Document] = {}
        for phases in ([READY], sorted(OPEN - {READY}), [READY]):
            asked = self._requests.find({**of, "phase": {"$in": phases}}, OPEN_SHOWN)
            found |= {one["_id"]: one for one in await asked.limit(MOST_OPEN).to_list(MOST_OPEN)}
        shown = sorted(map(_open, found.values()), key=lambda one: not one["sent"])
        return shown[:MOST_OPEN]

    async def orders(self, tenant_id: str, cursor: str | None, limit: int) -> dict[str, Any]:
        """The tenant's orders that Purser did not place, newest first."""
        return await newest(self._orders, "ordered_at", cursor, limit, {"tenant_id": tenant_id})


def _open(document: Document) -> dict[str, Any]:
    return {
        "id": document["_id"],
        "status": document["state"]["status"],
        "tenant_id": document["state"]["tenant_id"],
        "sent": document["phase"] != READY or bool(document["evidence"]),
        "product": document["state"]["product"],
    }


def timestamps(value: Any) -> Any:
    """Documents as JSON: datetimes become ISO strings."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return [timestamps(one) for one in value]
    if isinstance(value, dict):
        return {key: timestamps(one) for key, one in value.items()}
    return value
