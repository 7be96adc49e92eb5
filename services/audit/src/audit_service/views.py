"""Who did what: filters, keyset pages, and a sentence for every record."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from audit_service.store import RECORDS
from purser_common.identity import Caller, scope_filter
from purser_common.mongo import Database, Document
from purser_common.web import newest


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
        scopes = caller.scopes("auditor") | {
            grant.scope for grant in caller.grants if grant.scope != "all"
        }
        allowed = scope_filter(scopes, customer="customer_id", tenant="tenant_id")
        between = {**({"$gte": since} if since else {}), **({"$lt": until} if until else {})}
        times = {"at": between} if between else {}
        return await newest(
            self._records, "at", after, limit, allowed, times, *wanted, shown=_shown
        )


def _shown(document: Document) -> dict[str, Any]:
    return {"id": document["_id"], **{k: v for k, v in document.items() if k != "_id"}}
