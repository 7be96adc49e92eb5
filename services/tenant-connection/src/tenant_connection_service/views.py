"""What can be asked about customers and tenants."""

from typing import Any

from purser_common.mongo import Database, Document
from purser_common.web import newest
from tenant_connection_service.store import CUSTOMERS, TENANTS

STILL_HERE = {"removed": None}


class Views:
    """Read queries."""

    def __init__(self, database: Database) -> None:
        self._customers = database[CUSTOMERS]
        self._tenants = database[TENANTS]

    async def customer_tenants(
        self, customer_id: str, addable_to: str | None, after: str | None, limit: int
    ) -> dict[str, Any]:
        """A customer's tenants, newest first; of those, the ones that are not in a module yet."""
        own: dict[str, Any] = {"customer_id": customer_id, **STILL_HERE}
        if addable_to is not None:
            own["marketplaces"] = {"$ne": addable_to}
        return await newest(self._tenants, "registered_at", after, limit, own)

    async def customer(self, id: str) -> Document | None:
        """A customer's document."""
        return await self._customers.find_one({"_id": id})

    async def tenant(self, id: str) -> Document | None:
        """A tenant's document."""
        return await self._tenants.find_one({"_id": id})

    async def referencing(self, reseller_id: str) -> list[dict[str, str]]:
        """The tenants that are connected to a reseller, or about to be."""
        found = await self._tenants.find({"reseller_ids": reseller_id}).to_list(None)
        return [{"id": d["_id"], "name": d["state"]["name"]} for d in found]
