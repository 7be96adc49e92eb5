"""What other services ask; answered from this service's own store, calling nobody."""

from typing import Any

from fastapi import APIRouter

from purser_common.errors import NotFound
from purser_common.web import CallerOf
from tenant_connection_service.views import Views

PEERS = ("order", "reseller")


def router(views: Views) -> APIRouter:
    """Routes for services; no part of the public API."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/internal/tenants/{id}")
    async def one(id: str, caller: CallerOf) -> dict[str, Any]:
        """A tenant, and whether a connection of it waits for its reseller."""
        caller.require_service(*PEERS)
        document = await views.tenant(id)
        if document is None:
            raise NotFound("there is no such tenant")
        pending = "pending_connection" in document
        return {"state": document["state"], "closing": False, "pending": pending}

    @routes.get("/internal/references")
    async def references(reseller_id: str, caller: CallerOf) -> dict[str, Any]:
        """The tenants that are connected to a reseller or about to be."""
        caller.require_service(*PEERS)
        return {"tenants": await views.referencing(reseller_id)}

    return routes
