"""What is to be read, and what was remembered of what was."""

from dataclasses import asdict
from datetime import date, datetime, timedelta

from purser_common import jobs
from purser_common.clock import real_now
from purser_common.mongo import ASCENDING, Database, Document, Index, UpdateOne
from subscription_service.domain.mirror import MOST_FAILURES, Known, Refresh

REFRESHES, READINGS = "refreshes", "readings"
INDEXES = (
    Index(REFRESHES, (("due_at", ASCENDING),), sparse=True),
    Index(READINGS, (("reseller_id", ASCENDING), ("marketplace_customer_id", ASCENDING))),
)


class Refreshes:
    """What is to be read: one document per object, so that one object is read once at a time."""

    def __init__(self, database: Database) -> None:
        self._collection = database[REFRESHES]

    async def want(self, refresh: Refresh) -> None:
        """Read this soon. Wanting it twice is wanting it once."""
        fields = {
            name: value
            for name, value in asdict(refresh).items()
            if name not in ("id", "wanted", "failures")
        }
        write = UpdateOne(
            {"_id": refresh.id},
            {
                "$set": {**fields, "due_at": real_now(), "failures": 0},
                "$inc": {"wanted": 1},
            },
            upsert=True,
        )
        await self._collection.bulk_write([write])

    async def claim(self, lease: timedelta) -> Refresh | None:
        """Take what has been due longest."""
        document = await jobs.claim(self._collection, "due_at", lease)
        if document is None:
            return None
        due = ("_id", "due_at")
        return Refresh(id=document["_id"], **{k: v for k, v in document.items() if k not in due})

    async def hold(self, refresh: Refresh, lease: timedelta) -> None:
        """Keep a long reading for oneself, unless another was wanted meanwhile."""
        await self._collection.update_one(
            {"_id": refresh.id, "wanted": refresh.wanted},
            {"$set": {"due_at": real_now() + lease}},
        )

    async def done(self, refresh: Refresh, again: datetime | None) -> None:
        """Note a reading, unless another was wanted meanwhile."""
        change: Document = {"$set": {"failures": 0}}
        if again is None:
            change["$unset"] = {"due_at": ""}
        else:
            change["$set"]["due_at"] = again
        await self._collection.update_one({"_id": refresh.id, "wanted": refresh.wanted}, change)

    async def postponed(self, refresh: Refresh, until: datetime) -> None:
        """Try again then, unless it was wanted again meanwhile."""
        await self._collection.update_one(
            {"_id": refresh.id, "wanted": refresh.wanted},
            {"$set": {"due_at": until, "failures": min(refresh.failures + 1, MOST_FAILURES)}},
        )


class Readings:
    """The last reading of each subscription, whoever it belongs to; no ETag moves by it."""

    def __init__(self, database: Database) -> None:
        self._collection = database[READINGS]

    async def of_customer(self, reseller_id: str, customer_id: str) -> list[Known]:
        """All that was read of a marketplace customer."""
        found = self._collection.find(
            {"reseller_id": reseller_id, "marketplace_customer_id": customer_id}
        )
        return [_known(document) for document in await found.to_list(None)]

    async def note(self, known: Known) -> None:
        """Remember a reading; the row of a list stays when no list led to it."""
        fields = {**asdict(known), "read_on": known.read_on.isoformat()}
        id, row = fields.pop("id"), fields.pop("row")
        if row is not None:
            fields["row"] = row
        await self._collection.update_one({"_id": id}, {"$set": fields}, upsert=True)

    async def settled(self, id: str, whose: str) -> None:
        """Remember whose it is by what was read before."""
        await self._collection.update_one({"_id": id}, {"$set": {"whose": whose}})

    async def missed(self, id: str, times: int) -> None:
        """Remember how many lists in a row lacked it."""
        await self._collection.update_one({"_id": id}, {"$set": {"missing": times}})

    async def forget(self, id: str) -> None:
        """Remember nothing of it any more."""
        await self._collection.delete_one({"_id": id})


def _known(document: Document) -> Known:
    fields = {name: value for name, value in document.items() if name not in ("_id", "row")}
    fields |= {"row": document.get("row"), "read_on": date.fromisoformat(document["read_on"])}
    return Known(id=document["_id"], **fields)
