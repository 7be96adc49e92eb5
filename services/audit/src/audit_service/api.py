"""The audit trail over HTTP."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from audit_service.views import MEDIA_TYPES, AuditRecord, Views, written
from purser_common.identity import Caller
from purser_common.web import CallerOf, Page

_TEXT = {"schema": {"type": "string"}}


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
    subscription_id: str | None = Field(
        default=None, description="About this subscription: its readings, requests and findings."
    )
    order_id: str | None = Field(default=None, description="The marketplace's id of an order.")
    store_item: str | None = Field(
        default=None, description="Id of a store item: what was done about that product there."
    )
    mpn: str | None = Field(default=None, description="About a product with this part number.")
    since: AwareDatetime | None = Field(default=None, description="From this time on.")
    until: AwareDatetime | None = Field(default=None, description="Before this time.")
    cursor: str | None = None

    model_config = {"extra": "forbid"}

    def wanted(self) -> list[dict[str, str]]:
        """The filters on single fields, each for itself: two may name the same field."""
        named = {
            "store_item": "store_items",
            "mpn": "mpns",
            "subscription_id": "subscriptions",
            "order_id": "orders",
        }
        plain = {"request_id", "since", "until", "cursor", "limit", "format"}
        given: dict[str, str] = self.model_dump(exclude=plain, exclude_none=True)
        wanted = [{named.get(field, field): value} for field, value in given.items()]
        if self.request_id is not None:
            wanted.append({"subject": f"license-change-request/{self.request_id}"})
        return wanted


class Paged(Filters):
    """Which records, and how many of them."""

    limit: int = Field(default=50, ge=1, le=200)


class Exported(Filters):
    """Which records, as what, and how many of them in one file."""

    format: Literal["csv", "jsonl"] = Field(
        description="`csv`: one row for each record; `jsonl`: one whole record for each line."
    )
    limit: int = Field(default=1_000, ge=1, le=5_000)


def router(views: Views) -> APIRouter:
    """The audit service's routes."""
    routes = APIRouter()

    async def found(caller: Caller, wanted: Paged | Exported) -> Page[AuditRecord]:
        return Page[AuditRecord].model_validate(
            await views.records(
                caller, wanted.wanted(), wanted.since, wanted.until, wanted.cursor, wanted.limit
            )
        )

    @routes.get("/v1/audit-records", operation_id="list_audit_records")
    async def records(caller: CallerOf, filters: Annotated[Paged, Query()]) -> Page[AuditRecord]:
        """Records within the caller's scope, newest first."""
        return await found(caller, filters)

    @routes.get(
        "/v1/exports/audit-records",
        operation_id="export_audit_records",
        response_class=Response,
        responses={200: {"content": {one: _TEXT for one in MEDIA_TYPES.values()}}},
    )
    async def export(caller: CallerOf, filters: Annotated[Exported, Query()]) -> Response:
        """Records as a file, newest first; `Purser-Next` is the cursor of the file after it, if any."""
        page = await found(caller, filters)
        return Response(
            written(page.items, filters.format),
            media_type=MEDIA_TYPES[filters.format],
            headers={
                "Content-Disposition": f'attachment; filename="audit-records.{filters.format}"',
                "Cache-Control": "no-store",
                **({"Purser-Next": page.next} if page.next else {}),
            },
        )

    return routes
