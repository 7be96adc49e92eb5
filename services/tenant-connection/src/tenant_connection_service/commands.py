"""One function per use case: customers, tenants, consent, connection."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from purser_common import crash
from purser_common.errors import (
    Conflict,
    FieldError,
    Invalid,
    NotFound,
    Problem,
    Stale,
    VersionConflict,
)
from purser_common.identity import ROLES, Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.tenant import Customer
from tenant_connection_service import domain
from tenant_connection_service.domain import (
    ConsentAsked,
    Decision,
    ManagedTenant,
    PendingConnection,
)

ATTEMPTS = 3
SERVICE = "service:tenant-connection"
STEWARDS = ("credential_admin",)
"""Who manages customers and tenants, beside platform admins; for all customers or not at all."""


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
    """The reseller service, called for a caller or, by a job, for this service itself."""

    async def exists(self, reseller_id: str, caller: Caller | None, cause: Cause) -> bool: ...
    async def customer_name(
        self, reseller_id: str, customer_id: str, caller: Caller | None, cause: Cause
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
    settle_after: timedelta


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

    Raises NotFound for a foreign customer, Forbidden, Invalid, Conflict when the Entra tenant is
    registered.
    """
    caller.require(*ROLES, customer=customer_id)
    customer = (await office.customers.load(customer_id)).state
    caller.require(*STEWARDS)
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
    """Begin the consent (R39–R41): a signed, expiring, single-use state travels along.

    Raises NotFound, Forbidden, Conflict when the same keyed call's request was answered or replaced.
    """
    nonce = request.id()
    _manage(caller, (await office.tenants.load(tenant_id)).state)

    async def decide(managed: ManagedTenant) -> Decision:
        if managed.consent_asked is not None and managed.consent_asked.nonce == nonce:
            return managed, ()  # the same call has come twice at once
        expires_at = office.now() + domain.STATE_LIFE
        asked = ConsentAsked(nonce, expires_at, cause.correlation_id)
        return domain.consent_requested(managed, asked)

    loaded = await office.tenants.replayed(tenant_id, request)
    if loaded is None:
        loaded = await _change(office, tenant_id, cause, decide, request)
    expires_at = domain.open_request(loaded.state, nonce).expires_at
    state = office.states.sign(tenant_id, nonce, expires_at)
    url = office.microsoft.consent_url(loaded.state.tenant.entra_tenant_id, state)
    return ConsentRequest(loaded, url, expires_at)


async def accept_consent(office: Office, state: str, entra_tenant_id: str) -> Loaded[ManagedTenant]:
    """Microsoft's answer that the administrator accepted: believed when the tenant can be read.

    The state stays usable until then. Raises Malformed for a forged or expired state and for another
    tenant's answer, Conflict for a used state and for what Microsoft does not confirm, Unavailable.
    """
    tenant_id, nonce, cause = await _answering(office, state)

    async def decide(managed: ManagedTenant) -> Decision:
        domain.open_request(managed, nonce)
        domain.require_own_answer(managed, entra_tenant_id)
        if not await office.microsoft.consented(managed.tenant.entra_tenant_id):
            raise Conflict(
                "Microsoft does not confirm the consent yet; reload this page in a minute",
                code="consent_not_confirmed",
            )
        return domain.consented(managed, office.now())

    return await _change(office, tenant_id, cause, decide)


async def decline_consent(office: Office, state: str) -> Loaded[ManagedTenant]:
    """Microsoft's answer that nobody accepted; the state is used up.

    Raises Malformed for a forged or expired state, Conflict for a used one.
    """
    tenant_id, nonce, cause = await _answering(office, state)

    async def decide(managed: ManagedTenant) -> Decision:
        domain.open_request(managed, nonce)
        return domain.declined(managed)

    return await _change(office, tenant_id, cause, decide)


async def _answering(office: Office, state: str) -> tuple[str, str, Cause]:
    tenant_id, nonce = office.states.read(state, office.now())
    managed = (await office.tenants.load(tenant_id)).state
    asked = domain.open_request(managed, nonce)
    return tenant_id, nonce, Cause(SERVICE, asked.correlation_id)


async def add_tenant(
    office: Office, marketplace: str, tenant_id: str, caller: Caller, cause: Cause
) -> Loaded[ManagedTenant]:
    """Add a tenant to a marketplace module; Microsoft is asked whether the consent stands (R34–R42).

    A consent that was taken back is kept and told before this is refused. Raises NotFound, Forbidden, Conflict without consent, Unavailable when Microsoft is away.
    """
    _manage(caller, (await office.tenants.load(tenant_id)).state)
    if marketplace not in domain.MARKETPLACES:
        raise NotFound(f"there is no such marketplace; one of: {', '.join(domain.MARKETPLACES)}")

    async def decide(managed: ManagedTenant) -> Decision:
        tenant = managed.tenant
        if marketplace in tenant.marketplaces:
            return managed, ()
        if not await office.microsoft.consented(tenant.entra_tenant_id):
            return domain.found_revoked(managed)
        return domain.added(managed, marketplace, office.now())

    loaded = await _change(office, tenant_id, cause, decide)
    if marketplace not in loaded.state.tenant.marketplaces:
        raise domain.consent_required(tenant_id)
    return loaded


async def connect_tenant(
    office: Office,
    tenant_id: str,
    reseller_id: str,
    marketplace_customer_id: str,
    expected: int,
    caller: Caller,
    cause: Cause,
) -> Loaded[ManagedTenant]:
    """Connect a tenant to a customer of a reseller (R45–R47); the same again changes nothing.

    The reference is saved as pending, the reseller is asked, and then it is confirmed or withdrawn: of
    a connection and a deletion that cross, at least one gives way (design §3). Raises NotFound,
    Forbidden, Stale, Conflict (also for an unknown reseller), Invalid for an unknown marketplace
    customer, Unavailable.
    """
    now = office.real_now()
    wanted = PendingConnection(
        reseller_id,
        marketplace_customer_id,
        now + office.settle_after,
        cause.actor,
        cause.correlation_id,
    )
    _manage(caller, (await office.tenants.load(tenant_id)).state)

    async def refer(loaded: Loaded[ManagedTenant]) -> Decision:
        decision = domain.connecting(loaded.state, wanted, now)
        if decision is not None and loaded.sequence != expected:
            raise Stale("the tenant has changed since; read it again and decide again")
        return decision or (loaded.state, ())

    loaded = await _write(office, tenant_id, cause, refer)
    if loaded.state.pending is None:
        return loaded
    crash.point("connection.pending_written")
    try:
        name = await _ask(office, wanted, caller, cause)
    except Problem:
        # Also when nobody answers: a reference that stays would come true behind the caller's back.
        await _withdraw(office, tenant_id, wanted, cause)
        raise
    return await _confirm(office, tenant_id, wanted, name, cause)


async def settle_pending(office: Office) -> bool:
    """Settle one connection that a crash left pending, by asking again; False when there is none.

    Raises Unavailable when the reseller service cannot tell: it is asked again later.
    """
    loaded = await office.tenants.claim_pending(office.settle_after)
    pending = loaded.state.pending if loaded else None
    if loaded is None or pending is None:
        return False
    tenant_id, cause = loaded.state.tenant.id, Cause(pending.actor, pending.correlation_id)
    try:
        name = await _ask(office, pending, None, cause)
        await _confirm(office, tenant_id, pending, name, cause)
    except (Conflict, Invalid):
        await _withdraw(office, tenant_id, pending, cause)
    return True


async def _ask(
    office: Office, pending: PendingConnection, caller: Caller | None, cause: Cause
) -> str:
    """The marketplace customer's name. Raises Conflict, Invalid, Unavailable."""
    reseller, customer = pending.reseller_id, pending.marketplace_customer_id
    if not await office.resellers.exists(reseller, caller, cause):
        raise Conflict(
            "there is no such reseller; add it first, or name another",
            code="reseller_required",
            missing_step="POST /v1/resellers",
            errors=(FieldError("/reseller_id", "one of GET /v1/resellers"),),
        )
    name = await office.resellers.customer_name(reseller, customer, caller, cause)
    if name is None:
        remedy = f"one of GET /v1/resellers/{reseller}/customers"
        raise Invalid(
            "the reseller has no such customer at the marketplace",
            code="unknown_marketplace_customer",
            errors=(FieldError("/marketplace_customer_id", remedy),),
        )
    crash.point("connection.reseller_asked")
    return name


async def _confirm(
    office: Office, tenant_id: str, pending: PendingConnection, name: str, cause: Cause
) -> Loaded[ManagedTenant]:
    async def decide(managed: ManagedTenant) -> Decision:
        return domain.connected(managed, pending, name, office.now())

    connected = await _change(office, tenant_id, cause, decide)
    crash.point("connection.confirmed")
    return connected


async def _withdraw(
    office: Office, tenant_id: str, pending: PendingConnection, cause: Cause
) -> None:
    async def decide(managed: ManagedTenant) -> Decision:
        return domain.withdrawn(managed, pending)

    await _change(office, tenant_id, cause, decide)
    crash.point("connection.withdrawn")


def _manage(caller: Caller, managed: ManagedTenant) -> None:
    """Raises NotFound for a tenant that the caller may not even see, Forbidden for one it may not manage."""
    caller.require(*ROLES, customer=managed.tenant.customer_id, tenant=managed.tenant.id)
    caller.require(*STEWARDS)


async def _change(
    office: Office,
    tenant_id: str,
    cause: Cause,
    decide: Callable[[ManagedTenant], Awaitable[Decision]],
    request: Request | None = None,
) -> Loaded[ManagedTenant]:
    async def of(loaded: Loaded[ManagedTenant]) -> Decision:
        return await decide(loaded.state)

    return await _write(office, tenant_id, cause, of, request)


async def _write(
    office: Office,
    tenant_id: str,
    cause: Cause,
    decide: Callable[[Loaded[ManagedTenant]], Awaitable[Decision]],
    request: Request | None = None,
) -> Loaded[ManagedTenant]:
    """Load, decide, save; decide again when somebody wrote meanwhile."""
    for _ in range(ATTEMPTS):
        loaded = await office.tenants.load(tenant_id)
        managed, facts = await decide(loaded)
        if managed == loaded.state and not facts:
            return loaded
        try:
            return await office.tenants.save(loaded, managed, facts, cause, request)
        except VersionConflict:
            continue
    raise VersionConflict(tenant_id)
