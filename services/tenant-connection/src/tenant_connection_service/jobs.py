"""What time brings: what a crash left pending or closing."""

from purser_common.web import Process
from tenant_connection_service.commands.connection import settle_pending
from tenant_connection_service.commands.ports import Office


def declare(process: Process, office: Office) -> None:
    """Declare the service's jobs."""

    async def settle() -> bool:
        return await settle_pending(office)

    every = min(5.0, office.settle_after.total_seconds())
    process.job("connections.settle", settle, every=every)
