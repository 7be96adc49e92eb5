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
from tenant_connection_service.domain.customers import REMOVED as CUSTOMER_REMOVED
from tenant_connection_service.domain.tenants import (
    REMOVED,
    Closing,
    ConsentAsked,
    ManagedTenant,
    PendingConnection,
)

CUSTOMERS, TENANTS = "customers", "tenants"
UNSEEN = "there is no such object, or it is not yours to see"
INDEXES = (
    Index(CUSTOMERS, (("imported_from", ASCENDING),), unique=True, sparse=True),
    Index(TENANTS, (("entra_tenant_id", ASCENDING),), unique=True, sparse=True),
    Index(TENANTS, (("left_entra_tenant_id", ASCENDING), ("customer_id", ASCENDING)), sparse=True),
    Index(
        TENANTS, (("customer_id", ASCENDING), ("registered_at", DESCENDING), ("_id", DESCENDING))
    ),
    Index(TENANTS, (("reseller_ids", ASCENDING),), sparse=True),
    Index(TENANTS, (("targets", ASCENDING),), sparse=True),
    Index(TENANTS, (("consent_request_id", ASCENDING),), sparse=True),
    Index(TENANTS, (("settle_at", ASCENDING),), sparse=True),
    *outbox.indexes(CUSTOMERS),
    *outbox.indexes(TENANTS),
)
OUTBOXES = (CUSTOMERS, TENANTS)
SOME = 21


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
        """Keep a new customer; the same keyed call gives the same, and so does the same import.

        Raises Invalid.
        """
        fields = _customer_fields(customer)
        try:
            document = await self._outbox.insert(
                self._collection, customer.id, fields, facts, cause, request
            )
        except DuplicateKeyError:
            document = await self._collection.find_one({"_id": customer.id}) or {}
            if not document:
                held = {"imported_from": fields["imported_from"]}
                return _customer(await self._collection.find_one(held) or {})
            outbox.replayed(document, request)
        return _customer(document)

    async def save(
        self, loaded: Loaded[Customer], customer: Customer, facts: Sequence[Fact], cause: Cause
    ) -> Loaded[Customer]:
        """Write the next state. Raises VersionConflict, Unavailable."""
        fields = _customer_fields(customer)
        return _customer(
            await self._outbox.save(self._collection, loaded.stamp, fields, facts, cause)
        )

    async def imported(
        self, reseller_id: str, marketplace_customer_id: str
    ) -> Loaded[Customer] | None:
        """The customer that a marketplace customer was imported as."""
        source = {"imported_from": f"{reseller_id}|{marketplace_customer_id}"}
        document = await self._collection.find_one(source)
        return _customer(document) if document else None

    async def relied_on(self, id: str) -> bool:
        """Note that something new stands on the customer, which a removal then sees; False if removed."""
        done = await self._collection.update_one(
            {"_id": id, "removed": None}, {"$inc": {"version": 1}}
        )
        return bool(done.matched_count)


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
        document = await outbox.find_replayed(self._collection, id, request)
        return _tenant(document) if document else None

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
        if held is not None and outbox.replayed(held, request):
            return _tenant(held)
        raise _exists(held)

    async def save(
        self,
        loaded: Loaded[ManagedTenant],
        managed: ManagedTenant,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[ManagedTenant]:
        """Write the next state. Raises VersionConflict, Unavailable, Conflict (Entra tenant taken)."""
        try:
            return _tenant(
                await self._outbox.save(
                    self._collection, loaded.stamp, _fields(managed), facts, cause, request
                )
            )
        except DuplicateKeyError as error:
            entra = {"entra_tenant_id": managed.tenant.entra_tenant_id}
            raise _exists(await self._collection.find_one(entra)) from error

    async def claim_pending(self, lease: timedelta) -> Loaded[ManagedTenant] | None:
        """Take a tenant that has been pending or closing for too long."""
        document = await jobs.claim(self._collection, "settle_at", lease)
        return _tenant(document) if document else None

    async def of_customer(self, customer_id: str) -> list[dict[str, str]]:
        """A customer's tenants by id and name; some when there are many."""
        own = {"customer_id": customer_id, "removed": None}
        found = await self._collection.find(own).limit(SOME).to_list(SOME)
        return [{"id": d["_id"], "name": d["state"]["name"]} for d in found]

    async def left(self, customer_id: str, entra_id: str) -> Loaded[ManagedTenant] | None:
        """The tenant that this customer had of this Entra tenant, if it was removed."""
        document = await self._collection.find_one(
            {"left_entra_tenant_id": entra_id, "customer_id": customer_id}
        )
        return _tenant(document) if document else None

    async def registered(self, entra_ids: Sequence[str]) -> list[ManagedTenant]:
        """The tenants of these Entra tenants."""
        found = self._collection.find({"entra_tenant_id": {"$in": list(entra_ids)}})
        return [_tenant(document).state for document in await found.to_list(None)]

    async def at(self, reseller_id: str, marketplace_customer_id: str) -> list[Tenant]:
        """The tenants that are connected to a marketplace customer, or about to be."""
        found = self._collection.find({"targets": _target(reseller_id, marketplace_customer_id)})
        return [_tenant(document).state.tenant for document in await found.to_list(None)]

    async def asked(self, nonce: str) -> tuple[Loaded[ManagedTenant], ConsentAsked]:
        """The tenant whose latest consent request this is. Raises NotFound."""
        document = await self._collection.find_one({"consent_request_id": nonce})
        found = _tenant(document) if document else None
        if found is None or found.state.consent_asked is None:
            raise NotFound(UNSEEN)
        return found, found.state.consent_asked


def _fields(managed: ManagedTenant) -> Document:
    """Everything that is written; None unsets."""
    tenant, pending, asked = managed.tenant, managed.pending, managed.consent_asked
    ties = [tie for tie in (tenant.connection, pending) if tie is not None]
    removed = tenant.status == REMOVED
    settled = managed.closing or pending
    return {
        "state": tenant.model_dump(mode="json"),
        "customer_id": tenant.customer_id,
        "entra_tenant_id": None if removed else tenant.entra_tenant_id,
        "left_entra_tenant_id": tenant.entra_tenant_id if removed else None,
        "removed": True if removed else None,
        "marketplaces": list(tenant.marketplaces),
        "registered_at": tenant.registered_at,
        "reseller_ids": sorted({tie.reseller_id for tie in ties}) or None,
        "targets": [_target(t.reseller_id, t.marketplace_customer_id) for t in ties] or None,
        "consent_asked": asdict(asked) if asked else None,
        "consent_request_id": asked.nonce if asked else None,
        "pending_connection": asdict(pending) if pending else None,
        "closing": asdict(managed.closing) if managed.closing else None,
        "settle_at": settled.settle_at if settled else None,
    }


def _exists(held: Document | None) -> Conflict:
    return Conflict(
        "this Entra tenant is registered already",
        code="tenant_exists",
        tenant_id=held["_id"] if held else None,
        customer_id=held["customer_id"] if held else None,
    )


def _target(reseller_id: str, marketplace_customer_id: str) -> str:
    return f"{reseller_id}|{marketplace_customer_id}"


def _customer_fields(customer: Customer) -> Document:
    """Everything that is written; None unsets, so a removed customer may be imported anew."""
    removed, source = customer.status == CUSTOMER_REMOVED, customer.imported_from
    held = None if removed or source is None else source
    return {
        "state": customer.model_dump(mode="json"),
        "removed": True if removed else None,
        "imported_from": held and _target(held.reseller_id, held.marketplace_customer_id),
    }


def _customer(document: Document) -> Loaded[Customer]:
    return Loaded(Customer.model_validate(document["state"]), Stamp.of(document))


def _tenant(document: Document) -> Loaded[ManagedTenant]:
    asked, pending = document.get("consent_asked"), document.get("pending_connection")
    closing = document.get("closing")
    managed = ManagedTenant(
        Tenant.model_validate(document["state"]),
        ConsentAsked(**asked) if asked else None,
        PendingConnection(**pending) if pending else None,
        Closing(**closing) if closing else None,
    )
    return Loaded(managed, Stamp.of(document))
