"""What is read from the service's own database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from purser_common.mongo import Database, Document
from purser_common.outbox import Loaded
from purser_common.web import cursor as cursor_of
from purser_common.web import position
from purser_events.reseller import ResellerAccount
from reseller_service.domain.catalogue import Kept, names_of
from reseller_service.domain.mapping import MAPPED
from reseller_service.domain.prices import ACTIVE, Plan
from reseller_service.domain.resellers import MODULE, MODULE_NAME
from reseller_service.store.catalogue import PRODUCTS, kept_of
from reseller_service.store.prices import PLANS, plan_of

RESELLERS, MAPPINGS, STOPS = "resellers", "license_mappings", "buying_stops"
HEALTH = "account_health"
MOST_LINKED = 1_000
"""So many rows that a page's products need, and that need them, are looked at."""


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


@dataclass(frozen=True)
class ProductFilter:
    """What to list of a catalogue; None and no words: everything."""

    words: tuple[str, ...] = ()
    vendor: str | None = None
    mpn: str | None = None
    subscription_period: str | None = None
    billing_period: str | None = None
    mapped: bool | None = None
    ids: tuple[str, ...] | None = None


class ProductViews:
    """The kept catalogue with what belongs to its products."""

    def __init__(self, database: Database) -> None:
        self._products = database[PRODUCTS]
        self._mappings = database[MAPPINGS]
        self._plans = database[PLANS]

    async def page(
        self, reseller_id: str, wanted: ProductFilter, cursor: str | None, limit: int
    ) -> tuple[list[Kept], str | None]:
        """A page of the listed products, by name, and the next cursor."""
        parts: list[Document] = [{"shelf": reseller_id}, *_equal(wanted)]
        if wanted.ids is not None:
            parts[0] = {"reseller_id": reseller_id}
            parts.append({"_id": {"$in": list(wanted.ids)}})
        if wanted.mapped is not None:
            among = "$in" if wanted.mapped else "$nin"
            parts.append({"_id": {among: await self._mapped(reseller_id)}})
        place = position(cursor, str, str)
        if place is not None:
            name, id = place
            parts.append(
                {"$or": [{"name_key": {"$gt": name}}, {"name_key": name, "_id": {"$gt": id}}]}
            )
        order = [("name_key", 1), ("_id", 1)]
        found = self._products.find({"$and": parts}).sort(order).limit(limit + 1)
        documents = await found.to_list(limit + 1)
        shown = documents[:limit]
        more = len(documents) > limit
        following = cursor_of(shown[-1]["name_key"], shown[-1]["_id"]) if more else None
        return [kept_of(document) for document in shown], following

    async def linked(self, reseller_id: str, products: Sequence[Kept]) -> "Links":
        """The rows that these products need, and those that need them."""
        needs = [need for kept in products for need in kept.listing.needs]
        ids = sorted({need.marketplace_id for need in needs if need.marketplace_id})
        mpns = sorted({need.mpn.casefold() for need in needs if need.mpn})
        names = sorted({name for kept in products for name in names_of(kept.listing)})
        either = [{"marketplace_id": {"$in": ids}}, {"mpn_key": {"$in": mpns}}]
        needed = {"reseller_id": reseller_id, "$or": either}
        needing = {"shelf": reseller_id, "needed": {"$in": names}}
        return Links(
            await self._kept(needed) if needs else [], await self._kept(needing) if names else []
        )

    async def mappings(self, ids: Sequence[str]) -> dict[str, Any]:
        """The mappings of these products that hold, by id."""
        query = {"_id": {"$in": list(ids)}}
        found = self._mappings.find(query, {"state": 1})
        states = [document["state"] async for document in found]
        return {state["id"]: state for state in states if state["status"] == MAPPED}

    async def plans(self, ids: Sequence[str]) -> dict[str, Plan]:
        """The active price plans of these products, by id, without their histories."""
        found = self._plans.find({"_id": {"$in": list(ids)}}, {"history": 0})
        plans = [plan_of(document).state async for document in found]
        return {plan.state.id: plan for plan in plans if plan.state.status == ACTIVE}

    async def price_plans(
        self, reseller_id: str, mark: str | None, cursor: str | None, limit: int
    ) -> tuple[list[Loaded[Plan]], str | None]:
        """A page of a reseller's plans, by product name, and the next cursor."""
        query: Document = {"priced_for": reseller_id} | ({"mark": mark} if mark else {})
        place = position(cursor, str, str)
        if place is not None:
            name, id = place
            query["$or"] = [{"name_key": {"$gt": name}}, {"name_key": name, "_id": {"$gt": id}}]
        found = self._plans.find(query, {"history": 0}).sort([("name_key", 1), ("_id", 1)])
        documents = await found.limit(limit + 1).to_list(limit + 1)
        shown = documents[:limit]
        more = len(documents) > limit
        following = cursor_of(shown[-1]["name_key"], shown[-1]["_id"]) if more else None
        return [plan_of(document) for document in shown], following

    async def _mapped(self, reseller_id: str) -> list[str]:
        found = self._mappings.find({"mapped_for": reseller_id}, {"_id": 1})
        return [document["_id"] async for document in found]

    async def _kept(self, query: Document) -> list[Kept]:
        found = self._products.find(query).limit(MOST_LINKED)
        return [kept_of(document) async for document in found]


@dataclass(frozen=True)
class Links:
    """Rows that a page's products need, and rows that need them."""

    needed: list[Kept]
    needing: list[Kept]


def _equal(wanted: ProductFilter) -> list[Document]:
    named = {
        "vendor_key": wanted.vendor and wanted.vendor.casefold(),
        "mpn_key": wanted.mpn and wanted.mpn.casefold(),
        "subscription_key": wanted.subscription_period,
        "billing_key": wanted.billing_period,
    }
    equal: list[Document] = [{field: value} for field, value in named.items() if value]
    return [*({"words": word} for word in wanted.words), *equal]
