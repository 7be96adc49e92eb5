"""What other services ask; answered from this service's own store, calling nobody."""

from typing import Any

from fastapi import APIRouter

from purser_common.errors import NotFound
from purser_common.web import CallerOf
from tenant_connection_service.views import Views

PEERS = ("order", "reseller")


def add(routes: APIRouter, views: Views) -> None:
    """Add the routes for services; no part of the public API."""

    @routes.get("/internal/tenants/{id}", include_in_schema=False)
    async def one(id: str, caller: CallerOf) -> dict[str, Any]:
        """A tenant, whether it is about to be let go of, and whether a connection of it is pending."""
        caller.require_service(*PEERS)
        document = await views.tenant(id)
        if document is None:
            raise NotFound("there is no such tenant")
        return {
            "state": document["state"],
            "closing": "closing" in document,
            "pending": "pending_connection" in document,
        }

    @routes.get("/internal/references", include_in_schema=False)
    async def references(reseller_id: str, caller: CallerOf) -> dict[str, Any]:
        """The tenants that are connected to a reseller or about to be."""
        caller.require_service(*PEERS)
        return {"tenants": await views.referencing(reseller_id)}
