"""When each marketplace account is swept, and when its next order may be sent."""

from datetime import UTC, datetime, timedelta

from order_service.domain.offers import Line, Swept
from purser_common import jobs
from purser_common.clock import real_now
from purser_common.mongo import (
    ASCENDING,
    Collection,
    Database,
    Index,
    ReturnDocument,
    UpdateOne,
    away_is_unavailable,
)

ACCOUNTS = "accounts"
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
INDEXES = (
    Index(ACCOUNTS, (("due_at", ASCENDING),), sparse=True),
    Index(ACCOUNTS, (("send_at", ASCENDING),), sparse=True),
)


class Accounts:
    """One document per account: the sweeps and the line of requests that wait to be sent."""

    def __init__(self, database: Database) -> None:
        self._collection: Collection = database[ACCOUNTS]

    async def watch(self, reseller_id: str, due_at: datetime) -> None:
        """Sweep this account from now on, and soon."""
        await self._set(reseller_id, {"$min": {"due_at": due_at}})

    async def claim(self, lease: timedelta) -> Swept | None:
        """Take the account that has been due longest, with its last complete sweep."""
        document = await jobs.claim(self._collection, "due_at", lease)
        if document is None:
            return None
        customers = frozenset(document.get("swept_customers", ()))
        return Swept(document["_id"], document.get("swept_at"), customers)

    async def retire(self, reseller_id: str) -> None:
        """Sweep this account no more, and send nothing for it."""
        change = {"$unset": {"due_at": "", "send_at": ""}}
        await self._collection.update_one({"_id": reseller_id}, change)

    async def extend(self, reseller_id: str, until: datetime) -> None:
        """Keep the account for a sweep that goes on, unless another is wanted at once."""
        with away_is_unavailable():
            await self._postpone(reseller_id, until)

    async def swept(self, swept: Swept, due_at: datetime) -> None:
        """Note a complete sweep; the next is then, unless one was wanted meanwhile."""
        found = {"swept_at": swept.at, "swept_customers": sorted(swept.customers)}
        await self._collection.update_one({"_id": swept.reseller_id}, {"$set": found})
        await self._postpone(swept.reseller_id, due_at)

    async def _postpone(self, reseller_id: str, until: datetime) -> None:
        await self._collection.update_one(
            {"_id": reseller_id, "due_at": {"$gt": real_now()}}, {"$set": {"due_at": until}}
        )

    async def queue(self, reseller_id: str, send_at: datetime) -> None:
        """A request of this account wants to be sent."""
        await self._set(reseller_id, {"$min": {"send_at": send_at}, "$inc": {"wanted": 1}})

    async def claim_line(self, lease: timedelta) -> Line | None:
        """Take the line that has been due longest; nobody else sends for this account meanwhile."""
        now = real_now()
        document = await self._collection.find_one_and_update(
            {"send_at": {"$lte": now}, "line_until": {"$lte": now}},
            {"$set": {"line_until": now + lease}},
            sort=[("send_at", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        return Line(document["_id"], document["wanted"]) if document else None

    async def release_line(self, line: Line, send_at: datetime | None) -> None:
        """Let the line go until then, or until somebody queues; one who did meanwhile is not missed."""
        free: dict[str, object] = {"$set": {"line_until": NEVER}}
        if send_at is None:
            change = {**free, "$unset": {"send_at": ""}}
        else:
            change = {"$set": {"line_until": NEVER, "send_at": send_at}}
        done = await self._collection.update_one(
            {"_id": line.reseller_id, "wanted": line.wanted}, change
        )
        if not done.matched_count:
            await self._collection.update_one({"_id": line.reseller_id}, free)

    async def _set(self, reseller_id: str, change: dict[str, dict[str, object]]) -> None:
        new = {**change, "$setOnInsert": {"line_until": NEVER}}
        with away_is_unavailable():
            await self._collection.bulk_write([UpdateOne({"_id": reseller_id}, new, upsert=True)])
