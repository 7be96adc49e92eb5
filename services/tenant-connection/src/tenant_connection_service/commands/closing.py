"""Letting go in three steps: saved as closing, the order service asked, finished or reopened (design §3)."""

from collections.abc import Callable, Mapping

from purser_common import crash
from purser_common.errors import Problem
from purser_common.identity import Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from tenant_connection_service.commands.ports import Office, change
from tenant_connection_service.domain import connection, removal, tenants
from tenant_connection_service.domain.connection import OpenRequest
from tenant_connection_service.domain.tenants import Closing, Decision, ManagedTenant

REQUIRE: Mapping[str, Callable[[list[OpenRequest]], None]] = {
    tenants.DISCONNECT: connection.require_unused,
    tenants.REMOVE: removal.require_nothing_sent,
}
CLOSE: Mapping[str, Callable[[ManagedTenant, Closing], Decision]] = {
    tenants.DISCONNECT: connection.disconnected,
    tenants.REMOVE: removal.removed,
}


async def not_in_use(
    office: Office, tenant_id: str, caller: Caller | None, cause: Cause
) -> list[OpenRequest]:
    """The licence change requests of a tenant that have not ended. Raises Unavailable."""
    found = await office.orders.open_requests(tenant_id, caller, cause)
    crash.point("closing.order_asked")
    return found


async def finish(
    office: Office,
    tenant_id: str,
    closing: Closing,
    caller: Caller | None,
    cause: Cause,
    request: Request | None = None,
    settling: bool = False,
) -> Loaded[ManagedTenant]:
    """Go through with a disconnection or a removal that is saved as closing, or reopen.

    `settling` is a job's: when the order service is away it asks again later instead of reopening.
    Raises Conflict naming the open requests, Unavailable.
    """
    crash.point("closing.written")
    try:
        REQUIRE[closing.of](await not_in_use(office, tenant_id, caller, cause))
    except Problem as problem:
        if not settling or problem.status == 409:
            await reopen(office, tenant_id, closing, cause)
        raise

    async def decide(managed: ManagedTenant) -> Decision:
        return CLOSE[closing.of](managed, closing)

    closed = await change(office, tenant_id, cause, decide, request)
    crash.point("closing.finished")
    return closed


async def reopen(office: Office, tenant_id: str, closing: Closing, cause: Cause) -> None:
    """What was about to be let go of stays."""

    async def decide(managed: ManagedTenant) -> Decision:
        return connection.reopened(managed, closing)

    await change(office, tenant_id, cause, decide)
    crash.point("closing.reopened")
