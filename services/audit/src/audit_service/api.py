"""The audit trail over HTTP."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from audit_service.views import Views
from purser_common.web import CallerOf, Page


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


class Filters(BaseModel):
    """Which records; all that are given must hold."""

    tenant_id: str | None = None
    customer_id: str | None = None
    reseller_id: str | None = None
    marketplace: str | None = None
    subject: str | None = Field(default=None, description="`<aggregate>/<id>`.")
    actor: str | None = None
    correlation_id: str | None = None
    type: str | None = None
    request_id: str | None = Field(default=None, description="Id of a licence change request.")
    store_item: str | None = Field(
        default=None, description="Id of a store item: what was done about that product there."
    )
    mpn: str | None = Field(default=None, description="About a product with this part number.")
    since: AwareDatetime | None = Field(default=None, description="From this time on.")
    until: AwareDatetime | None = Field(default=None, description="Before this time.")
    cursor: str | None = None
    limit: int = Field(default=50, ge=1, le=200)

    model_config = {"extra": "forbid"}

    def wanted(self) -> list[dict[str, str]]:
        """The filters on single fields, each for itself: two may name the same field."""
        named = {"store_item": "store_items", "mpn": "mpns"}
        plain = {"request_id", "since", "until", "cursor", "limit"}
        given: dict[str, str] = self.model_dump(exclude=plain, exclude_none=True)
        wanted = [{named.get(field, field): value} for field, value in given.items()]
        if self.request_id is not None:
            wanted.append({"subject": f"license-change-request/{self.request_id}"})
        return wanted


def router(views: Views) -> APIRouter:
    """The audit service's one route."""
    routes = APIRouter()

    @routes.get("/v1/audit-records", operation_id="list_audit_records")
    async def records(caller: CallerOf, filters: Annotated[Filters, Query()]) -> Page[AuditRecord]:
        """Records within the caller's scope, newest first."""
        found = await views.records(
            caller, filters.wanted(), filters.since, filters.until, filters.cursor, filters.limit
        )
        return Page[AuditRecord].model_validate(found)

    return routes
