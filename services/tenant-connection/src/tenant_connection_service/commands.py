"""One function per use case: customers, tenants, consent, connection."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from purser_common.errors import Conflict, FieldError, Invalid, NotFound, Stale, VersionConflict
from purser_common.identity import Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.tenant import Customer
from tenant_connection_service import domain
from tenant_connection_service.domain import Decision, ManagedTenant, PendingConnection

SERVICE = "service:tenant-connection"
STEWARDS = ("credential_admin",)
"""Who manages customers and tenants, beside platform admins."""


class Customers(Protocol):
    """Customers of the MSP."""

    async def load(self, id: str) -> Loaded[Customer]: ...
    async def insert(
        self, customer: Customer, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[Customer]: ...


class Tenants(Protocol):
    """Tenants."""

    async def load(self, id: str) -> Loaded[ManagedTenant]: ...
    async def insert(
        self, managed: ManagedTenant, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[ManagedTenant]: ...
    async def save(
        self,
        loaded: Loaded[ManagedTenant],
        managed: ManagedTenant,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[ManagedTenant]: ...
    async def replayed(self, id: str, request: Request) -> Loaded[ManagedTenant] | None: ...
    async def claim_pending(self, lease: timedelta) -> Loaded[ManagedTenant] | None: ...


class Resellers(Protocol):
    """The reseller service."""

    async def exists(self, reseller_id: str, cause: Cause) -> bool: ...
    async def customer_name(
        self, reseller_id: str, marketplace_customer_id: str, cause: Cause
    ) -> str | None: ...


class Microsoft(Protocol):
    """Microsoft's login and Graph."""

    def consent_url(self, entra_tenant_id: str, state: str) -> str: ...
    async def consented(self, entra_tenant_id: str) -> bool: ...


class States(Protocol):
    """Signs and reads what travels through the consent's redirect."""

    def sign(self, tenant_id: str, nonce: str, expires_at: datetime) -> str: ...
    def read(self, state: str, now: datetime) -> tuple[str, str]: ...


@dataclass(frozen=True)
class Office:
    """What the commands need."""

    customers: Customers
    tenants: Tenants
    resellers: Resellers
    microsoft: Microsoft
    states: States
    now: Callable[[], datetime]
    real_now: Callable[[], datetime]


async def add_customer(
    office: Office, name: str, caller: Caller, cause: Cause, request: Request
) -> Loaded[Customer]:
    """Add a customer. Raises Forbidden, Invalid."""
    caller.require(*STEWARDS)
    customer, facts = domain.added_customer(request.id(), name, office.now())
    return await office.customers.insert(customer, facts, cause, request)


async def register_tenant(
    office: Office,
    customer_id: str,
    entra_tenant_id: str,
    name: str,
    tenant_domain: str,
    caller: Caller,
    cause: Cause,
    request: Request,
) -> Loaded[ManagedTenant]:
    """Register a customer's Microsoft 365 tenant (R37).

    Raises NotFound for a foreign customer, Invalid, Conflict when the Entra tenant is registered.
    """
    customer = (await office.customers.load(customer_id)).state
    caller.require(*STEWARDS, customer=customer_id)
    managed, facts = domain.registered(
        request.id(), customer, entra_tenant_id, name, tenant_domain, office.now()
    )
    return await office.tenants.insert(managed, facts, cause, request)


@dataclass(frozen=True)
class ConsentRequest:
    """Where the administrator is sent, and until when the way back is open."""

    loaded: Loaded[ManagedTenant]
    authorization_url: str
    expires_at: datetime


async def request_consent(
    office: Office, tenant_id: str, caller: Caller, cause: Cause, request: Request
) -> ConsentRequest:
    """Begin the consent (R39–R41): a signed, expiring, single-use state travels along."""
    nonce = request.id()
    expires_at = office.now() + domain.STATE_LIFE

    async def decide(loaded: Loaded[ManagedTenant]) -> Decision:
        _manage(caller, loaded.state)
        return domain.consent_requested(loaded.state, nonce)

    loaded = await office.tenants.replayed(tenant_id, request)
    if loaded is None:
        loaded = await _change(office, tenant_id, cause, decide, request)
    else:
        _manage(caller, loaded.state)
    state = office.states.sign(tenant_id, nonce, expires_at)
    url = office.microsoft.consent_url(loaded.state.tenant.entra_tenant_id, state)
    return ConsentRequest(loaded, url, expires_at)


async def accept_consent(
    office: Office, state: str, entra_tenant_id: str, correlation_id: str
) -> Loaded[ManagedTenant]:
    """Microsoft's answer: believed only when the tenant can then be read.

    Raises Malformed for a forged or expired state, Conflict for a used one or when Microsoft does not
    confirm the consent, Unavailable when Microsoft is away.
    """
    tenant_id, nonce = office.states.read(state, office.now())

    async def decide(loaded: Loaded[ManagedTenant]) -> Decision:
        domain.check_answer(loaded.state, nonce, entra_tenant_id)
        if not await office.microsoft.consented(loaded.state.tenant.entra_tenant_id):
            raise Conflict("Microsoft does not confirm the consent", code="consent_not_confirmed")
        return domain.consented(loaded.state, office.now())

    return await _change(office, tenant_id, Cause(SERVICE, correlation_id), decide)


async def add_tenant(
    office: Office, marketplace: str, tenant_id: str, caller: Caller, cause: Cause
) -> Loaded[ManagedTenant]:
    """Add a tenant to a marketplace module; its consent is checked again before use (R34–R42)."""
    if marketplace not in domain.MARKETPLACES:
        raise NotFound(f"there is no marketplace {marketplace}")

    async def decide(loaded: Loaded[ManagedTenant]) -> Decision:
        _manage(caller, loaded.state)
        tenant = loaded.state.tenant
        if marketplace not in tenant.marketplaces and tenant.consent.status == "granted":
            if not await office.microsoft.consented(tenant.entra_tenant_id):
                raise domain.consent_required(tenant.id)
        return domain.added(loaded.state, marketplace)

    return await _change(office, tenant_id, cause, decide)


async def connect_tenant(
    office: Office,
    tenant_id: str,
    reseller_id: str,
    marketplace_customer_id: str,
    expected: int,
    caller: Caller,
    cause: Cause,
) -> Loaded[ManagedTenant]:
    """Connect a tenant to a customer of a reseller (R45–R47).

    The reference is saved as pending, the reseller is asked, and then it is confirmed or withdrawn: of
    a connection and a deletion that cross, at least one gives way (design §3). Raises NotFound, Stale,
    Conflict, Invalid for an unknown marketplace customer, Unavailable.
    """
    loaded = await office.tenants.load(tenant_id)
    _manage(caller, loaded.state)
    wanted = PendingConnection(reseller_id, marketplace_customer_id, office.real_now())
    pending = domain.connecting(loaded.state, wanted)
    if pending is None:
        return loaded
    if loaded.sequence != expected:
        raise Stale("this has changed since; read it again and decide again")
    try:
        loaded = await office.tenants.save(loaded, pending, (), cause)
    except VersionConflict as error:
        raise Stale("this has changed since; read it again and decide again") from error
    return await _settle(office, loaded, cause)


async def settle_pending(office: Office, lease: timedelta) -> bool:
    """Settle a connection that a crash left pending, by asking again."""
    loaded = await office.tenants.claim_pending(lease)
    if loaded is None:
        return False
    try:
        await _settle(office, loaded, Cause(SERVICE, f"pending-{loaded.state.tenant.id}"))
    except (Conflict, Invalid):
        return True  # withdrawn: that settles it as well
    return True


async def _settle(
    office: Office, loaded: Loaded[ManagedTenant], cause: Cause
) -> Loaded[ManagedTenant]:
    pending = loaded.state.pending
    if pending is None:
        return loaded
    if not await office.resellers.exists(pending.reseller_id, cause):
        await office.tenants.save(loaded, domain.withdrawn(loaded.state), (), cause)
        raise Conflict(
            "there is no such reseller", code="reseller_required", missing_step="POST /v1/resellers"
        )
    name = await office.resellers.customer_name(
        pending.reseller_id, pending.marketplace_customer_id, cause
    )
    if name is None:
        await office.tenants.save(loaded, domain.withdrawn(loaded.state), (), cause)
        remedy = f"one of /v1/resellers/{pending.reseller_id}/customers"
        raise Invalid(
            "the reseller has no such customer",
            code="unknown_marketplace_customer",
            errors=(FieldError("/marketplace_customer_id", remedy),),
        )
    managed, facts = domain.connected(loaded.state, name, office.now())
    return await office.tenants.save(loaded, managed, facts, cause)


def _manage(caller: Caller, managed: ManagedTenant) -> None:
    tenant = managed.tenant
    caller.require(*STEWARDS, customer=tenant.customer_id, tenant=tenant.id)


async def _change(
    office: Office,
    tenant_id: str,
    cause: Cause,
    decide: Callable[[Loaded[ManagedTenant]], Awaitable[Decision]],
    request: Request | None = None,
) -> Loaded[ManagedTenant]:
    """Load, decide, save; decide again when somebody wrote meanwhile."""
    for _ in range(3):
        loaded = await office.tenants.load(tenant_id)
        managed, facts = await decide(loaded)
        if not facts:
            return loaded
        try:
            return await office.tenants.save(loaded, managed, facts, cause, request)
        except VersionConflict:
            continue
    raise VersionConflict(tenant_id)
