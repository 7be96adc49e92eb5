"""Whose a marketplace customer is: the order service's own copy of the tenants' connections."""

from collections.abc import Sequence

from purser_common.mongo import ASCENDING, Collection, Database, Document, Index, keep_newest
from purser_events.envelope import Envelope
from purser_events.tenant import Tenant, TenantFact

CONNECTIONS = "connections"
INDEXES = (
    Index(CONNECTIONS, (("reseller_id", ASCENDING), ("marketplace_customer_id", ASCENDING))),
)


class Connections:
    """Tenants by the marketplace customer that they are connected to: a copy fed by their facts."""

    def __init__(self, database: Database) -> None:
        self._collection: Collection = database[CONNECTIONS]

    async def keep(self, envelopes: Sequence[Envelope[TenantFact]]) -> None:
        """Keep each tenant's newest state; older and repeated ones change nothing."""
        await keep_newest(self._collection, [_connection(envelope) for envelope in envelopes])

    async def find(self, tenant_id: str) -> Tenant | None:
        """A tenant as its facts told it last."""
        document = await self._collection.find_one({"_id": tenant_id})
        return Tenant.model_validate(document["state"]) if document else None

    async def connected(self, reseller_id: str) -> dict[str, list[Tenant]]:
        """The tenants that are connected through a reseller, by marketplace customer."""
        found = self._collection.find({"reseller_id": reseller_id})
        connected: dict[str, list[Tenant]] = {}
        for document in await found.to_list(None):
            tenants = connected.setdefault(document["marketplace_customer_id"], [])
            tenants.append(Tenant.model_validate(document["state"]))
        return connected


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
