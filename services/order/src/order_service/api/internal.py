"""What other services ask; answered from this service's own store, calling nobody."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from order_service.views import Views
from purser_common.errors import Malformed
from purser_common.web import CallerOf
from purser_events.values import ProductIdentity

PEERS = ("tenant-connection", "reseller")


class OpenRequest(BaseModel):
    """A licence change request that has not ended."""

    id: str
    status: str
    tenant_id: str
    sent: bool = Field(description="Something of it may be at the marketplace.")
    product: ProductIdentity


class OpenRequests(BaseModel):
    """What stands in the way of letting go of a tenant or a reseller."""

    requests: list[OpenRequest] = Field(description="200 at most.")


def add(routes: APIRouter, views: Views) -> None:
    """Add the routes for services; no part of the public API."""

    @routes.get("/internal/open-requests", include_in_schema=False)
    async def open_requests(
        caller: CallerOf, tenant_id: str | None = None, reseller_id: str | None = None
    ) -> OpenRequests:
        """The open requests of a tenant, or of everything under a reseller."""
        caller.require_service(*PEERS)
        if (tenant_id is None) == (reseller_id is None):
            raise Malformed("name one of tenant_id and reseller_id", code="malformed_query")
        of = {"tenant_id": tenant_id} if tenant_id is not None else {"reseller_id": reseller_id}
        return OpenRequests.model_validate({"requests": await views.open_requests(of)})
