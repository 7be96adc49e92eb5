"""A tenant leaves Purser altogether."""

from purser_common.identity import Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from tenant_connection_service.commands.closing import finish
from tenant_connection_service.commands.ports import Office, change, manage
from tenant_connection_service.domain import removal as rules
from tenant_connection_service.domain import tenants
from tenant_connection_service.domain.tenants import Decision, ManagedTenant


async def remove_tenant(
    office: Office,
    tenant_id: str,
    confirmation: str,
    caller: Caller,
    cause: Cause,
    request: Request,
) -> Loaded[ManagedTenant]:
    """Remove a tenant (R43, R44): disconnected, out of the modules, its unsent requests withdrawn.

    Orders and records stay; registering it again brings it back. A tenant that is gone stays so.
    Raises NotFound, Forbidden, Invalid without the word, Conflict naming the requests that were sent,
    Unavailable.
    """
    manage(caller, (await office.tenants.load(tenant_id)).state)
    rules.require_confirmation(confirmation)
    earlier = await office.tenants.replayed(tenant_id, request)
    if earlier is not None:
        return earlier
    closing = office.closing(tenants.REMOVE, cause)

    async def close(managed: ManagedTenant) -> Decision:
        return rules.removing(managed, closing, office.real_now()) or (managed, ())

    loaded = await change(office, tenant_id, cause, close)
    if loaded.state.closing is None:
        return loaded
    return await finish(office, tenant_id, closing, caller, cause, request)
