"""The administrator's consent: asked for, answered, and gone on from."""

from dataclasses import dataclass

from purser_common.errors import Conflict
from purser_common.identity import ROLES, Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from tenant_connection_service.commands.connection import Target, connect_tenant
from tenant_connection_service.commands.ports import SERVICE, Office, change, manage
from tenant_connection_service.commands.tenants import add_tenant
from tenant_connection_service.domain import consent as rules
from tenant_connection_service.domain.tenants import (
    ConsentAsked,
    Decision,
    ManagedTenant,
    require_kept,
)


@dataclass(frozen=True)
class Choices:
    """What is to follow once the consent is there."""

    add_to: str | None = None
    connect: Target | None = None


@dataclass(frozen=True)
class ConsentFlow:
    """A consent request: where the administrator is sent while it waits, and how far it has come."""

    loaded: Loaded[ManagedTenant]
    asked: ConsentAsked
    status: str
    authorization_url: str | None


async def request_consent(
    office: Office,
    tenant_id: str,
    choices: Choices,
    caller: Caller,
    cause: Cause,
    request: Request,
) -> ConsentFlow:
    """Begin the consent (R39–R41): a signed, expiring, single-use state travels along.

    The choices stay here, under the request's id. Raises NotFound, Forbidden, Invalid for choices that
    cannot be done, Conflict when the same keyed call's request was answered or replaced.
    """
    nonce = request.id()
    manage(caller, (await office.tenants.load(tenant_id)).state)
    rules.require_choices(choices.add_to, choices.connect is not None)

    async def decide(managed: ManagedTenant) -> Decision:
        require_kept(managed)
        if managed.consent_asked is not None and managed.consent_asked.nonce == nonce:
            return managed, ()  # the same call has come twice at once
        expires_at = office.now() + rules.STATE_LIFE
        target = choices.connect.parts if choices.connect else (None, None)
        asked = ConsentAsked(nonce, expires_at, cause.correlation_id, None, choices.add_to, *target)
        return rules.consent_requested(managed, asked)

    loaded = await office.tenants.replayed(tenant_id, request)
    if loaded is None:
        loaded = await change(office, tenant_id, cause, decide, request)
    return _flow(office, loaded, rules.open_request(loaded.state, nonce))


async def view_consent_request(office: Office, id: str, caller: Caller) -> ConsentFlow:
    """A tenant's latest consent request, with what was chosen. Raises NotFound."""
    loaded, asked = await office.tenants.asked(id)
    tenant = loaded.state.tenant
    caller.require(*ROLES, customer=tenant.customer_id, tenant=tenant.id)
    return _flow(office, loaded, asked)


async def complete_consent(
    office: Office, id: str, caller: Caller, cause: Cause
) -> Loaded[ManagedTenant]:
    """Go on with what was chosen before the consent (R42): add the tenant and, if chosen, connect it.

    Each step that was done before is not done again. Raises NotFound, Forbidden, Conflict unless the
    consent was accepted, and whatever adding and connecting refuse.
    """
    loaded, asked = await office.tenants.asked(id)
    tenant_id = loaded.state.tenant.id
    manage(caller, loaded.state)
    add_to = rules.chosen(tenant_id, asked, office.now())
    added = await add_tenant(office, add_to, tenant_id, caller, cause)
    if asked.reseller_id is None or asked.marketplace_customer_id is None:
        return added
    target = Target(asked.reseller_id, asked.marketplace_customer_id)
    return await connect_tenant(office, tenant_id, target, None, caller, cause)


async def accept_consent(office: Office, state: str, entra_tenant_id: str) -> Loaded[ManagedTenant]:
    """Microsoft's answer that the administrator accepted: believed when the tenant can be read.

    The state stays usable until then. Raises Malformed for a forged or expired state and for another
    tenant's answer, Conflict for a used state and for what Microsoft does not confirm, Unavailable.
    """
    tenant_id, nonce, cause = await _answering(office, state)

    async def decide(managed: ManagedTenant) -> Decision:
        rules.open_request(managed, nonce)
        rules.require_own_answer(managed, entra_tenant_id)
        if not await office.microsoft.consented(managed.tenant.entra_tenant_id):
            raise Conflict(
                "Microsoft does not confirm the consent yet; reload this page in a minute",
                code="consent_not_confirmed",
            )
        return rules.consented(managed, office.now())

    return await change(office, tenant_id, cause, decide)


async def decline_consent(office: Office, state: str) -> Loaded[ManagedTenant]:
    """Microsoft's answer that nobody accepted; the state is used up.

    Raises Malformed for a forged or expired state, Conflict for a used one.
    """
    tenant_id, nonce, cause = await _answering(office, state)

    async def decide(managed: ManagedTenant) -> Decision:
        rules.open_request(managed, nonce)
        return rules.declined(managed)

    return await change(office, tenant_id, cause, decide)


async def _answering(office: Office, state: str) -> tuple[str, str, Cause]:
    tenant_id, nonce = office.states.read(state, office.now())
    managed = (await office.tenants.load(tenant_id)).state
    asked = rules.open_request(managed, nonce)
    return tenant_id, nonce, Cause(SERVICE, asked.correlation_id)


def _flow(office: Office, loaded: Loaded[ManagedTenant], asked: ConsentAsked) -> ConsentFlow:
    status, tenant = rules.status_of(asked, office.now()), loaded.state.tenant
    url = None
    if status == rules.WAITING:
        state = office.states.sign(tenant.id, asked.nonce, asked.expires_at)
        url = office.microsoft.consent_url(tenant.entra_tenant_id, state)
    return ConsentFlow(loaded, asked, status, url)
