"""Registering a tenant, and adding it to a marketplace module."""

from dataclasses import dataclass

from purser_common.errors import Conflict, VersionConflict
from purser_common.identity import ROLES, Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from tenant_connection_service.commands.ports import STEWARDS, Office, change, manage
from tenant_connection_service.domain import consent, customers, removal
from tenant_connection_service.domain import tenants as rules
from tenant_connection_service.domain.tenants import Decision, ManagedTenant


@dataclass(frozen=True)
class Registration:
    """A Microsoft 365 tenant as somebody describes it."""

    entra_tenant_id: str
    name: str
    domain: str


async def register_tenant(
    office: Office,
    customer_id: str,
    wanted: Registration,
    caller: Caller,
    cause: Cause,
    request: Request,
) -> Loaded[ManagedTenant]:
    """Register a customer's Microsoft 365 tenant (R37).

    One that the customer had and that was removed goes on as the same tenant. Raises NotFound for a
    foreign customer, Forbidden, Invalid, Conflict when the Entra tenant is registered or the customer
    removed.
    """
    caller.require(*ROLES, customer=customer_id)
    customer = (await office.customers.load(customer_id)).state
    caller.require(*STEWARDS)
    customers.require_active(customer)
    managed, facts = rules.registered(
        request.id(),
        customer,
        wanted.entra_tenant_id,
        wanted.name,
        wanted.domain,
        office.now(),
    )
    left = await office.tenants.left(customer_id, managed.tenant.entra_tenant_id)
    if left is not None:
        kept = await _again(office, left, managed, cause, request)
    else:
        kept = await office.tenants.insert(managed, facts, cause, request)
    if await office.customers.relied_on(customer_id):
        return kept
    # the customer was removed while its tenant was registered: one of the two gives way
    await _take_back(office, kept, cause)
    raise Conflict("the customer was removed meanwhile; add it again", code="customer_removed")


async def _again(
    office: Office,
    left: Loaded[ManagedTenant],
    anew: ManagedTenant,
    cause: Cause,
    request: Request,
) -> Loaded[ManagedTenant]:
    again, facts = rules.registered_again(left.state, anew)
    try:
        return await office.tenants.save(left, again, facts, cause, request)
    except VersionConflict:
        # somebody else has brought it back: the one way in is the unique Entra id
        return await office.tenants.insert(anew, facts, cause, request)


async def _take_back(office: Office, kept: Loaded[ManagedTenant], cause: Cause) -> None:
    async def decide(managed: ManagedTenant) -> Decision:
        return removal.let_go(managed)

    await change(office, kept.state.tenant.id, cause, decide)


async def add_tenant(
    office: Office, marketplace: str, tenant_id: str, caller: Caller, cause: Cause
) -> Loaded[ManagedTenant]:
    """Add a tenant to a marketplace module; Microsoft is asked whether the consent stands (R34–R42).

    A consent that was taken back is kept and told before this is refused. Raises NotFound, Forbidden,
    Conflict without consent, Unavailable when Microsoft is away.
    """
    manage(caller, (await office.tenants.load(tenant_id)).state)
    consent.require_marketplace(marketplace)

    async def decide(managed: ManagedTenant) -> Decision:
        rules.require_open(managed, office.real_now())
        if marketplace in managed.tenant.marketplaces:
            return managed, ()
        if not await office.microsoft.consented(managed.tenant.entra_tenant_id):
            return consent.found_revoked(managed)
        return consent.added(managed, marketplace, office.now())

    loaded = await change(office, tenant_id, cause, decide)
    if marketplace not in loaded.state.tenant.marketplaces:
        raise consent.consent_required(tenant_id)
    return loaded
