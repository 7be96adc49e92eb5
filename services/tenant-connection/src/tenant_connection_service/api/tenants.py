"""Customers and their tenants, from registration to connection."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from purser_common.errors import NotFound
from purser_common.identity import ROLES
from purser_common.mongo import Document
from purser_common.outbox import Loaded
from purser_common.web import CallerOf, CauseOf, Page, RequestOf, answer, if_match
from purser_events.tenant import Customer, Tenant
from tenant_connection_service import commands
from tenant_connection_service.commands import Office
from tenant_connection_service.domain import PERMISSIONS, ManagedTenant
from tenant_connection_service.views import Views

Limit = Annotated[int, Query(ge=1, le=200)]


class Body(BaseModel):
    """What a caller sends; an unknown field is an error that names it."""

    model_config = ConfigDict(extra="forbid")


class CustomerBody(Body):
    """A customer to add."""

    name: str = Field(examples=["Northwind Traders"])


class TenantBody(Body):
    """A Microsoft 365 tenant to register."""

    entra_tenant_id: str = Field(description="The directory (tenant) id, a GUID.")
    name: str
    domain: str


class ConnectionBody(Body):
    """What the tenant is connected to."""

    reseller_id: Annotated[str, Field(min_length=1, max_length=100)]
    marketplace_customer_id: Annotated[str, Field(min_length=1, max_length=100)]


class ConsentRequestBody(Body):
    """Nothing is to be chosen."""


class ConsentRequested(BaseModel):
    """Where the tenant's administrator is sent, and what is asked for."""

    tenant: Tenant
    authorization_url: str
    permissions: list[str]
    expires_at: datetime


def router(office: Office, views: Views) -> APIRouter:
    """The routes of customers and tenants."""
    routes = APIRouter()
    _add_customers(routes, office, views)
    _add_tenants(routes, office, views)
    _add_steps(routes, office)
    return routes


def _add_customers(routes: APIRouter, office: Office, views: Views) -> None:
    @routes.post("/v1/customers", operation_id="add_customer", status_code=201)
    async def add(
        body: CustomerBody, caller: CallerOf, cause: CauseOf, keyed: RequestOf, response: Response
    ) -> Customer:
        """Add a customer of the MSP."""
        loaded = await commands.add_customer(office, body.name, caller, cause, keyed)
        response.headers["Location"] = f"/v1/customers/{loaded.state.id}"
        return answer(response, f"customer/{loaded.state.id}", loaded.sequence, loaded.state)

    @routes.get("/v1/customers/{id}", operation_id="get_customer")
    async def one(id: str, caller: CallerOf, response: Response) -> Customer:
        """One customer."""
        caller.require(*ROLES, customer=id)
        document = _known(await views.customer(id))
        state = Customer.model_validate(document["state"])
        return answer(response, f"customer/{id}", document["sequence"], state)


def _add_tenants(routes: APIRouter, office: Office, views: Views) -> None:
    @routes.post("/v1/customers/{id}/tenants", operation_id="register_tenant", status_code=201)
    async def register(
        id: str,
        body: TenantBody,
        caller: CallerOf,
        cause: CauseOf,
        keyed: RequestOf,
        response: Response,
    ) -> Tenant:
        """Register a customer's Microsoft 365 tenant."""
        loaded = await commands.register_tenant(
            office, id, body.entra_tenant_id, body.name, body.domain, caller, cause, keyed
        )
        response.headers["Location"] = f"/v1/tenants/{loaded.state.tenant.id}"
        return _answered(response, loaded)

    @routes.get("/v1/customers/{id}/tenants", operation_id="list_customer_tenants")
    async def of_customer(
        id: str, caller: CallerOf, cursor: str | None = None, limit: Limit = 50
    ) -> Page[Tenant]:
        """A customer's tenants, newest first."""
        caller.require(*ROLES, customer=id)
        _known(await views.customer(id))
        return Page[Tenant].model_validate(await views.customer_tenants(id, cursor, limit))

    @routes.get("/v1/tenants/{id}", operation_id="get_tenant")
    async def one(id: str, caller: CallerOf, response: Response) -> Tenant:
        """One tenant with its consent and connection."""
        document = _known(await views.tenant(id))
        state = Tenant.model_validate(document["state"])
        caller.require(*ROLES, customer=state.customer_id, tenant=id)
        return answer(response, f"tenant/{id}", document["sequence"], state)


def _add_steps(routes: APIRouter, office: Office) -> None:
    @routes.post(
        "/v1/tenants/{id}/consent-requests", operation_id="request_consent", status_code=201
    )
    async def consent(
        id: str,
        body: ConsentRequestBody,
        caller: CallerOf,
        cause: CauseOf,
        keyed: RequestOf,
        response: Response,
    ) -> ConsentRequested:
        """Begin the consent; send the tenant's administrator to `authorization_url`."""
        asked = await commands.request_consent(office, id, caller, cause, keyed)
        tenant = _answered(response, asked.loaded)
        return ConsentRequested(
            tenant=tenant,
            authorization_url=asked.authorization_url,
            permissions=list(PERMISSIONS),
            expires_at=asked.expires_at,
        )

    @routes.put("/v1/marketplaces/{marketplace}/tenants/{id}", operation_id="add_tenant")
    async def add(
        marketplace: str, id: str, caller: CallerOf, cause: CauseOf, response: Response
    ) -> Tenant:
        """Add a tenant to a marketplace module; its consent is checked again."""
        loaded = await commands.add_tenant(office, marketplace, id, caller, cause)
        return _answered(response, loaded)

    @routes.put("/v1/tenants/{id}/connection", operation_id="connect_tenant")
    async def connect(
        id: str,
        body: ConnectionBody,
        caller: CallerOf,
        cause: CauseOf,
        response: Response,
        expected: int = if_match,
    ) -> Tenant:
        """Connect a tenant to a customer of a reseller."""
        loaded = await commands.connect_tenant(
            office, id, body.reseller_id, body.marketplace_customer_id, expected, caller, cause
        )
        return _answered(response, loaded)


def _known(document: Document | None) -> Document:
    if document is None:
        raise NotFound("there is no such object, or it is not yours to see")
    return document


def _answered(response: Response, loaded: Loaded[ManagedTenant]) -> Tenant:
    tenant = loaded.state.tenant
    return answer(response, f"tenant/{tenant.id}", loaded.sequence, tenant)
