"""The overview: one answer, at most one indexed query per collection, within the caller's scope."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from gateway_service.store import ASSIGNMENTS, MODEL
from purser_common.identity import ALL, ROLES, Caller, scope_filter
from purser_common.mongo import DESCENDING, Database, Document
from purser_common.web import etag_of, newest

SHOWN = 200


class Views:
    """Read queries over the gateway's own model."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def overview(self, caller: Caller) -> dict[str, Any]:
        """Everything of a first screen; `as_of` tells how old the model is."""
        scopes = caller.scopes(*ROLES)
        allowed = scope_filter(scopes, customer="customer_id", tenant="tenant_id")
        scoped = [name for name in MODEL.values() if name != "buying_stops"]
        found = {name: await self._newest(name, allowed) for name in scoped}
        if ALL not in scopes:
            found["resellers"] = []
        # Who waits for an order should see why, whatever the scope.
        holding = {"state.status": "stopped"} if scopes else None
        found["buying_stops"] = await self._newest("buying_stops", holding)
        states = {name: [d["state"] for d in documents] for name, documents in found.items()}
        times = [document["at"] for documents in found.values() for document in documents]
        return {
            "as_of": max(times, default=datetime.now(UTC)).isoformat(),
            "counts": {name: len(states[name]) for name in states},
            "seats": _seats(states["subscriptions"]),
            "requests_by_status": dict(Counter(r["status"] for r in states["requests"])),
            **states,
        }

    async def _newest(self, name: str, allowed: dict[str, Any] | None) -> list[Document]:
        if allowed is None:
            return []
        found = self._database[name].find(allowed).sort([("at", DESCENDING)]).limit(SHOWN)
        return await found.to_list(SHOWN)

    async def assignments(self, after: str | None, limit: int) -> dict[str, Any]:
        """Role assignments, newest first."""
        return await newest(
            self._database[ASSIGNMENTS],
            "granted_at",
            after,
            limit,
            shown=lambda d: {**d["state"], "etag": etag_of(d["sequence"])},
        )


def _seats(subscriptions: list[dict[str, Any]]) -> dict[str, int]:
    """Seats of active subscriptions by product name."""
    seats: Counter[str] = Counter()
    for subscription in subscriptions:
        if subscription["status"] == "active":
            for option in subscription["options"]:
                seats[option["name"]] += option["quantity"]
    return dict(seats)
