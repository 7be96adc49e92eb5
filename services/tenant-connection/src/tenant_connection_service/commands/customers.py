"""Customers: added, renamed, removed."""

from purser_common.errors import Stale, VersionConflict
from purser_common.identity import ROLES, Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from purser_events.tenant import Customer, MarketplaceCustomer
from tenant_connection_service.commands.ports import ATTEMPTS, STEWARDS, Office
from tenant_connection_service.domain import customers as rules

WHAT = "the customer"


async def add_customer(
    office: Office,
    name: str,
    caller: Caller,
    cause: Cause,
    request: Request,
    imported_from: MarketplaceCustomer | None = None,
) -> Loaded[Customer]:
    """Add a customer. Raises Forbidden, Invalid."""
    caller.require(*STEWARDS)
    customer, facts = rules.added_customer(request.id(), name, office.now(), imported_from)
    return await office.customers.insert(customer, facts, cause, request)


async def rename_customer(
    office: Office, id: str, name: str, expected: int, caller: Caller, cause: Cause
) -> Loaded[Customer]:
    """Give a customer another name. Raises NotFound, Forbidden, Stale, Invalid, Conflict."""
    loaded = await _managed(office, id, expected, caller)
    customer, facts = rules.renamed(loaded.state, name)
    if not facts:
        return loaded
    try:
        return await office.customers.save(loaded, customer, facts, cause)
    except VersionConflict as error:
        raise Stale(WHAT) from error


async def remove_customer(
    office: Office, id: str, expected: int, caller: Caller, cause: Cause
) -> Loaded[Customer]:
    """Remove a customer without tenants.

    A registration that comes in between has written the customer after its tenant was there: then the
    tenants are looked for again. Raises NotFound, Forbidden, Stale, Conflict naming the tenants.
    """
    for _ in range(ATTEMPTS):
        loaded = await _managed(office, id, expected, caller)
        customer, facts = rules.removed(loaded.state, await office.tenants.of_customer(id))
        if not facts:
            return loaded
        try:
            return await office.customers.save(loaded, customer, facts, cause)
        except VersionConflict:
            continue
    raise VersionConflict(id)


async def _managed(office: Office, id: str, expected: int, caller: Caller) -> Loaded[Customer]:
    caller.require(*ROLES, customer=id)
    loaded = await office.customers.load(id)
    caller.require(*STEWARDS)
    if loaded.state.status == rules.ACTIVE:
        loaded.must_be_at(expected, WHAT)
    return loaded
