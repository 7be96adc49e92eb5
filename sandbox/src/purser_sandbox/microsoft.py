"""Microsoft's admin consent, the app-only token and Graph's licence endpoints."""

import html
import time
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from purser_sandbox.marketplace.access import sign, verify
from purser_sandbox.world.catalogue import SKUS
from purser_sandbox.world.records import EntraTenant
from purser_sandbox.world.state import World

Json = dict[str, Any]
router = APIRouter(tags=["microsoft"])
ANY_TENANT = {"common", "organizations"}
PERMISSIONS = [
    "LicenseAssignment.Read.All: read the licences of the organization",
    "Organization.Read.All: read the name and domains of the organization",
]


def _world(request: Request) -> World:
    world: World = request.app.state.world
    world.settle()
    return world


def _tenant(world: World, name: str) -> EntraTenant | None:
    found = world.tenants.get(name.lower())
    return found or next((row for row in world.tenants.values() if row.domain == name), None)


def _with_query(address: str, **values: str) -> str:
    parts = urlsplit(address)
    query = urlencode([*parse_qsl(parts.query), *values.items()])
    return parts._replace(query=query, fragment="").geturl()


def page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        f"<!doctype html><title>{html.escape(title)}</title><h1>{html.escape(title)}</h1>{body}",
        status,
        headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
    )


@router.get("/login/{tenant}/v2.0/adminconsent")
async def admin_consent(
    request: Request,
    tenant: str,
    client_id: str = "",
    redirect_uri: str = "",
    state: str = "",
    scope: str = "",
    sandbox_auto: str = "",
    sandbox_tenant: str = "",
) -> Response:
    """Asks to accept or decline; `sandbox_auto=accept|decline` answers at once. With `common`
    or `organizations` the tenant is chosen on the page or by `sandbox_tenant`."""
    world = _world(request)
    target = urlsplit(redirect_uri)
    if client_id != world.settings.entra_client_id:
        return page("AADSTS700016", "<p>Application was not found in the directory.</p>", 400)
    if target.scheme not in ("http", "https") or not target.netloc:
        return page("AADSTS50011", "<p>The redirect URI is missing or not absolute.</p>", 400)
    wanted = sandbox_tenant if tenant in ANY_TENANT else tenant
    row = _tenant(world, wanted)
    if row is None and (wanted or tenant not in ANY_TENANT):
        return page("AADSTS90002", "<p>The tenant was not found.</p>", 400)
    if row is None or sandbox_auto not in ("accept", "decline"):
        return _consent_page(request, world, row)
    if sandbox_auto == "decline":
        message = "AADSTS65004: User declined to consent to access the app."
        answer = {"error": "access_denied", "error_description": message, "state": state}
        return RedirectResponse(_with_query(redirect_uri, **answer), 302)
    row.consents = sorted({*row.consents, client_id})
    world.save(row)
    answer = {"admin_consent": "True", "tenant": row.id, "scope": scope, "state": state}
    return RedirectResponse(_with_query(redirect_uri, **answer), 302)


def _consent_page(request: Request, world: World, row: EntraTenant | None) -> Response:
    given = dict(request.query_params)
    here = request.url.path
    choices = [row] if row else list(world.tenants.values())[:200]
    listed = "".join(f"<li>{html.escape(text)}</li>" for text in PERMISSIONS)
    body = f"<p>Application {html.escape(given['client_id'])} asks for:</p><ul>{listed}</ul>"
    for choice in choices:
        links = []
        for action in ("accept", "decline"):
            values = given | {"sandbox_auto": action, "sandbox_tenant": choice.id}
            href = html.escape(f"{here}?{urlencode(values)}", quote=True)
            links.append(f'<a id="{action}-{choice.id}" href="{href}">{action.title()}</a>')
        body += f"<p>{html.escape(choice.display_name)} ({choice.domain}): {' · '.join(links)}</p>"
    return page("Permissions requested", body)


def _refusal(status: int, error: str, code: int, text: str) -> JSONResponse:
    body = {
        "error": error,
        "error_description": f"AADSTS{code}: {text}",
        "error_codes": [code],
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ"),
        "trace_id": str(uuid.uuid4()),
        "correlation_id": str(uuid.uuid4()),
        "error_uri": f"https://login.microsoftonline.com/error?code={code}",
    }
    return JSONResponse(body, status)


@router.post("/login/{tenant}/oauth2/v2.0/token")
async def token(request: Request, tenant: str) -> Response:
    """App-only token by client credentials. Microsoft's refusals: unknown tenant, unknown or
    unconsented application, wrong secret."""
    world = _world(request)
    settings = world.settings
    form = await request.form()
    row = _tenant(world, tenant)
    if row is None:
        return _refusal(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
    if form.get("grant_type") != "client_credentials":
        text = "The app requested an unsupported grant type."
        return _refusal(400, "unsupported_grant_type", 70003, text)
    if not str(form.get("scope", "")).endswith("/.default"):
        text = "The provided value for scope is not valid; it must end with /.default."
        return _refusal(400, "invalid_scope", 1002012, text)
    client = str(form.get("client_id", ""))
    missing = f"Application with identifier '{client}' was not found in the directory."
    if client != settings.entra_client_id:
        return _refusal(400, "unauthorized_client", 700016, missing)
    if form.get("client_secret") != settings.entra_client_secret:
        return _refusal(401, "invalid_client", 7000215, "Invalid client secret provided.")
    if client in row.withdrawn and client not in row.consents:
        text = f"The client application {client} is missing service principal in the tenant."
        return _refusal(401, "invalid_client", 7000229, text)
    if client not in row.consents:
        return _refusal(400, "unauthorized_client", 700016, missing)
    life = settings.graph_token_seconds
    claims = {"tid": row.id, "appid": client, "exp": time.time() + life}
    access = sign(world, "graph", claims)
    return JSONResponse(
        {
            "token_type": "Bearer",
            "expires_in": life,
            "ext_expires_in": life,
            "access_token": access,
        },
        headers={"Cache-Control": "no-store"},
    )


def _graph_error(status: int, code: str, message: str) -> JSONResponse:
    inner = {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": str(uuid.uuid4()),
        "client-request-id": str(uuid.uuid4()),
    }
    return JSONResponse({"error": {"code": code, "message": message, "innerError": inner}}, status)


def _authorized(request: Request, world: World) -> EntraTenant | JSONResponse:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    claims = verify(world, "graph", bearer) if scheme.lower() == "bearer" else None
    if claims is None:
        return _graph_error(401, "InvalidAuthenticationToken", "Access token is empty or invalid.")
    if claims["exp"] <= time.time():
        text = "Lifetime validation failed, the token is expired."
        return _graph_error(401, "InvalidAuthenticationToken", text)
    row = world.tenants.get(claims["tid"])
    if row is None or claims["appid"] not in row.consents:
        text = "Insufficient privileges to complete the operation."
        return _graph_error(403, "Authorization_RequestDenied", text)
    return row


@router.get("/graph/v1.0/organization")
async def organization(request: Request) -> Response:
    world = _world(request)
    row = _authorized(request, world)
    if isinstance(row, JSONResponse):
        return row
    domain = {"name": row.domain, "type": "Managed", "isDefault": True, "isInitial": True,
              "capabilities": "Email, OfficeCommunicationsOnline"}  # fmt: skip
    entry = {"id": row.id, "displayName": row.display_name, "verifiedDomains": [domain],
             "countryLetterCode": "US", "tenantType": "AAD"}  # fmt: skip
    context = f"{world.settings.base_url}/graph/v1.0/$metadata#organization"
    return JSONResponse({"@odata.context": context, "value": [entry]})


@router.get("/graph/v1.0/subscribedSkus")
async def subscribed_skus(request: Request) -> Response:
    """Seats by SKU: what is bought at the marketplace for this tenant, and what is in use."""
    world = _world(request)
    row = _authorized(request, world)
    if isinstance(row, JSONResponse):
        return row
    enabled: dict[str, int] = {}
    suspended: dict[str, int] = {}
    bought: dict[str, list[str]] = {}
    for subscription in world.customer_subscriptions(row.customer_id):
        if subscription.tenant_id != row.id:
            continue
        for line in subscription.lines:
            stem = world.catalogue.products[line.product_id].mpn.partition("_")[0]
            seats = {"active": enabled, "hold": suspended}.get(subscription.status)
            if stem in SKUS and seats is not None:
                seats[stem] = seats.get(stem, 0) + line.quantity
                bought.setdefault(stem, []).append(line.vendor_subscription_id)
    rows = [
        _sku(row, stem, enabled.get(stem, 0), suspended.get(stem, 0), ids)
        for stem, ids in bought.items()
    ]
    context = f"{world.settings.base_url}/graph/v1.0/$metadata#subscribedSkus"
    return JSONResponse({"@odata.context": context, "value": rows})


def _sku(row: EntraTenant, stem: str, enabled: int, suspended: int, ids: list[str]) -> Json:
    sku_id, part = SKUS[stem]
    return {
        "accountName": row.domain.partition(".")[0],
        "accountId": row.id,
        "appliesTo": "User",
        "capabilityStatus": "Enabled" if enabled else "Suspended",
        "consumedUnits": row.consumed.get(part, enabled * 3 // 4),
        "id": f"{row.id}_{sku_id}",
        "skuId": sku_id,
        "skuPartNumber": part,
        "subscriptionIds": ids,
        "prepaidUnits": {"enabled": enabled, "suspended": suspended, "warning": 0, "lockedOut": 0},
        "servicePlans": [],
    }
