"""Connecting a tenant, moving it, disconnecting it, and settling what a crash left half done."""

from collections.abc import Callable
from dataclasses import dataclass

from purser_common import crash
from purser_common.errors import Conflict, FieldError, Invalid, Problem
from purser_common.identity import Caller
from purser_common.outbox import Loaded
from purser_common.telemetry import Cause
from tenant_connection_service.commands.closing import finish, not_in_use, reopen
from tenant_connection_service.commands.ports import Office, change, manage, write
from tenant_connection_service.domain import connection as rules
from tenant_connection_service.domain import consent, tenants
from tenant_connection_service.domain.tenants import Decision, ManagedTenant, PendingConnection

Decide = Callable[[ManagedTenant], Decision | None]


@dataclass(frozen=True)
class Target:
    """A marketplace customer behind a reseller."""

    reseller_id: str
    marketplace_customer_id: str

    @property
    def parts(self) -> tuple[str, str]:
        """Reseller and marketplace customer."""
        return self.reseller_id, self.marketplace_customer_id


@dataclass(frozen=True)
class NewTarget:
    """What a connection is to be changed to; None keeps what there is."""

    reseller_id: str | None
    marketplace_customer_id: str | None


async def connect_tenant(
    office: Office,
    tenant_id: str,
    target: Target,
    expected: int | None,
    caller: Caller,
    cause: Cause,
) -> Loaded[ManagedTenant]:
    """Connect a tenant to a customer of a reseller (R45–R47); the same again changes nothing.

    The consent is asked for again. Then the reference is saved as pending, the reseller is asked, and
    it is confirmed or withdrawn: of a connection and a deletion that cross, at least one gives way
    (design §3). Raises NotFound, Forbidden, Stale, Conflict (also for an unknown reseller and without
    consent), Invalid for an unknown marketplace customer, Unavailable.
    """
    now = office.real_now()
    wanted = PendingConnection(
        *target.parts, now + office.settle_after, cause.actor, cause.correlation_id
    )

    def decide(managed: ManagedTenant) -> Decision | None:
        return rules.connecting(managed, wanted, now)

    loaded = await _refer(office, tenant_id, decide, expected, caller, cause)
    if loaded.state.pending is None:
        return loaded
    crash.point("connection.pending_written")
    return await _agreed(office, loaded.state, wanted, caller, cause)


async def change_connection(
    office: Office,
    tenant_id: str,
    target: NewTarget,
    expected: int,
    caller: Caller,
    cause: Cause,
) -> Loaded[ManagedTenant]:
    """Connect a tenant to another reseller or marketplace customer (R48).

    Refused while licence change requests are open: nothing may be bought meanwhile, so the change is
    saved as closing before the order service is asked. Raises what connecting raises, Conflict for a
    tenant that is not connected.
    """
    closing = office.closing(tenants.CHANGE, cause)

    def decide(managed: ManagedTenant) -> Decision | None:
        return rules.changing(
            managed,
            target.reseller_id,
            target.marketplace_customer_id,
            closing,
            office.real_now(),
        )

    loaded = await _refer(office, tenant_id, decide, expected, caller, cause)
    wanted = loaded.state.pending
    if wanted is None:
        return loaded
    crash.point("connection.change_written")
    try:
        rules.require_unused(await not_in_use(office, tenant_id, caller, cause))
    except Problem:
        await reopen(office, tenant_id, closing, cause)
        raise
    return await _agreed(office, loaded.state, wanted, caller, cause)


async def disconnect_tenant(
    office: Office, tenant_id: str, expected: int, caller: Caller, cause: Cause
) -> Loaded[ManagedTenant]:
    """Take a tenant's connection back (R49); without one nothing changes.

    Raises NotFound, Forbidden, Stale, Conflict naming the open requests, Unavailable.
    """
    closing = office.closing(tenants.DISCONNECT, cause)
    manage(caller, (await office.tenants.load(tenant_id)).state)

    async def close(loaded: Loaded[ManagedTenant]) -> Decision:
        decision = rules.disconnecting(loaded.state, closing, office.real_now())
        if decision is None:
            return loaded.state, ()
        _require_seen(loaded, expected)
        return decision

    loaded = await write(office, tenant_id, cause, close)
    if loaded.state.closing is None:
        return loaded
    return await finish(office, tenant_id, closing, caller, cause)


async def settle_pending(office: Office) -> bool:
    """Settle one tenant that a crash left pending or closing, by asking again; False without one.

    Raises Unavailable when who is asked cannot tell: it is asked again later.
    """
    loaded = await office.tenants.claim_pending(office.settle_after)
    if loaded is None:
        return False
    managed = loaded.state
    tenant_id, pending, closing = managed.tenant.id, managed.pending, managed.closing
    try:
        if closing is not None:
            cause = Cause(closing.actor, closing.correlation_id)
            if closing.of != tenants.CHANGE:
                await finish(office, tenant_id, closing, None, cause, settling=True)
                return True
            rules.require_unused(await not_in_use(office, tenant_id, None, cause))
        if pending is not None:
            cause = Cause(pending.actor, pending.correlation_id)
            name = await _ask(office, managed, pending, None, cause)
            await _confirm(office, tenant_id, pending, name, cause)
    except (Conflict, Invalid):
        if pending is not None:
            cause = Cause(pending.actor, pending.correlation_id)
            await _withdraw(office, tenant_id, pending, cause)
    return True


async def _refer(
    office: Office,
    tenant_id: str,
    decide: Decide,
    expected: int | None,
    caller: Caller,
    cause: Cause,
) -> Loaded[ManagedTenant]:
    """Save a reference to be confirmed, the consent proven at Microsoft just before.

    A consent that was taken back is kept and told before this is refused.
    """
    loaded = await office.tenants.load(tenant_id)
    manage(caller, loaded.state)
    if decide(loaded.state) is None:
        return loaded
    _require_seen(loaded, expected)
    stands = await office.microsoft.consented(loaded.state.tenant.entra_tenant_id)

    async def refer(loaded: Loaded[ManagedTenant]) -> Decision:
        decision = decide(loaded.state)
        if decision is None:
            return loaded.state, ()
        _require_seen(loaded, expected)
        if not stands:
            return consent.found_revoked(loaded.state)
        managed, facts = consent.found_consented(decision[0], office.now())
        return managed, (*facts, *decision[1])

    loaded = await write(office, tenant_id, cause, refer)
    if not stands and decide(loaded.state) is not None:
        raise consent.consent_required(tenant_id)
    return loaded


def _require_seen(loaded: Loaded[ManagedTenant], expected: int | None) -> None:
    if expected is not None:
        loaded.must_be_at(expected, "the tenant")


async def _agreed(
    office: Office,
    managed: ManagedTenant,
    wanted: PendingConnection,
    caller: Caller,
    cause: Cause,
) -> Loaded[ManagedTenant]:
    try:
        name = await _ask(office, managed, wanted, caller, cause)
    except Problem:
        # Also when nobody answers: a reference that stays would come true behind the caller's back.
        await _withdraw(office, managed.tenant.id, wanted, cause)
        raise
    return await _confirm(office, managed.tenant.id, wanted, name, cause)


async def _ask(
    office: Office,
    managed: ManagedTenant,
    pending: PendingConnection,
    caller: Caller | None,
    cause: Cause,
) -> str:
    """The marketplace customer's name. Raises Conflict, Invalid, Unavailable."""
    reseller, customer = pending.target
    await require_reseller(office, reseller, caller, cause)
    name = await name_at_marketplace(office, reseller, customer, caller, cause)
    # after the own reference is saved: of two that cross, at least one finds the other's
    rules.require_own_customer(managed, await office.tenants.at(reseller, customer))
    crash.point("connection.reseller_asked")
    return name


async def require_reseller(
    office: Office, reseller_id: str, caller: Caller | None, cause: Cause
) -> None:
    """Raises Conflict for a reseller that there is not, Unavailable."""
    if not await office.resellers.exists(reseller_id, caller, cause):
        raise Conflict(
            "there is no such reseller; add it first, or name another",
            code="reseller_required",
            missing_step="POST /v1/resellers",
            errors=(FieldError("/reseller_id", "one of GET /v1/resellers"),),
        )


async def name_at_marketplace(
    office: Office, reseller_id: str, customer_id: str, caller: Caller | None, cause: Cause
) -> str:
    """What the marketplace calls a reseller's customer. Raises Invalid without one, Unavailable."""
    name = await office.resellers.customer_name(reseller_id, customer_id, caller, cause)
    if name is None:
        remedy = f"one of GET /v1/resellers/{reseller_id}/customers"
        raise Invalid(
            "the reseller has no such customer at the marketplace",
            code="unknown_marketplace_customer",
            errors=(FieldError("/marketplace_customer_id", remedy),),
        )
    return name


async def _confirm(
    office: Office, tenant_id: str, pending: PendingConnection, name: str, cause: Cause
) -> Loaded[ManagedTenant]:
    async def decide(managed: ManagedTenant) -> Decision:
        return rules.confirmed(managed, pending, name, office.now())

    connected = await change(office, tenant_id, cause, decide)
    crash.point("connection.confirmed")
    return connected


async def _withdraw(
    office: Office, tenant_id: str, pending: PendingConnection, cause: Cause
) -> None:
    async def decide(managed: ManagedTenant) -> Decision:
        return rules.withdrawn(managed, pending)

    await change(office, tenant_id, cause, decide)
    crash.point("connection.withdrawn")
