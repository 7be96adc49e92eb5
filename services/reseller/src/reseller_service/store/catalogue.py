"""The catalogue as it is kept: one document for each product of a reseller, and how its looks went."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from purser_common.clock import real_now
from purser_common.mongo import (
    ASCENDING,
    BulkWriteError,
    Collection,
    Database,
    Document,
    Index,
    UpdateOne,
    away_is_unavailable,
)
from purser_events.values import Period
from reseller_service.domain.catalogue import (
    Kept,
    Listing,
    Standing,
    Sync,
    needed_keys,
    words_of,
)
from reseller_service.store.resellers import RESELLERS

PRODUCTS, SYNCS = "catalogue_products", "catalogue_syncs"
LEASE = timedelta(seconds=12)
_BATCH = 500

UP = ASCENDING
FILTERS = ("vendor_key", "mpn_key", "subscription_key", "billing_key", "words")
INDEXES = (
    Index(PRODUCTS, (("shelf", UP), ("name_key", UP), ("_id", UP))),
    *(Index(PRODUCTS, (("shelf", UP), (f, UP), ("name_key", UP), ("_id", UP))) for f in FILTERS),
    Index(PRODUCTS, (("shelf", UP), ("_id", UP))),
    Index(PRODUCTS, (("reseller_id", UP), ("marketplace_id", UP))),
    Index(PRODUCTS, (("reseller_id", UP), ("mpn_key", UP))),
    Index(PRODUCTS, (("shelf", UP), ("needed", UP))),
    Index(SYNCS, (("due", UP),)),
)


def period_key(period: Period) -> str:
    """A period as filters name it, e.g. `month:1`."""
    return f"{period.type.casefold()}:{period.duration}"


class Catalogue:
    """The products. `shelf` is the reseller's id while the marketplace lists the product."""

    def __init__(self, database: Database) -> None:
        self._collection: Collection = database[PRODUCTS]

    async def find(self, id: str) -> Kept | None:
        """A product, also one that has vanished."""
        with away_is_unavailable():
            document = await self._collection.find_one({"_id": id})
        return kept_of(document) if document else None

    async def find_all(self, ids: Sequence[str]) -> dict[str, Kept]:
        """Those that are known of these products, by id."""
        found = self._collection.find({"_id": {"$in": list(ids)}})
        return {document["_id"]: kept_of(document) async for document in found}

    async def of_mpns(self, reseller_id: str, mpns: Sequence[str]) -> list[Kept]:
        """The products that are known under these MPNs, also those that have vanished."""
        keys = sorted({mpn.casefold() for mpn in mpns})
        found = self._collection.find({"reseller_id": reseller_id, "mpn_key": {"$in": keys}})
        return [kept_of(document) async for document in found]

    async def keep(self, reseller_id: str, listings: Sequence[Listing], at: datetime) -> int:
        """Keep rows as they were read at a time; writes what differs, and answers how many."""
        by_id = {listing.id(reseller_id): listing for listing in listings}
        known = self._collection.find(
            {"_id": {"$in": list(by_id)}}, {"digest": 1, "shelf": 1, "missing_at": 1}
        )
        same = {
            document["_id"]
            async for document in known
            if document["digest"] == by_id[document["_id"]].digest
            and "shelf" in document
            and "missing_at" not in document
        }
        changed = {id: listing for id, listing in by_id.items() if id not in same}
        await self._write(
            [_kept_row(id, reseller_id, one, at) for id, one in changed.items()],
        )
        return len(changed)

    async def keep_read(self, reseller_id: str, listing: Listing, at: datetime) -> None:
        """Keep one row that was read on its own, with the time of the read."""
        await self._write([_kept_row(listing.id(reseller_id), reseller_id, listing, at)])

    async def miss(
        self, reseller_id: str, seen: frozenset[str], spared: frozenset[str], at: datetime
    ) -> tuple[int, int]:
        """Note what a complete walk did not meet: (missing for the first time, now vanished).

        `seen` are product ids, `spared` the marketplace's ids of rows that could not be read.
        """
        missing, vanished, after = 0, 0, ""
        while True:
            page = await self._page(reseller_id, after)
            if not page:
                return missing, vanished
            after = page[-1]["_id"]
            gone = [
                document
                for document in page
                if document["_id"] not in seen and document.get("marketplace_id") not in spared
            ]
            writes = [_missed(document, at) for document in gone]
            if writes:
                await self._collection.bulk_write(writes, ordered=False)
            second = sum("missing_at" in document for document in gone)
            vanished, missing = vanished + second, missing + len(gone) - second

    async def _page(self, reseller_id: str, after: str) -> list[Document]:
        found = self._collection.find(
            {"shelf": reseller_id, "_id": {"$gt": after}}, {"marketplace_id": 1, "missing_at": 1}
        )
        return await found.sort([("_id", UP)]).limit(_BATCH).to_list(_BATCH)

    async def _write(self, writes: Sequence[UpdateOne]) -> None:
        """Whoever read later wins: a write that finds a newer row inserts nothing."""
        if not writes:
            return
        with away_is_unavailable():
            try:
                await self._collection.bulk_write(list(writes), ordered=False)
            except BulkWriteError as error:
                if {one["code"] for one in error.details["writeErrors"]} != {11000}:
                    raise


class Syncs:
    """One document for each reseller: when the next look is due, who looks now, how it went."""

    def __init__(self, database: Database) -> None:
        self._collection: Collection = database[SYNCS]
        self._resellers: Collection = database[RESELLERS]

    async def enlist_all(self) -> None:
        """Make the first look due for resellers that have none yet."""
        found = self._resellers.find({}, {"state.status": 1})
        active = {d["_id"] async for d in found if d["state"].get("status") != "deleted"}
        known = {d["_id"] async for d in self._collection.find({}, {"_id": 1})}
        await self._enlist(sorted(active - known))

    async def _enlist(self, reseller_ids: Sequence[str]) -> None:
        first = {"$setOnInsert": {"due": real_now()}}
        writes = [UpdateOne({"_id": id}, first, upsert=True) for id in reseller_ids]
        if writes:
            await self._collection.bulk_write(writes, ordered=False)

    async def standing(self, reseller_id: str) -> tuple[Standing, bool]:
        """What is known of a reseller's catalogue, and whether somebody looks now."""
        document = await self._collection.find_one({"_id": reseller_id}) or {}
        running = "running" in document and document["due"] > real_now()
        return _standing(document), running

    async def claim(self, token: str) -> str | None:
        """Take the look that has been due longest; it is due again when the lease ends."""
        now = real_now()
        document = await self._collection.find_one_and_update(
            {"due": {"$lte": now}},
            {"$set": {"due": now + LEASE, "running": token}},
            sort=[("due", 1)],
        )
        return document["_id"] if document else None

    async def take(self, reseller_id: str, token: str) -> bool:
        """Take one reseller's look, due or not, unless somebody has it."""
        now = real_now()
        await self._enlist([reseller_id])
        free = [{"running": {"$exists": False}}, {"due": {"$lte": now}}]
        document = await self._collection.find_one_and_update(
            {"_id": reseller_id, "$or": free},
            {"$set": {"due": now + LEASE, "running": token}},
        )
        return document is not None

    async def renew(self, reseller_id: str, token: str) -> bool:
        """Keep the lease; False when it is somebody else's by now."""
        done = await self._collection.update_one(
            {"_id": reseller_id, "running": token}, {"$set": {"due": real_now() + LEASE}}
        )
        return bool(done.matched_count)

    async def end(
        self, reseller_id: str, token: str, standing: Standing, next_look: timedelta
    ) -> None:
        """Record how a look went and give the lease back."""
        fields = {
            "last": standing.last.model_dump(mode="json") if standing.last else None,
            "usable_at": standing.usable_at,
            "complete_at": standing.complete_at,
            "due": real_now() + next_look,
        }
        await self._collection.update_one(
            {"_id": reseller_id, "running": token}, {"$set": fields, "$unset": {"running": ""}}
        )

    async def hasten(self, reseller_id: str) -> None:
        """Make the next look due now, unless somebody looks."""
        await self._collection.update_one(
            {"_id": reseller_id, "running": {"$exists": False}}, {"$set": {"due": real_now()}}
        )

    async def forget(self, reseller_id: str) -> None:
        """A reseller that is gone is not looked at any more."""
        await self._collection.delete_one({"_id": reseller_id})


def _standing(document: Mapping[str, object]) -> Standing:
    last = document.get("last")
    return Standing(
        last=Sync.model_validate(last) if last else None,
        usable_at=document.get("usable_at"),  # type: ignore[arg-type]
        complete_at=document.get("complete_at"),  # type: ignore[arg-type]
    )


def _kept_row(id: str, reseller_id: str, listing: Listing, at: datetime) -> UpdateOne:
    product = listing.product
    fields: Document = {
        "reseller_id": reseller_id,
        "shelf": reseller_id,
        "row": listing.model_dump(mode="json"),
        "digest": listing.digest,
        "name_key": listing.name.casefold(),
        "words": list(words_of(listing.name)),
        "vendor_key": product.vendor.casefold(),
        "mpn_key": product.mpn.casefold(),
        "subscription_key": period_key(product.subscription_period),
        "billing_key": period_key(product.billing_period),
        "marketplace_id": listing.marketplace_id,
        "needed": list(needed_keys(listing)),
        "read_at": at,
    }
    return UpdateOne(
        {"_id": id, "read_at": {"$lt": at}},
        {"$set": fields, "$unset": {"missing_at": "", "vanished_at": ""}},
        upsert=True,
    )


def _missed(document: Document, at: datetime) -> UpdateOne:
    if "missing_at" not in document:
        return UpdateOne({"_id": document["_id"]}, {"$set": {"missing_at": at}})
    gone = {"$set": {"vanished_at": at}, "$unset": {"shelf": "", "missing_at": ""}}
    return UpdateOne({"_id": document["_id"]}, gone)


def kept_of(document: Document) -> Kept:
    """A stored product."""
    return Kept(
        id=document["_id"],
        reseller_id=document["reseller_id"],
        listing=Listing.model_validate(document["row"]),
        read_at=document["read_at"],
        listed="shelf" in document,
        missing="missing_at" in document,
        vanished_at=document.get("vanished_at"),
    )
