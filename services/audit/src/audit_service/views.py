"""Who did what: filters, keyset pages, and a sentence for every record."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from audit_service.store import RECORDS
from purser_common.identity import Caller, scope_filter
from purser_common.mongo import DESCENDING, Database, Document
from purser_common.web import cursor, position


class Views:
    """Read queries over the records."""

    def __init__(self, database: Database) -> None:
        self._records = database[RECORDS]

    async def records(
        self,
        caller: Caller,
        wanted: Sequence[Mapping[str, str]],
        since: datetime | None,
        until: datetime | None,
        after: str | None,
        limit: int,
    ) -> dict[str, Any]:
        """Records within the caller's scope, newest first; a page is stable while new ones arrive.

        Auditors see everything in their scope; others see their own tenants' and customers'.
        """
        place = position(after, datetime.fromisoformat, str)
        scopes = caller.scopes("auditor") | {
            grant.scope for grant in caller.grants if grant.scope != "all"
        }
        allowed = scope_filter(scopes, customer="customer_id", tenant="tenant_id")
        if allowed is None:
            return {"items": [], "next": None}
        times = {
            **({"$gte": since} if since else {}),
            **({"$lt": until} if until else {}),
        }
        parts: list[Mapping[str, Any]] = [part for part in (allowed, *wanted) if part]
        if times:
            parts.append({"at": times})
        if place is not None:
            at, id = place
            parts.append({"$or": [{"at": {"$lt": at}}, {"at": at, "_id": {"$lt": id}}]})
        query = {"$and": parts} if len(parts) > 1 else (parts[0] if parts else {})
        order = [("at", DESCENDING), ("_id", DESCENDING)]
        found = await self._records.find(query).sort(order).limit(limit + 1).to_list(limit + 1)
        last = found[limit - 1] if len(found) > limit else None
        return {
            "items": [_shown(document) for document in found[:limit]],
            "next": cursor(last["at"].isoformat(), last["_id"]) if last else None,
        }


def _shown(document: Document) -> dict[str, Any]:
    return {"id": document["_id"], **{k: v for k, v in document.items() if k != "_id"}}
