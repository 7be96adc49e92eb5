"""Tenants over HTTP: registered, added to a module, removed."""

from fastapi import APIRouter, Response
from pydantic import Field

from purser_common.identity import ROLES
from purser_common.web import CallerOf, CauseOf, Page, RequestOf, answer
from purser_events.tenant import Tenant
from tenant_connection_service.api.bodies import Body, Limit, TenantBody, answered, known
from tenant_connection_service.commands import tenants as commands
from tenant_connection_service.commands.ports import Office
from tenant_connection_service.commands.removal import remove_tenant
from tenant_connection_service.domain.consent import require_marketplace
from tenant_connection_service.views import Views


class RemovalBody(Body):
    """The word that says that a tenant really is to leave."""

    confirmation: str = Field(description="Exactly `Yes`.", max_length=100)


class CustomerTenants(Page[Tenant]):
    """A page of a customer's tenants."""

    missing_step: str | None = Field(
        default=None,
        description="With `addable_to`, when the customer has no tenant to add: how to register one.",
    )


def add(routes: APIRouter, office: Office, views: Views) -> None:
    """Add the routes of tenants."""
    _reads(routes, views)

    @routes.post("/v1/customers/{id}/tenants", operation_id="register_tenant", status_code=201)
    async def registered(
        id: str,
        body: TenantBody,
        caller: CallerOf,
        cause: CauseOf,
        keyed: RequestOf,
        response: Response,
    ) -> Tenant:
        """Register a customer's Microsoft 365 tenant; one that was removed comes back."""
        wanted = commands.Registration(body.entra_tenant_id, body.name, body.domain)
        loaded = await commands.register_tenant(office, id, wanted, caller, cause, keyed)
        response.headers["Location"] = f"/v1/tenants/{loaded.state.tenant.id}"
        return answered(response, loaded)

    @routes.put("/v1/marketplaces/{marketplace}/tenants/{id}", operation_id="add_tenant")
    async def added(
        marketplace: str, id: str, caller: CallerOf, cause: CauseOf, response: Response
    ) -> Tenant:
        """Add a tenant to a marketplace module; its consent is checked again."""
        loaded = await commands.add_tenant(office, marketplace, id, caller, cause)
        return answered(response, loaded)

    @routes.post("/v1/tenants/{id}/removals", operation_id="remove_tenant")
    async def removed(
        id: str,
        body: RemovalBody,
        caller: CallerOf,
        cause: CauseOf,
        keyed: RequestOf,
        response: Response,
    ) -> Tenant:
        """Remove a tenant altogether; its orders and records stay."""
        loaded = await remove_tenant(office, id, body.confirmation, caller, cause, keyed)
        return answered(response, loaded)


def _reads(routes: APIRouter, views: Views) -> None:
    @routes.get("/v1/customers/{id}/tenants", operation_id="list_customer_tenants")
    async def of_customer(
        id: str,
        caller: CallerOf,
        addable_to: str | None = None,
        cursor: str | None = None,
        limit: Limit = 50,
    ) -> CustomerTenants:
        """A customer's tenants, newest first; with `addable_to` those that may be added to it."""
        caller.require(*ROLES, customer=id)
        known(await views.customer(id))
        if addable_to is not None:
            require_marketplace(addable_to)
        page = CustomerTenants.model_validate(
            await views.customer_tenants(id, addable_to, cursor, limit)
        )
        if addable_to is not None and cursor is None and not page.items:
            page.missing_step = f"POST /v1/customers/{id}/tenants"
        return page

    @routes.get("/v1/tenants/{id}", operation_id="get_tenant")
    async def one(id: str, caller: CallerOf, response: Response) -> Tenant:
        """One tenant with its consent and connection."""
        document = known(await views.tenant(id))
        state = Tenant.model_validate(document["state"])
        caller.require(*ROLES, customer=state.customer_id, tenant=id)
        return answer(response, f"tenant/{id}", document["sequence"], state)
