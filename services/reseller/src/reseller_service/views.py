"""What is read from the service's own database."""

from typing import Any

from purser_common.mongo import Database, Document
from purser_common.web import cursor as cursor_of
from purser_common.web import position
from purser_events.reseller import ResellerAccount
from reseller_service.domain.resellers import MODULE, MODULE_NAME

RESELLERS, MAPPINGS, STOPS = "resellers", "license_mappings", "buying_stops"
HEALTH = "account_health"


class Views:
    """Lists and counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def marketplace(self) -> dict[str, Any]:
        """The module, with how much is in it."""
        named = {"display_name_key": {"$gt": ""}}
        resellers = await self._database[RESELLERS].find(named, {"_id": 1}).to_list(None)
        mapped = {"mapped_for": {"$in": [reseller["_id"] for reseller in resellers]}}
        return {
            "id": MODULE,
            "name": MODULE_NAME,
            "resellers": len(resellers),
            "license_mappings": await self._database[MAPPINGS].count_documents(mapped),
        }

    async def account(self, reseller_id: str) -> ResellerAccount | None:
        """What the use of a reseller's credentials has shown; None: nothing yet."""
        found = await self._database[HEALTH].find_one({"_id": reseller_id}, {"state": 1})
        return ResellerAccount.model_validate(found["state"]) if found else None

    async def mappings(self, reseller_id: str, cursor: str | None, limit: int) -> dict[str, Any]:
        """A page of a reseller's licence mappings."""
        after = position(cursor, str)
        return await self._by_id(MAPPINGS, {"mapped_for": reseller_id}, after, limit)

    async def stops(self, cursor: str | None, limit: int) -> dict[str, Any]:
        """A page of the stops of buying that hold."""
        return await self._by_id(STOPS, {"holds": True}, position(cursor, str), limit)

    async def _by_id(
        self, collection: str, query: Document, after: tuple[Any, ...] | None, limit: int
    ) -> dict[str, Any]:
        if after:
            query = {**query, "_id": {"$gt": after[0]}}
        found = self._database[collection].find(query, {"state": 1})
        documents = await found.sort([("_id", 1)]).limit(limit + 1).to_list(limit + 1)
        return _page(documents, limit, "_id")


def _page(documents: list[Document], limit: int, key: str) -> dict[str, Any]:
    shown = documents[:limit]
    more = len(documents) > limit
    return {
        "items": [document["state"] for document in shown],
        "next": cursor_of(shown[-1][key]) if more else None,
    }
