"""The sandbox's own routes under ``/sandbox``: what is here, faults, the clock, accounts."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, HTTPException, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from purser_sandbox.faults import Fault, Faults
from purser_sandbox.gate import Calls
from purser_sandbox.settings import ResellerList, Settings, VendorRules
from purser_sandbox.users import CLIENTS, PUBLIC_CLIENTS, USERS
from purser_sandbox.world.records import Login, Reseller, Timing
from purser_sandbox.world.seed import add_account, seed
from purser_sandbox.world.state import World

Json = dict[str, Any]
router = APIRouter(prefix="/sandbox", tags=["sandbox"])


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AccountRequest(_Strict):
    """A login of its own. Timing in seconds; left out: the sandbox's settings."""

    kind: Literal["parent", "leaf"] = "parent"
    customers: int = Field(default=1, ge=1, le=1000)
    resellers: int = Field(default=1, ge=1, le=100)
    region: Literal["eu", "na"] = "eu"
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    submitted_seconds: float | None = Field(default=None, ge=0)
    processing_seconds: float | None = Field(default=None, ge=0)
    reads_per_minute: int | None = Field(default=None, ge=0)


class LoginChange(_Strict):
    reseller_list: ResellerList | None = None
    expired_bearer: Literal[401, 403] | None = None
    password: str | None = Field(default=None, min_length=1)
    disabled: bool | None = None
    reads_per_minute: int | None = Field(default=None, ge=0)
    products: int | None = Field(default=None, ge=0)
    hidden: list[str] = []
    costs: dict[str, Annotated[Decimal, Field(ge=0)]] = {}
    expire_tokens: bool = False


class ResellerChange(_Strict):
    submitted_seconds: float | None = Field(default=None, ge=0)
    processing_seconds: float | None = Field(default=None, ge=0)
    vendor_rules: VendorRules | None = None


class CustomerChange(_Strict):
    status: Literal["pending", "active", "creditHold", "adminHold", "cancelled", "error"]


class SubscriptionChange(_Strict):
    entra_tenant_id: str | None = None
    """What it names as `ms_customer_id`, known here or not; null: nothing. Left out: as it is."""
    modified_on: date | None = None


class Advance(_Strict):
    advance_seconds: float = Field(ge=0, le=10 * 366 * 86_400)


def _world(request: Request) -> World:
    world: World = request.app.state.world
    return world


@router.get("", response_class=HTMLResponse)
async def index(request: Request) -> str:
    base = _world(request).settings.base_url
    links = ["seed", "entra-tenants", "journal", "calls", "faults", "clock"]
    items = "".join(f'<li><a href="{base}/sandbox/{name}">{name}</a></li>' for name in links)
    return (
        "<!doctype html><title>Sandbox</title><h1>Sandbox</h1>"
        f"<p>Marketplace: {base}/marketplace/eu · Graph: {base}/graph/v1.0 · "
        f'Issuer: <a href="{base}/oidc/.well-known/openid-configuration">{base}/oidc</a> · '
        f'<a href="{base}/docs">all routes</a></p><ul>{items}</ul>'
    )


@router.get("/health")
async def get_health(request: Request) -> Json:
    return {"status": "ok", "orders": len(_world(request).orders)}


def _login(world: World, login: Login) -> Json:
    return {
        "id": login.id,
        "kind": login.kind,
        "region": login.region,
        "marketplace": login.marketplace,
        "base_url": f"{world.settings.base_url}/marketplace/{login.region}",
        "username": login.username,
        "password": login.password,
        "subscription_key": login.subscription_key,
    }


def _customers(world: World, reseller: Reseller) -> list[Json]:
    return [
        {
            "id": row.id,
            "name": row.name,
            "external_id": row.external_id,
            "reseller_id": row.reseller_id,
            "entra_tenants": [
                {"id": tenant.id, "domain": tenant.domain} for tenant in world.tenants_of(row.id)
            ],
        }
        for row in world.customers.values()
        if row.reseller_id == reseller.id
    ]


def _account(world: World, login: Login) -> Json:
    resellers = [
        {"id": row.id, "name": row.name, "currency": row.currency,
         "customers": _customers(world, row)}
        for row in world.resellers_of(login)
    ]  # fmt: skip
    return {"login": _login(world, login), "resellers": resellers}


@router.get("/seed")
async def get_seed(request: Request) -> Json:
    """Everything that a first try needs, demo credentials included."""
    world = _world(request)
    settings = world.settings
    names = ("distributor", "leaf")
    return {
        "accounts": [_account(world, world.logins[name]) for name in names],
        "entra_application": {
            "client_id": settings.entra_client_id,
            "client_secret": settings.entra_client_secret,
            "login_url": f"{settings.base_url}/login",
            "graph_url": f"{settings.base_url}/graph/v1.0",
        },
        "oidc": {
            "issuer": settings.issuer,
            "audience": settings.oidc_audience,
            "public_clients": sorted(PUBLIC_CLIENTS),
            "machine_clients": [
                {"client_id": name, "client_secret": secret} for name, secret in CLIENTS.items()
            ],
            "users": [
                {"username": row.username, "password": row.password, "groups": row.groups}
                for row in USERS.values()
            ],
        },
    }


@router.post("/accounts", status_code=201)
async def post_account(request: Request, asked: AccountRequest) -> Json:
    world = _world(request)
    timing = None
    if asked.submitted_seconds is not None or asked.processing_seconds is not None:
        timing = _timing(world, asked.submitted_seconds, asked.processing_seconds)
    login, _ = add_account(
        world,
        kind=asked.kind,
        customers=asked.customers,
        resellers=asked.resellers,
        region=asked.region,
        currency=asked.currency,
        timing=timing,
    )
    if asked.reads_per_minute is not None:
        login.reads_per_minute = asked.reads_per_minute
        world.save(login)
    return _account(world, login)


def _timing(world: World, submitted: float | None, processing: float | None) -> Timing:
    settings = world.settings
    return Timing(
        submitted_seconds=settings.submitted_seconds if submitted is None else submitted,
        processing_seconds=settings.processing_seconds if processing is None else processing,
    )


@router.patch("/logins/{login_id}")
async def patch_login(request: Request, login_id: str, change: LoginChange) -> Json:
    world = _world(request)
    login = world.logins.get(login_id)
    if login is None:
        raise HTTPException(404, "there is no such login")
    for name in change.model_fields_set - {"expire_tokens"}:
        setattr(login, name, getattr(change, name))
    if change.expire_tokens:
        login.generation += 1
    world.save(login)
    return _login(world, login) | {"disabled": login.disabled}


@router.patch("/resellers/{reseller_id}")
async def patch_reseller(request: Request, reseller_id: str, change: ResellerChange) -> Json:
    world = _world(request)
    row = world.resellers.get(reseller_id)
    if row is None:
        raise HTTPException(404, "there is no such reseller")
    if change.submitted_seconds is not None or change.processing_seconds is not None:
        row.timing = _timing(world, change.submitted_seconds, change.processing_seconds)
    if change.vendor_rules is not None:
        row.vendor_rules = change.vendor_rules
    world.save(row)
    return row.model_dump(mode="json")


@router.patch("/customers/{customer_id}")
async def patch_customer(request: Request, customer_id: str, change: CustomerChange) -> Json:
    world = _world(request)
    row = world.customers.get(customer_id)
    if row is None:
        raise HTTPException(404, "there is no such customer")
    row.status = change.status
    world.save(row)
    return {"id": row.id, "status": row.status}


@router.get("/entra-tenants")
async def get_entra_tenants(request: Request) -> list[Json]:
    world = _world(request)
    return [
        {
            "id": row.id,
            "domain": row.domain,
            "display_name": row.display_name,
            "customer_id": row.customer_id,
            "reseller_id": world.customers[row.customer_id].reseller_id,
            "consented_clients": row.consents,
        }
        for row in world.tenants.values()
    ]


@router.delete("/entra-tenants/{tenant_id}/consents", status_code=204)
async def delete_consents(request: Request, tenant_id: str) -> None:
    """Takes every admin consent of a tenant back."""
    world = _world(request)
    row = world.tenants.get(tenant_id)
    if row is None:
        raise HTTPException(404, "there is no such Entra tenant")
    row.withdrawn = sorted({*row.withdrawn, *row.consents})
    row.consents = []
    world.save(row)


@router.put("/entra-tenants/{tenant_id}/consumed")
async def put_consumed(
    request: Request, tenant_id: str, seats: Annotated[dict[str, int], Body()]
) -> Json:
    """Seats in use by skuPartNumber."""
    world = _world(request)
    row = world.tenants.get(tenant_id)
    if row is None:
        raise HTTPException(404, "there is no such Entra tenant")
    row.consumed = seats
    world.save(row)
    return {"id": row.id, "consumed": row.consumed}


@router.get("/journal")
async def get_journal(
    request: Request, customer_id: str | None = None, po_number: str | None = None
) -> list[Json]:
    """Every executed POST /orders, oldest first, read from the file."""
    return [
        {name: value for name, value in entry.items() if name != "record"}
        for entry in _world(request).store.journal()
        if customer_id in (None, entry["customerId"]) and po_number in (None, entry["poNumber"])
    ]


@router.get("/orders")
async def get_orders(request: Request, customer_id: str | None = None) -> list[Json]:
    """Every order as it stands now, whoever placed it, oldest first."""
    world = _world(request)
    world.settle()
    return [
        row.model_dump(mode="json")
        for row in world.orders.values()
        if customer_id in (None, row.customer_id)
    ]


@router.get("/subscriptions")
async def get_subscriptions(request: Request, customer_id: str | None = None) -> list[Json]:
    """Every subscription as it stands now, oldest first."""
    world = _world(request)
    world.settle()
    return [
        row.model_dump(mode="json")
        for row in world.subscriptions.values()
        if customer_id in (None, row.customer_id)
    ]


@router.patch("/subscriptions/{subscription_id}")
async def patch_subscription(
    request: Request, subscription_id: str, change: SubscriptionChange
) -> Json:
    """Lets a subscription name another Microsoft tenant or none, or have been modified before."""
    world = _world(request)
    row = world.subscriptions.get(subscription_id)
    if row is None:
        raise HTTPException(404, "there is no such subscription")
    if "entra_tenant_id" in change.model_fields_set:
        row.tenant_id = change.entra_tenant_id
    row.modified_on = change.modified_on or row.modified_on
    world.save(row)
    return {"id": row.id, "entra_tenant_id": row.tenant_id, "modified_on": row.modified_on}


@router.get("/calls")
async def get_calls(
    request: Request,
    method: str | None = None,
    path: str | None = None,
    customer_id: str | None = None,
    login_id: str | None = None,
) -> list[Json]:
    calls: Calls = request.app.state.calls
    return calls.shown(method=method, path=path, customer_id=customer_id, login_id=login_id)


@router.get("/faults")
async def get_faults(request: Request) -> list[Json]:
    faults: Faults = request.app.state.faults
    return faults.shown()


@router.post("/faults", status_code=201)
async def post_fault(request: Request, fault: Fault) -> Json:
    faults: Faults = request.app.state.faults
    return faults.add(fault).shown()


@router.delete("/faults", status_code=204)
async def delete_faults(request: Request) -> None:
    faults: Faults = request.app.state.faults
    faults.remove(None)


@router.delete("/faults/{fault_id}", status_code=204)
async def delete_fault(request: Request, fault_id: str) -> None:
    faults: Faults = request.app.state.faults
    if not faults.remove(fault_id):
        raise HTTPException(404, "there is no such fault")


def _clock(world: World) -> Json:
    return {
        "offset_seconds": world.clock.offset_seconds,
        "now": world.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


@router.get("/clock")
async def get_clock(request: Request) -> Json:
    return _clock(_world(request))


@router.post("/clock")
async def post_clock(request: Request, step: Advance) -> Json:
    """Moves business time forward; it never goes back."""
    world = _world(request)
    world.advance(step.advance_seconds)
    return _clock(world)


@router.post("/reset")
async def post_reset(request: Request) -> Json:
    """Back to the seed: journal, accounts, faults and calls go; the clock keeps its offset and
    the issuer its keys."""
    world = _world(request)
    settings: Settings = world.settings
    world.start_over()
    seed(world)
    request.app.state.faults.remove(None)
    request.app.state.calls.clear()
    request.app.state.reads.clear()
    return {"reset": True, "data_dir": str(settings.data_dir)}
