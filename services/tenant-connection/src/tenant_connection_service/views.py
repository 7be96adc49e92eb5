"""What can be asked about customers and tenants, within the caller's scope."""

from typing import Any

from purser_common.mongo import Database, Document
from purser_common.web import newest
from tenant_connection_service.store import CUSTOMERS, TENANTS


class Views:
    """Read queries."""

    def __init__(self, database: Database) -> None:
        self._customers = database[CUSTOMERS]
        self._tenants = database[TENANTS]

    async def customer_tenants(
        self, customer_id: str, after: str | None, limit: int
    ) -> dict[str, Any]:
        """A customer's tenants, newest first."""
        own = {"customer_id": customer_id}
        return await newest(self._tenants, "registered_at", after, limit, own)

    async def customer(self, id: str) -> Document | None:
        """A customer's document."""
        return await self._customers.find_one({"_id": id})

    async def tenant(self, id: str) -> Document | None:
        """A tenant's document."""
        return await self._tenants.find_one({"_id": id})

    async def referencing(self, reseller_id: str) -> list[dict[str, str]]:
        """The tenants that are connected to a reseller, or about to be."""
        found = await self._tenants.find({"reseller_id": reseller_id}).to_list(None)
        return [{"id": d["_id"], "name": d["state"]["name"]} for d in found]
