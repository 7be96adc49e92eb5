"""Facts about customers and their Microsoft 365 tenants, published by tenant-connection."""

from typing import ClassVar

from pydantic import AwareDatetime, Field

from purser_events.envelope import Fact, Published


class MarketplaceCustomer(Published):
    """Who a customer is at a marketplace, behind one reseller."""

    reseller_id: str
    marketplace_customer_id: str


class Customer(Published):
    """A customer of the MSP."""

    id: str
    name: str
    added_at: AwareDatetime
    status: str = Field(default="active", description="`active` or `removed`.")
    imported_from: MarketplaceCustomer | None = Field(
        default=None, description="The marketplace customer that it was imported from."
    )


class CustomerFact(Fact):
    """A fact about a customer."""

    state: Customer


class CustomerAdded(CustomerFact):
    """A customer of the MSP was added."""

    TOPIC: ClassVar[str] = "customer.added"


class CustomerUpdated(CustomerFact):
    """A customer was renamed."""

    TOPIC: ClassVar[str] = "customer.updated"


class CustomerRemoved(CustomerFact):
    """A customer without tenants was removed."""

    TOPIC: ClassVar[str] = "customer.removed"


class Consent(Published):
    """Whether the tenant's administrator lets Purser read its licences."""

    status: str = Field(
        description="`missing` (also once declined), `requested`, `granted` or `revoked`."
    )
    permissions: tuple[str, ...] = ()
    granted_at: AwareDatetime | None = None


class Connection(Published):
    """The tie between a tenant and one customer of a reseller at the marketplace."""

    marketplace: str
    reseller_id: str
    marketplace_customer_id: str
    marketplace_customer_name: str
    connected_at: AwareDatetime


class Tenant(Published):
    """A customer's Microsoft 365 tenant."""

    id: str
    customer_id: str
    entra_tenant_id: str = Field(description="Microsoft's directory id (GUID).")
    name: str
    domain: str
    consent: Consent
    marketplaces: tuple[str, ...] = Field(description="The modules it was added to.")
    connection: Connection | None = None
    registered_at: AwareDatetime
    status: str = Field(default="registered", description="`registered` or `removed`.")


class TenantFact(Fact):
    """A fact about a tenant."""

    state: Tenant


class TenantRegistered(TenantFact):
    """A Microsoft 365 tenant of a customer became known to Purser."""

    TOPIC: ClassVar[str] = "tenant.registered"


class TenantConsentRequested(TenantFact):
    """Somebody was sent to Microsoft to consent for the tenant."""

    TOPIC: ClassVar[str] = "tenant.consent-requested"


class TenantConsented(TenantFact):
    """The tenant's administrator consented, and Purser could read the tenant's licences."""

    TOPIC: ClassVar[str] = "tenant.consented"


class TenantConsentRevoked(TenantFact):
    """The tenant's consent is not there: its administrator declined it, or has taken it back."""

    TOPIC: ClassVar[str] = "tenant.consent-revoked"


class TenantAdded(TenantFact):
    """The tenant was added to a marketplace module."""

    TOPIC: ClassVar[str] = "tenant.added"


class TenantConnected(TenantFact):
    """The tenant was connected to a marketplace customer; its licences can be managed."""

    TOPIC: ClassVar[str] = "tenant.connected"


class TenantConnectionChanged(TenantFact):
    """The tenant is connected to another reseller or another marketplace customer now."""

    TOPIC: ClassVar[str] = "tenant.connection-changed"


class TenantDisconnected(TenantFact):
    """The tenant is no longer connected to a marketplace customer; it stays and may connect again."""

    TOPIC: ClassVar[str] = "tenant.disconnected"


class TenantRemoved(TenantFact):
    """The tenant has left Purser. Registered again for the same customer, it goes on as the same one."""

    TOPIC: ClassVar[str] = "tenant.removed"
