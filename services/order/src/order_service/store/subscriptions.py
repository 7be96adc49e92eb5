"""The order service's own copy of the tenants' subscriptions, by the products that they are of."""

from collections.abc import Sequence

from purser_common.mongo import ASCENDING, Collection, Database, Document, Index, keep_newest
from purser_events.envelope import Envelope
from purser_events.subscription import Subscription, SubscriptionFact

SUBSCRIPTIONS = "subscription_copies"
INDEXES = (
    Index(SUBSCRIPTIONS, (("tenant_id", ASCENDING), ("mpns", ASCENDING), ("_id", ASCENDING))),
)
ENDED = frozenset({"terminated", "removed"})
MOST = 1_000
"""So many subscriptions of one page's products are looked at."""


class SubscriptionCopies:
    """Subscriptions as their facts told them last. One that has ended is of no product any more."""

    def __init__(self, database: Database) -> None:
        self._collection: Collection = database[SUBSCRIPTIONS]

    async def keep(self, envelopes: Sequence[Envelope[SubscriptionFact]]) -> None:
        """Keep each subscription's newest state; older and repeated ones change nothing."""
        await keep_newest(self._collection, [_copy(envelope) for envelope in envelopes])

    async def of_products(self, tenant_id: str, mpns: Sequence[str]) -> list[Subscription]:
        """The tenant's subscriptions of products with these MPNs."""
        query = {"tenant_id": tenant_id, "mpns": {"$in": sorted(set(mpns))}}
        found = self._collection.find(query, {"state": 1}).sort([("_id", ASCENDING)])
        documents = await found.limit(MOST).to_list(MOST)
        return [Subscription.model_validate(document["state"]) for document in documents]


def _copy(envelope: Envelope[SubscriptionFact]) -> Document:
    state = envelope.data.state
    mpns = () if state.status in ENDED else (option.product.mpn for option in state.options)
    return {
        "_id": state.id,
        "sequence": envelope.sequence,
        "state": state.model_dump(mode="json"),
        "tenant_id": state.tenant_id,
        "mpns": sorted(set(mpns)),
    }
