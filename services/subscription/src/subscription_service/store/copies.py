"""Copies of what others own, fed by their facts: connections, licence mappings, own prices."""

from collections.abc import Iterable, Sequence

from purser_common.mongo import ASCENDING, Database, Document, Index, keep_newest
from purser_events.envelope import Envelope
from purser_events.price import PricePlan, PricePlanFact
from purser_events.reseller import LicenseMapping, LicenseMappingFact
from purser_events.tenant import Tenant, TenantFact
from purser_events.values import product_id

CONNECTIONS, MAPPINGS, PRICES = "connections", "mappings", "prices"
INDEXES = (
    Index(CONNECTIONS, (("reseller_id", ASCENDING), ("marketplace_customer_id", ASCENDING))),
)

Place = tuple[str, str]
"""A reseller and one of its customers at the marketplace."""


class Connections:
    """Tenants by the marketplace customer that they are connected to."""

    def __init__(self, database: Database) -> None:
        self._collection = database[CONNECTIONS]

    async def keep(self, envelopes: Sequence[Envelope[TenantFact]]) -> None:
        """Keep each tenant's newest state; older and repeated ones change nothing."""
        await keep_newest(self._collection, [_connection(envelope) for envelope in envelopes])

    async def places(self, tenant_ids: Iterable[str]) -> dict[str, Place]:
        """Where these tenants are connected by what is known so far."""
        found = self._collection.find({"_id": {"$in": sorted(tenant_ids)}})
        return {
            d["_id"]: (d["reseller_id"], d["marketplace_customer_id"])
            for d in await found.to_list(None)
            if d["reseller_id"] is not None
        }

    async def connected(self, reseller_id: str, customer_id: str) -> list[Tenant]:
        """The tenants that are connected to a marketplace customer."""
        found = self._collection.find(
            {"reseller_id": reseller_id, "marketplace_customer_id": customer_id}
        )
        return [Tenant.model_validate(d["state"]) for d in await found.to_list(None)]


def _connection(envelope: Envelope[TenantFact]) -> Document:
    tenant = envelope.data.state
    to = tenant.connection
    return {
        "_id": tenant.id,
        "sequence": envelope.sequence,
        "state": tenant.model_dump(mode="json"),
        "reseller_id": to.reseller_id if to else None,
        "marketplace_customer_id": to.marketplace_customer_id if to else None,
    }


class Mappings:
    """Which Microsoft licence a reseller's product stands for."""

    def __init__(self, database: Database) -> None:
        self._collection = database[MAPPINGS]

    async def keep(self, envelopes: Sequence[Envelope[LicenseMappingFact]]) -> None:
        """Keep each mapping's newest state; older and repeated ones change nothing."""
        await keep_newest(self._collection, [_of_product(envelope) for envelope in envelopes])

    async def mapped(self, ids: Iterable[str]) -> dict[str, LicenseMapping]:
        """The mappings that hold now of these products, by product id."""
        found = await self._collection.find({"_id": {"$in": sorted(set(ids))}}).to_list(None)
        kept = {d["_id"]: LicenseMapping.model_validate(d["state"]) for d in found}
        return {id: mapping for id, mapping in kept.items() if mapping.status == "mapped"}


class Prices:
    """The prices at which a reseller sells its products, where it has set its own."""

    def __init__(self, database: Database) -> None:
        self._collection = database[PRICES]

    async def keep(self, envelopes: Sequence[Envelope[PricePlanFact]]) -> None:
        """Keep each plan's newest state; older and repeated ones change nothing."""
        await keep_newest(self._collection, [_of_product(envelope) for envelope in envelopes])

    async def plans(self, ids: Iterable[str]) -> dict[str, PricePlan]:
        """The plans that hold now of these products, by product id."""
        found = await self._collection.find({"_id": {"$in": sorted(set(ids))}}).to_list(None)
        kept = {d["_id"]: PricePlan.model_validate(d["state"]) for d in found}
        return {id: plan for id, plan in kept.items() if plan.status == "active"}


def _of_product(envelope: Envelope[LicenseMappingFact] | Envelope[PricePlanFact]) -> Document:
    state = envelope.data.state
    return {
        "_id": product_id(state.reseller_id, state.product),
        "sequence": envelope.sequence,
        "state": state.model_dump(mode="json"),
    }
