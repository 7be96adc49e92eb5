"""What other services ask, and the way back from Microsoft."""

import html
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from purser_common.errors import NotFound
from purser_common.web import CallerOf
from tenant_connection_service.commands import Office, accept_consent
from tenant_connection_service.views import Views


def router(office: Office, views: Views) -> APIRouter:
    """Routes that are not part of the public API's description."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/v1/consent/callback")
    async def callback(
        caller: CallerOf,
        request: Request,
        state: str = "",
        tenant: str = "",
        admin_consent: str = "",
        error: str = "",
        error_description: str = "",
    ) -> HTMLResponse:
        """Microsoft's answer, brought by the administrator's browser through the gateway."""
        caller.require_service("gateway")
        if error or admin_consent.lower() != "true":
            why = error_description or error or "Microsoft did not say that consent was given."
            return _page("The app was not authorised", why, 403)
        correlation: str = request.state.correlation_id
        loaded = await accept_consent(office, state, tenant, correlation)
        name = loaded.state.tenant.name
        return _page("The app was authorised", f"Purser may now read the licences of {name}.", 200)

    @routes.get("/internal/tenants/{id}")
    async def one(id: str, caller: CallerOf) -> dict[str, Any]:
        """A tenant as another service needs it."""
        caller.require_service("order", "reseller", "subscription")
        document = await views.tenant(id)
        if document is None:
            raise NotFound("there is no such tenant")
        return {"state": document["state"], "closing": False, "pending": "pending" in document}

    @routes.get("/internal/references")
    async def references(reseller_id: str, caller: CallerOf) -> dict[str, Any]:
        """The tenants that stand in the way of a reseller's deletion."""
        caller.require_service("order", "reseller", "subscription")
        return {"tenants": await views.referencing(reseller_id)}

    return routes


def _page(title: str, text: str, status: int) -> HTMLResponse:
    body = f"<h1>{html.escape(title)}</h1><p>{html.escape(text)}</p><p>You may close this page.</p>"
    shown = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>{body}'
    return HTMLResponse(shown, status, headers={"Cache-Control": "no-store"})
