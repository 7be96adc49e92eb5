"""Seats and prices of each option, day by day: what every report over time stands on."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from itertools import zip_longest

from purser_common.mongo import ASCENDING, DESCENDING, Database, Document, Index, keep_newest
from purser_events.subscription import Subscription, SubscriptionOption
from purser_events.values import Money
from subscription_service.domain.mirror import ENDED, option_keys

DAYS = "subscription_days"
INDEXES = (Index(DAYS, (("subscription_id", ASCENDING), ("day", DESCENDING), ("_id", DESCENDING))),)


class Days:
    """One document for each option and day (UTC), as it was read last on that day."""

    def __init__(self, database: Database) -> None:
        self._collection = database[DAYS]

    async def record(
        self,
        subscription: Subscription,
        prices: Sequence[Money | None],
        costs: Sequence[Money | None],
        day: date,
        read_at: datetime,
    ) -> None:
        """Keep a reading as its day's, unless a later one is kept; no other day is touched.

        `prices` has what the customer pays for a seat of each option; `costs` what the reseller pays,
        where that is known at all. A subscription that had ended before has no days any more.
        """
        start = datetime.combine(day, time(), UTC)
        today = {"subscription_id": subscription.id, "day": start}
        if subscription.status in ENDED and not await self._collection.find_one(today, {"_id": 1}):
            return
        keys = option_keys(subscription.options)
        documents = [
            {
                **today,
                "_id": f"{subscription.id}|{key}|{day.isoformat()}",
                "sequence": int(read_at.timestamp() * 1000),
                "tenant_id": subscription.tenant_id,
                "customer_id": subscription.customer_id,
                "read_at": read_at,
                "shown": _shown(subscription, key, option, price),
                "reseller_price": cost.model_dump(mode="json") if cost else None,
            }
            for (key, option, price), cost in zip_longest(
                zip(keys, subscription.options, prices, strict=True), costs[: len(keys)]
            )
        ]
        await keep_newest(self._collection, documents)
        kept = [document["_id"] for document in documents]
        gone = {**today, "_id": {"$nin": kept}, "read_at": {"$lte": read_at}}
        await self._collection.delete_many(gone)


def _shown(
    subscription: Subscription, key: str, option: SubscriptionOption, price: Money | None
) -> Document:
    return {
        "option": key,
        "product": option.product.model_dump(mode="json"),
        "name": option.name,
        "status": subscription.status,
        "quantity": option.quantity,
        "own_price": price.model_dump(mode="json") if price else None,
    }
