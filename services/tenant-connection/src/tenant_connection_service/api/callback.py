"""The way back from Microsoft: the one public route, guarded by its signed `state`."""

import html
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from purser_common.errors import Problem
from purser_common.outbox import Loaded
from purser_common.web import CallerOf
from tenant_connection_service.commands.consent import accept_consent, decline_consent
from tenant_connection_service.commands.ports import Office
from tenant_connection_service.domain.tenants import ManagedTenant

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Returned:
    """What Microsoft puts into the address that it sends the administrator back to."""

    state: str = ""
    tenant: str = ""
    admin_consent: str = ""
    error: str = ""
    error_description: str = ""

    @property
    def accepted(self) -> bool:
        """Whether Microsoft says that the administrator accepted."""
        return not self.error and self.admin_consent.lower() == "true"


def add(routes: APIRouter, office: Office) -> None:
    """Add the consent's callback."""

    @routes.get(
        "/v1/consent/callback", operation_id="consent_callback", response_class=HTMLResponse
    )
    async def callback(
        caller: CallerOf, request: Request, returned: Annotated[Returned, Depends()]
    ) -> HTMLResponse:
        """Where Microsoft sends the tenant's administrator back to; answers a page."""
        caller.require_service("gateway")
        try:
            return await _taken(office, returned)
        except Problem as problem:
            # A person in front of a browser gets a page, a program the problem.
            if "text/html" not in request.headers.get("accept", ""):
                raise
            shown = _page("The consent could not be taken", problem.detail, problem.status)
            if problem.retry_after is not None:
                shown.headers["Retry-After"] = str(max(1, round(problem.retry_after)))
            return shown


async def _taken(office: Office, returned: Returned) -> HTMLResponse:
    if not returned.accepted:
        flow = _flow(await decline_consent(office, returned.state))
        said = returned.error_description or returned.error
        why = said[:500] or "Microsoft did not say that consent was given."
        return _page("The app was not authorised", f"{why} {flow}", 403)
    loaded = await accept_consent(office, returned.state, returned.tenant)
    name = loaded.state.tenant.name
    text = f"Purser may now read the licences of {name}. {_flow(loaded)}"
    return _page("The app was authorised", text, 200)


def _flow(loaded: Loaded[ManagedTenant]) -> str:
    """Where Purser goes on from here: the choices are kept under this id."""
    asked = loaded.state.consent_asked
    return f"Go on in Purser with the consent request {asked.nonce}." if asked else ""


def _page(title: str, text: str, status: int) -> HTMLResponse:
    body = f"<h1>{html.escape(title)}</h1><p>{html.escape(text)}</p><p>You may close this page.</p>"
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title>'
    return HTMLResponse(f'<!doctype html><html lang="en">{head}{body}', status, HEADERS)
