"""Bulk: customers imported, tenants proposed, connections made; a row that fails stops no other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from purser_common.errors import Conflict, FieldError, Invalid, Problem, VersionConflict
from purser_common.identity import Caller
from purser_common.outbox import Request
from purser_common.telemetry import Cause
from purser_events.tenant import MarketplaceCustomer
from tenant_connection_service.commands.connection import (
    Target,
    connect_tenant,
    name_at_marketplace,
    require_reseller,
)
from tenant_connection_service.commands.customers import add_customer
from tenant_connection_service.commands.ports import STEWARDS, Office
from tenant_connection_service.commands.tenants import (
    Registration,
    add_tenant,
    register_tenant,
)
from tenant_connection_service.domain import bulk as rules
from tenant_connection_service.domain.bulk import Found, Proposal
from tenant_connection_service.domain.customers import require_active
from tenant_connection_service.domain.tenants import MARKETPLACES

AT_ONCE = 4
"""Rows that are worked on at a time."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class ImportRow:
    """A marketplace customer to import: as a new customer or as one that there is, with its tenant."""

    marketplace_customer_id: str
    customer_id: str | None
    tenant: Registration | None


@dataclass(frozen=True)
class Imported:
    """What became of a row."""

    outcome: str
    customer_id: str | None = None
    tenant_id: str | None = None
    problem: Problem | None = None


@dataclass(frozen=True)
class Connected:
    """What became of a row."""

    outcome: str
    problem: Problem | None = None


async def import_customers(
    office: Office,
    reseller_id: str,
    rows: Sequence[ImportRow],
    caller: Caller,
    cause: Cause,
    request: Request,
) -> list[Imported]:
    """Import customers of a reseller, each row for itself; what was imported before is found again.

    Raises Forbidden, Conflict for an unknown reseller, Unavailable before anything is done.
    """
    caller.require(*STEWARDS)
    await require_reseller(office, reseller_id, caller, cause)

    async def one(n: int, row: ImportRow) -> Imported:
        return await _import(office, reseller_id, row, caller, cause, _row(request, n))

    return await _each(
        rows,
        one,
        lambda row: row.marketplace_customer_id,
        lambda _, problem: Imported(rules.REFUSED, problem=problem),
    )


async def _import(
    office: Office,
    reseller_id: str,
    row: ImportRow,
    caller: Caller,
    cause: Cause,
    request: Request,
) -> Imported:
    outcome, customer_id = await _imported(office, reseller_id, row, caller, cause, request)
    if row.tenant is None:
        return Imported(outcome, customer_id)
    try:
        kept = await register_tenant(office, customer_id, row.tenant, caller, cause, request)
    except Conflict as problem:
        own = problem.members.get("customer_id") == customer_id
        if problem.code == "tenant_exists" and own:
            return Imported(outcome, customer_id, problem.members["tenant_id"])
        return Imported(rules.REFUSED, customer_id, problem=problem)
    except Invalid as problem:
        errors = tuple(FieldError(f"/tenant{e.pointer}", e.detail) for e in problem.errors)
        named = Invalid(problem.detail, code=problem.code, errors=errors)
        return Imported(rules.REFUSED, customer_id, problem=named)
    return Imported(rules.CREATED, customer_id, kept.state.tenant.id)


async def _imported(
    office: Office,
    reseller_id: str,
    row: ImportRow,
    caller: Caller,
    cause: Cause,
    request: Request,
) -> tuple[str, str]:
    """Whether the customer was created, and its id."""
    if row.customer_id is not None:
        require_active((await office.customers.load(row.customer_id)).state)
        return rules.EXISTS, row.customer_id
    source = MarketplaceCustomer(
        reseller_id=reseller_id, marketplace_customer_id=row.marketplace_customer_id
    )
    held = await office.customers.imported(reseller_id, row.marketplace_customer_id)
    if held is None:
        name = await name_at_marketplace(
            office, reseller_id, row.marketplace_customer_id, caller, cause
        )
        held = await add_customer(office, name, caller, cause, request, source)
    # the id of this row's own call: it may be repeated, and a row before it may be about the same
    own = held.state.id == request.id()
    return (rules.CREATED if own else rules.EXISTS), held.state.id


async def propose_connections(
    office: Office,
    reseller_id: str,
    marketplace_customer_ids: Sequence[str],
    caller: Caller,
    cause: Cause,
) -> list[Proposal]:
    """Which tenants belong to customers of a reseller, by the directory ids of their subscriptions.

    Nothing is changed. Raises Forbidden, Conflict for an unknown reseller, Unavailable.
    """
    caller.require(*STEWARDS)
    await require_reseller(office, reseller_id, caller, cause)

    async def one(_: int, id: str) -> list[Proposal]:
        name = await name_at_marketplace(office, reseller_id, id, caller, cause)
        found = Found(id, name, await office.marketplace.directories(reseller_id, id))
        entra = [directory.entra_tenant_id for directory in found.directories]
        registered = {
            managed.tenant.entra_tenant_id: managed
            for managed in (await office.tenants.registered(entra) if entra else [])
        }
        connected = await office.tenants.at(reseller_id, id)
        return rules.proposals(reseller_id, found, registered, connected)

    rows = await _each(
        list(dict.fromkeys(marketplace_customer_ids)),
        one,
        lambda id: id,
        lambda id, problem: [Proposal(id, None, reason=problem.code, detail=problem.detail)],
    )
    return [proposal for several in rows for proposal in several]


async def connect_tenants(
    office: Office,
    reseller_id: str,
    rows: Sequence[tuple[str, str]],
    caller: Caller,
    cause: Cause,
) -> list[Connected]:
    """Connect tenants to customers of a reseller, (tenant, marketplace customer) each.

    A tenant that is not in the module yet is added first, if its consent stands. Raises Forbidden,
    Conflict for an unknown reseller, Unavailable before anything is done.
    """
    caller.require(*STEWARDS)
    await require_reseller(office, reseller_id, caller, cause)

    async def one(_: int, row: tuple[str, str]) -> Connected:
        tenant_id, customer_id = row
        before = (await office.tenants.load(tenant_id)).state.tenant
        if not before.marketplaces:
            await add_tenant(office, MARKETPLACES[0], tenant_id, caller, cause)
        target = Target(reseller_id, customer_id)
        await connect_tenant(office, tenant_id, target, None, caller, cause)
        return Connected(rules.EXISTS if before.connection else rules.CONNECTED)

    return await _each(
        rows, one, lambda row: row[0], lambda _, problem: Connected(rules.REFUSED, problem)
    )


def _row(request: Request, n: int) -> Request:
    """A row's own keyed call: what it creates has the same id however often the whole is repeated."""
    return replace(request, operation=f"{request.operation} {n}")


async def _each(
    rows: Sequence[T],
    work: Callable[[int, T], Awaitable[R]],
    about: Callable[[T], str],
    refused: Callable[[T, Problem], R],
) -> list[R]:
    """What each row comes to, in their order: a few at a time, rows about the same one by one."""
    room, turns = asyncio.Semaphore(AT_ONCE), {about(row): asyncio.Lock() for row in rows}

    async def one(n: int, row: T) -> R:
        async with turns[about(row)], room:
            try:
                return await work(n, row)
            except Problem as problem:
                return refused(row, problem)
            except VersionConflict:
                busy = "somebody else is changing it; repeat this row"
                return refused(row, Conflict(busy, code="busy"))

    return list(await asyncio.gather(*(one(n, row) for n, row in enumerate(rows))))
