"""Customers of the MSP."""

from collections.abc import Sequence
from datetime import datetime

from purser_common.errors import Conflict
from purser_events.envelope import Change, Fact
from purser_events.tenant import (
    Customer,
    CustomerAdded,
    CustomerRemoved,
    CustomerUpdated,
    MarketplaceCustomer,
)
from tenant_connection_service.domain.names import named

ACTIVE, REMOVED = "active", "removed"
NAMED_TENANTS = 20
"""As many tenants a refusal names."""

Decision = tuple[Customer, tuple[Fact, ...]]


def added_customer(
    id: str, name: str, now: datetime, imported_from: MarketplaceCustomer | None = None
) -> Decision:
    """A new customer. Raises Invalid for an empty or over-long name."""
    customer = Customer(id=id, name=named(name), added_at=now, imported_from=imported_from)
    changes = (Change(pointer="/name", after=customer.name),)
    return customer, (CustomerAdded(state=customer, changes=changes),)


def renamed(customer: Customer, name: str) -> Decision:
    """Another name; the same one changes nothing. Raises Invalid, Conflict for a removed customer."""
    require_active(customer)
    after = customer.model_copy(update={"name": named(name)})
    if after == customer:
        return customer, ()
    change = Change(pointer="/name", before=customer.name, after=after.name)
    return after, (CustomerUpdated(state=after, changes=(change,)),)


def removed(customer: Customer, tenants: Sequence[dict[str, str]]) -> Decision:
    """The customer is gone; removing it again changes nothing. Raises Conflict naming its tenants."""
    if customer.status == REMOVED:
        return customer, ()
    if tenants:
        raise Conflict(
            "the customer has tenants; remove them first",
            code="customer_has_tenants",
            missing_step=f"POST /v1/tenants/{tenants[0]['id']}/removals",
            tenants=list(tenants[:NAMED_TENANTS]),
        )
    after = customer.model_copy(update={"status": REMOVED})
    change = Change(pointer="/status", before=ACTIVE, after=REMOVED)
    return after, (CustomerRemoved(state=after, changes=(change,)),)


def require_active(customer: Customer) -> None:
    """Raises Conflict for a customer that was removed."""
    if customer.status == REMOVED:
        raise Conflict(
            "the customer was removed; add it again",
            code="customer_removed",
            missing_step="POST /v1/customers",
        )
