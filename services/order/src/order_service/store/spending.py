"""Spend caps, and what each day's requests spend of them.

A reservation counts by what its request has come to, so none has to be given back or taken again.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from order_service.domain.purchase import FAILED, WITHDRAWN
from order_service.domain.spending import Spent
from order_service.store.requests import REQUESTS
from purser_common import outbox
from purser_common.errors import VersionConflict
from purser_common.mongo import Collection, Database, Document, DuplicateKeyError
from purser_common.outbox import Loaded, Outbox, Stamp
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.license import SpendCap

CAPS, SPENDING = "spend_caps", "spending"
INDEXES = outbox.indexes(CAPS)


class Spending:
    """One cap per reseller, and one document per reseller and day with what was reserved of it."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._caps: Collection = database[CAPS]
        self._days: Collection = database[SPENDING]
        self._requests: Collection = database[REQUESTS]
        self._outbox = outbox

    async def cap(self, reseller_id: str) -> Loaded[SpendCap] | None:
        """The reseller's cap, or None when there never was one."""
        document = await self._caps.find_one({"_id": reseller_id})
        return _loaded(document) if document else None

    async def keep(
        self, before: Loaded[SpendCap] | None, cap: SpendCap, facts: Sequence[Fact], cause: Cause
    ) -> Loaded[SpendCap]:
        """Write a cap. Raises VersionConflict when somebody else wrote meanwhile."""
        fields = {"state": cap.model_dump(mode="json")}
        if before is not None:
            return _loaded(await self._outbox.save(self._caps, before.stamp, fields, facts, cause))
        try:
            return _loaded(await self._outbox.insert(self._caps, cap.id, fields, facts, cause))
        except DuplicateKeyError as error:
            raise VersionConflict(cap.id) from error

    async def spent(self, reseller_id: str, day: date) -> Spent:
        """What each request of the day spends: nothing once it failed or was withdrawn without an order.

        One that a person gave up still counts: its order may have been executed.
        """
        document = await self._days.find_one({"_id": _day(reseller_id, day)})
        entries = document["requests"] if document else []
        ids = [entry["request"] for entry in entries]
        ended = {"_id": {"$in": ids}, "phase": {"$in": [FAILED, WITHDRAWN]}}
        found = await self._requests.find(ended, {"evidence": 1}).to_list(None)
        nothing = {one["_id"] for one in found if not one["evidence"]}
        amounts = {one["request"]: Decimal(one["amount"]) for one in entries}
        counted = {id: amount for id, amount in amounts.items() if id not in nothing}
        return Spent(counted, len(entries))

    async def reserve(
        self, reseller_id: str, day: date, seen: int, request_id: str, amount: Decimal
    ) -> bool:
        """Reserve for a request if nobody reserved since `seen` reservations were counted."""
        entry = {"request": request_id, "amount": str(amount)}
        id = _day(reseller_id, day)
        try:
            done = await self._days.update_one(
                {"_id": id, "count": seen},
                {"$push": {"requests": entry}, "$inc": {"count": 1}},
                upsert=seen == 0,
            )
        except DuplicateKeyError:
            return False
        return bool(done.matched_count or done.upserted_id)


def _day(reseller_id: str, day: date) -> str:
    return f"{reseller_id}|{day.isoformat()}"


def _loaded(document: Document) -> Loaded[SpendCap]:
    return Loaded(SpendCap.model_validate(document["state"]), Stamp.of(document))
