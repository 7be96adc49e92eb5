"""Customers and tenants: one document each."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta

from purser_common import jobs, outbox
from purser_common.errors import Conflict, NotFound
from purser_common.mongo import (
    ASCENDING,
    DESCENDING,
    Database,
    Document,
    DuplicateKeyError,
    Index,
)
from purser_common.outbox import Loaded, Outbox, Request, Stamp
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.tenant import Customer, Tenant
from tenant_connection_service.domain import ConsentAsked, ManagedTenant, PendingConnection

CUSTOMERS, TENANTS = "customers", "tenants"
UNSEEN = "there is no such object, or it is not yours to see"
INDEXES = (
    Index(TENANTS, (("entra_tenant_id", ASCENDING),), unique=True),
    Index(
        TENANTS, (("customer_id", ASCENDING), ("registered_at", DESCENDING), ("_id", DESCENDING))
    ),
    Index(TENANTS, (("reseller_id", ASCENDING),), sparse=True),
    Index(TENANTS, (("settle_at", ASCENDING),), sparse=True),
    *outbox.indexes(CUSTOMERS),
    *outbox.indexes(TENANTS),
)
OUTBOXES = (CUSTOMERS, TENANTS)


class Customers:
    """Customers of the MSP."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection = database[CUSTOMERS]
        self._outbox = outbox

    async def load(self, id: str) -> Loaded[Customer]:
        """A customer. Raises NotFound."""
        document = await self._collection.find_one({"_id": id})
        if document is None:
            raise NotFound(UNSEEN)
        return _customer(document)

    async def insert(
        self, customer: Customer, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[Customer]:
        """Keep a new customer; the same keyed call gives the same. Raises Invalid."""
        fields = {"state": customer.model_dump(mode="json")}
        try:
            document = await self._outbox.insert(
                self._collection, customer.id, fields, facts, cause, request
            )
        except DuplicateKeyError:
            document = await self._collection.find_one({"_id": customer.id}) or {}
            outbox.replayed(document, request)
        return _customer(document)


class Tenants:
    """Tenants with their connection."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection = database[TENANTS]
        self._outbox = outbox

    async def load(self, id: str) -> Loaded[ManagedTenant]:
        """A tenant. Raises NotFound."""
        document = await self._collection.find_one({"_id": id})
        if document is None:
            raise NotFound(UNSEEN)
        return _tenant(document)

    async def replayed(self, id: str, request: Request) -> Loaded[ManagedTenant] | None:
        """The tenant as it is now, if this keyed call has changed it before. Raises Invalid."""
        document = await self._collection.find_one({"_id": id})
        if document is None or not outbox.replayed(document, request):
            return None
        return _tenant(document)

    async def insert(
        self, managed: ManagedTenant, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[ManagedTenant]:
        """Keep a new tenant. Raises Conflict when its Entra tenant is registered."""
        tenant = managed.tenant
        try:
            return _tenant(
                await self._outbox.insert(
                    self._collection, tenant.id, _fields(managed), facts, cause, request
                )
            )
        except DuplicateKeyError:
            earlier = await self.replayed(tenant.id, request)
        if earlier is not None:
            return earlier
        held = await self._collection.find_one({"entra_tenant_id": tenant.entra_tenant_id})
        raise Conflict(
            "this Entra tenant is registered already",
            code="tenant_exists",
            tenant_id=held["_id"] if held else None,
        )

    async def save(
        self,
        loaded: Loaded[ManagedTenant],
        managed: ManagedTenant,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[ManagedTenant]:
        """Write the next state. Raises VersionConflict, Unavailable."""
        return _tenant(
            await self._outbox.save(
                self._collection, loaded.stamp, _fields(managed), facts, cause, request
            )
        )

    async def claim_pending(self, lease: timedelta) -> Loaded[ManagedTenant] | None:
        """Take a tenant whose connection has been pending for too long."""
        document = await jobs.claim(self._collection, "settle_at", lease)
        return _tenant(document) if document else None


def _fields(managed: ManagedTenant) -> Document:
    """Everything that is written; None unsets."""
    tenant, pending, asked = managed.tenant, managed.pending, managed.consent_asked
    reference = tenant.connection or pending
    return {
        "state": tenant.model_dump(mode="json"),
        "customer_id": tenant.customer_id,
        "entra_tenant_id": tenant.entra_tenant_id,
        "registered_at": tenant.registered_at,
        "reseller_id": reference.reseller_id if reference else None,
        "consent_asked": asdict(asked) if asked else None,
        "pending_connection": asdict(pending) if pending else None,
        "settle_at": pending.settle_at if pending else None,
    }


def _customer(document: Document) -> Loaded[Customer]:
    return Loaded(Customer.model_validate(document["state"]), Stamp.of(document))


def _tenant(document: Document) -> Loaded[ManagedTenant]:
    asked, pending = document.get("consent_asked"), document.get("pending_connection")
    managed = ManagedTenant(
        Tenant.model_validate(document["state"]),
        ConsentAsked(**asked) if asked else None,
        PendingConnection(**pending) if pending else None,
    )
    return Loaded(managed, Stamp.of(document))
