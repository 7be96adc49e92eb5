"""Many customers at once: what each row comes to, and which tenant a marketplace customer has.

A tenant is proposed by the directory id that the marketplace's subscriptions carry, never by a name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from purser_events.tenant import Tenant
from tenant_connection_service.domain.tenants import ManagedTenant

CREATED, CONNECTED, EXISTS, REFUSED = "created", "connected", "exists", "refused"


@dataclass(frozen=True)
class Directory:
    """A Microsoft tenant that a marketplace customer's subscriptions provision into."""

    entra_tenant_id: str
    domain: str | None = None


@dataclass(frozen=True)
class Found:
    """What the marketplace says of one customer, by a few of its subscriptions."""

    marketplace_customer_id: str
    name: str
    directories: tuple[Directory, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """A tenant for a marketplace customer, or why there is none to be connected yet."""

    marketplace_customer_id: str
    marketplace_customer_name: str | None
    entra_tenant_id: str | None = None
    domain: str | None = None
    tenant_id: str | None = None
    customer_id: str | None = None
    reason: str | None = None
    detail: str | None = None


NO_SUBSCRIPTION = "no_subscription", "no subscription of this customer names a Microsoft tenant"
UNREGISTERED = "tenant_not_registered", "register the Microsoft tenant first"
NOT_ADDED = "consent_required", "the tenant's administrator has to consent first"
CONNECTED_HERE = "connected", "the tenant is connected to this marketplace customer"
ELSEWHERE = "already_connected", "the tenant is connected to another marketplace customer"
TAKEN = "marketplace_customer_taken", "a tenant of another customer is connected to it"


def proposals(
    reseller_id: str,
    found: Found,
    registered: Mapping[str, ManagedTenant],
    connected: Sequence[Tenant],
) -> list[Proposal]:
    """One row for each Microsoft tenant of a marketplace customer; one with a reason when it has none.

    `registered` are tenants by directory id, `connected` those at this marketplace customer.
    """
    about = found.marketplace_customer_id, found.name
    if not found.directories:
        return [Proposal(*about, None, None, None, None, *NO_SUBSCRIPTION)]
    rows = []
    for one in found.directories:
        managed = registered.get(one.entra_tenant_id)
        if managed is None:
            rows.append(
                Proposal(*about, one.entra_tenant_id, one.domain, None, None, *UNREGISTERED)
            )
            continue
        tenant = managed.tenant
        why = _obstacle(reseller_id, found.marketplace_customer_id, tenant, connected)
        rows.append(
            Proposal(
                *about, one.entra_tenant_id, tenant.domain, tenant.id, tenant.customer_id, *why
            )
        )
    return rows


def _obstacle(
    reseller_id: str, customer_id: str, tenant: Tenant, connected: Sequence[Tenant]
) -> tuple[str | None, str | None]:
    tie = tenant.connection
    if tie is not None:
        here = (tie.reseller_id, tie.marketplace_customer_id) == (reseller_id, customer_id)
        return CONNECTED_HERE if here else ELSEWHERE
    if any(other.customer_id != tenant.customer_id for other in connected):
        return TAKEN
    if tenant.consent.status != "granted":
        return NOT_ADDED
    return None, None
