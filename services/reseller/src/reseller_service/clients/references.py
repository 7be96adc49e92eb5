"""What still refers to a reseller, asked of the services that know."""

from collections.abc import Sequence
from typing import Any

from purser_common.identity import Caller
from purser_common.telemetry import Cause
from purser_common.web import Peer


class References:
    """Tenants that are connected to a reseller, and requests whose orders are not settled."""

    def __init__(self, tenant_connection: Peer, order: Peer) -> None:
        self._tenant_connection = tenant_connection
        self._order = order

    async def tenants(
        self, reseller_id: str, caller: Caller | None, cause: Cause
    ) -> Sequence[dict[str, Any]]:
        """The tenants that are connected, or about to be. Raises Unavailable."""
        return await self._asked(
            self._tenant_connection, "/internal/references", "tenants", reseller_id, caller, cause
        )

    async def open_requests(
        self, reseller_id: str, caller: Caller | None, cause: Cause
    ) -> Sequence[dict[str, Any]]:
        """The licence change requests that have not ended. Raises Unavailable."""
        return await self._asked(
            self._order, "/internal/open-requests", "requests", reseller_id, caller, cause
        )

    @staticmethod
    async def _asked(
        peer: Peer, path: str, found: str, reseller_id: str, caller: Caller | None, cause: Cause
    ) -> list[dict[str, Any]]:
        params: dict[str, Any] = {"reseller_id": reseller_id}
        answer = await peer.json("GET", path, caller=caller, cause=cause, params=params)
        return list(answer[found])
