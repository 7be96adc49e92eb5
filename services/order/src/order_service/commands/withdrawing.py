"""A tenant is gone: what waited to be sent for it is withdrawn."""

from datetime import datetime

from order_service.commands.ports import Requests
from order_service.domain import purchase as rules
from purser_common import crash
from purser_common.errors import VersionConflict
from purser_common.telemetry import Cause

ATTEMPTS = 5


async def withdraw_waiting(
    requests: Requests, tenant_id: str, removed_at: datetime, cause: Cause
) -> None:
    """Withdraw the requests of a removed tenant that nothing has left for.

    One that was made after the removal is of the tenant that came back, and one that is being sent gives
    way by itself or goes on. Raises VersionConflict when somebody writes again and again.
    """
    for _ in range(ATTEMPTS):
        waiting = [
            one
            for one in await requests.waiting(tenant_id)
            if one.state.request.requested_at <= removed_at and not one.state.evidence
        ]
        if not waiting:
            return
        for loaded in waiting:
            purchase, facts = rules.withdrawn(loaded.state, cause.actor, "the tenant was removed")
            try:
                await requests.save(loaded, purchase, facts, cause)
            except VersionConflict:
                continue  # the sender was faster, or something was seen: look again
            crash.point("order.withdrawn")
    raise VersionConflict(tenant_id)
