"""Copies of what others own, fed by their facts: connections, licence mappings, own prices."""

from collections.abc import Iterable, Sequence

from purser_common.mongo import ASCENDING, Database, Document, Index, keep_newest
from purser_events.envelope import Envelope
from purser_events.price import PricePlan, PricePlanFact
from purser_events.reseller import LicenseMapping, LicenseMappingFact
from purser_events.tenant import Tenant, TenantFact
from subscription_service.domain.mirror import product_key

CONNECTIONS, MAPPINGS, PRICES = "connections", "mappings", "prices"
INDEXES = (
    Index(CONNECTIONS, (("reseller_id", ASCENDING), ("marketplace_customer_id", ASCENDING))),
    Index(MAPPINGS, (("product_key", ASCENDING),)),
    Index(PRICES, (("product_key", ASCENDING),)),
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
        await keep_newest(self._collection, [_mapping(envelope) for envelope in envelopes])

    async def mapped(self, keys: Iterable[str]) -> dict[str, LicenseMapping]:
        """The mappings that hold now of these products, by product key."""
        found = self._collection.find({"product_key": {"$in": sorted(set(keys))}})
        kept = {
            d["product_key"]: LicenseMapping.model_validate(d["state"])
            for d in await found.to_list(None)
        }
        return {key: mapping for key, mapping in kept.items() if mapping.status == "mapped"}


def _mapping(envelope: Envelope[LicenseMappingFact]) -> Document:
    mapping = envelope.data.state
    return {
        "_id": mapping.id,
        "sequence": envelope.sequence,
        "state": mapping.model_dump(mode="json"),
        "product_key": product_key(mapping.reseller_id, mapping.product),
    }


class Prices:
    """The prices at which a reseller sells its products, where it has set its own."""

    def __init__(self, database: Database) -> None:
        self._collection = database[PRICES]

    async def keep(self, envelopes: Sequence[Envelope[PricePlanFact]]) -> None:
        """Keep each plan's newest state; older and repeated ones change nothing."""
        await keep_newest(self._collection, [_plan(envelope) for envelope in envelopes])

    async def plans(self, keys: Iterable[str]) -> dict[str, PricePlan]:
        """The plans that hold now of these products, by product key."""
        found = self._collection.find({"product_key": {"$in": sorted(set(keys))}})
        kept = {
            d["product_key"]: PricePlan.model_validate(d["state"])
            for d in await found.to_list(None)
        }
        return {key: plan for key, plan in kept.items() if plan.status == "active"}


def _plan(envelope: Envelope[PricePlanFact]) -> Document:
    plan = envelope.data.state
    return {
        "_id": plan.id,
        "sequence": envelope.sequence,
        "state": plan.model_dump(mode="json"),
        "product_key": product_key(plan.reseller_id, plan.product),
    }
