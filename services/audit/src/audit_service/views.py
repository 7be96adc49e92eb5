"""Who did what: filters, keyset pages, and a sentence for every record."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from audit_service.store import RECORDS
from purser_common.identity import Caller, scope_filter
from purser_common.mongo import Database, Document
from purser_common.web import newest

MEDIA_TYPES: Mapping[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl; charset=utf-8",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class AuditRecord(BaseModel):
    """One fact: who did what, when, and because of what."""

    id: str
    at: datetime
    type: str
    subject: str
    sequence: int
    actor: str
    summary: str
    tenant_id: str | None
    customer_id: str | None
    reseller_id: str | None
    marketplace: str | None
    correlation_id: str = Field(description="Everything that one call set in motion.")
    causation_id: str | None
    trace_id: str | None
    changes: list[dict[str, Any]]
    data: dict[str, Any]


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


def written(records: Sequence[AuditRecord], format: str) -> str:
    """Records as CSV with a header (changes and data as JSON), or as JSON Lines."""
    if format == "jsonl":
        return "".join(f"{record.model_dump_json()}\n" for record in records)
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(AuditRecord.model_fields)
    for record in records:
        rows.writerow(map(_cell, record.model_dump(mode="json").values()))
    return file.getvalue()


def _cell(value: Any) -> str:
    """A value as a spreadsheet shows it: text, and never a formula that somebody else has written."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
