"""Many customers in one call over HTTP: a result for each row."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from purser_common.errors import Problem
from purser_common.web import CallerOf, CauseOf, RequestOf
from tenant_connection_service.api.bodies import Body, Id, TenantBody
from tenant_connection_service.commands import bulk as commands
from tenant_connection_service.commands.bulk import Imported, ImportRow
from tenant_connection_service.commands.ports import Office
from tenant_connection_service.commands.tenants import Registration
from tenant_connection_service.domain.bulk import Proposal

MOST_IMPORTED, MOST_PROPOSED, MOST_CONNECTED = 200, 25, 50


class CustomerImportRow(Body):
    """A marketplace customer to import."""

    marketplace_customer_id: Id
    customer_id: Id | None = Field(
        default=None, description="A customer that there is; else one is added with its name there."
    )
    tenant: TenantBody | None = Field(
        default=None, description="The customer's Microsoft 365 tenant, to register as well."
    )


class CustomerImportBody(Body):
    """Customers of a reseller to import."""

    reseller_id: Id
    rows: Annotated[list[CustomerImportRow], Field(min_length=1, max_length=MOST_IMPORTED)]


class ProposalBody(Body):
    """Customers of a reseller whose tenants are looked for."""

    reseller_id: Id
    marketplace_customer_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_PROPOSED)]


class ConnectionRow(Body):
    """A tenant and the marketplace customer that it is."""

    tenant_id: Id
    marketplace_customer_id: Id


class ConnectionsBody(Body):
    """Tenants to connect to customers of a reseller."""

    reseller_id: Id
    rows: Annotated[list[ConnectionRow], Field(min_length=1, max_length=MOST_CONNECTED)]


class RowError(BaseModel):
    """One wrong field of a row."""

    pointer: str
    detail: str


class RowProblem(BaseModel):
    """Why a row was refused, as the same call for that row alone would have said it."""

    model_config = ConfigDict(extra="allow")

    status: int
    code: str
    detail: str
    errors: list[RowError]


class ImportResult(BaseModel):
    """What became of a row."""

    marketplace_customer_id: str
    outcome: str = Field(description="`created`, `exists` or `refused`.")
    customer_id: str | None
    tenant_id: str | None
    problem: RowProblem | None


class ImportResults(BaseModel):
    """One result for each row, in their order."""

    rows: list[ImportResult]


class ConnectionProposal(BaseModel):
    """A tenant for a marketplace customer, or why none can be connected yet."""

    marketplace_customer_id: str
    marketplace_customer_name: str | None
    entra_tenant_id: str | None = Field(description="As the subscriptions' `ms_customer_id` says.")
    domain: str | None
    tenant_id: str | None
    customer_id: str | None
    reason: str | None = Field(description="Absent: may be connected. Else what stands in the way.")
    detail: str | None


class ConnectionProposals(BaseModel):
    """One row for each Microsoft tenant of the customers, in their order."""

    rows: list[ConnectionProposal]


class ConnectionResult(BaseModel):
    """What became of a row."""

    tenant_id: str
    marketplace_customer_id: str
    outcome: str = Field(description="`connected`, `exists` or `refused`.")
    problem: RowProblem | None


class ConnectionResults(BaseModel):
    """One result for each row, in their order."""

    rows: list[ConnectionResult]


def add(routes: APIRouter, office: Office) -> None:
    """Add the routes for many customers at once."""

    @routes.post("/v1/customer-imports", operation_id="import_customers")
    async def imported(
        body: CustomerImportBody, caller: CallerOf, cause: CauseOf, keyed: RequestOf
    ) -> ImportResults:
        """Import customers of a reseller; a row that is refused stops no other."""
        rows = [_row(row) for row in body.rows]
        found = await commands.import_customers(
            office, body.reseller_id, rows, caller, cause, keyed
        )
        results = [
            _imported(n, row, result)
            for n, (row, result) in enumerate(zip(rows, found, strict=True))
        ]
        return ImportResults(rows=results)

    @routes.post("/v1/connection-proposals", operation_id="propose_connections")
    async def proposed(
        body: ProposalBody, caller: CallerOf, cause: CauseOf, _: RequestOf
    ) -> ConnectionProposals:
        """Which tenants customers of a reseller have, by what the marketplace says; nothing changes."""
        found = await commands.propose_connections(
            office, body.reseller_id, body.marketplace_customer_ids, caller, cause
        )
        return ConnectionProposals(rows=[_proposal(one) for one in found])

    @routes.post("/v1/tenant-connections", operation_id="connect_tenants")
    async def connected(
        body: ConnectionsBody, caller: CallerOf, cause: CauseOf, _: RequestOf
    ) -> ConnectionResults:
        """Connect tenants to customers of a reseller; a row that is refused stops no other."""
        rows = [(row.tenant_id, row.marketplace_customer_id) for row in body.rows]
        found = await commands.connect_tenants(office, body.reseller_id, rows, caller, cause)
        results = [
            ConnectionResult(
                tenant_id=tenant_id,
                marketplace_customer_id=customer_id,
                outcome=result.outcome,
                problem=_problem(n, result.problem),
            )
            for n, ((tenant_id, customer_id), result) in enumerate(zip(rows, found, strict=True))
        ]
        return ConnectionResults(rows=results)


def _row(row: CustomerImportRow) -> ImportRow:
    named = row.tenant
    tenant = Registration(named.entra_tenant_id, named.name, named.domain) if named else None
    return ImportRow(row.marketplace_customer_id, row.customer_id, tenant)


def _imported(n: int, row: ImportRow, result: Imported) -> ImportResult:
    return ImportResult(
        marketplace_customer_id=row.marketplace_customer_id,
        outcome=result.outcome,
        customer_id=result.customer_id,
        tenant_id=result.tenant_id,
        problem=_problem(n, result.problem),
    )


def _proposal(proposal: Proposal) -> ConnectionProposal:
    return ConnectionProposal.model_validate(vars(proposal))


def _problem(n: int, problem: Problem | None) -> RowProblem | None:
    if problem is None:
        return None
    errors = [
        {"pointer": f"/rows/{n}{one.pointer}", "detail": one.detail} for one in problem.errors
    ]
    told: dict[str, Any] = {
        **problem.members,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "errors": errors,
    }
    return RowProblem.model_validate(told)
