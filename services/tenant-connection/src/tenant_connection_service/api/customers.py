"""Customers over HTTP."""

from fastapi import APIRouter, Response
from pydantic import Field

from purser_common.identity import ROLES
from purser_common.outbox import Loaded
from purser_common.web import CallerOf, CauseOf, RequestOf, answer, confirmed, if_match
from purser_events.tenant import Customer
from tenant_connection_service.api.bodies import Body, known
from tenant_connection_service.commands import customers as commands
from tenant_connection_service.commands.ports import Office
from tenant_connection_service.views import Views


class CustomerBody(Body):
    """A customer to add, or its new name."""

    name: str = Field(examples=["Northwind Traders"])


def add(routes: APIRouter, office: Office, views: Views) -> None:
    """Add the routes of customers."""
    _reads(routes, views)

    @routes.post("/v1/customers", operation_id="add_customer", status_code=201)
    async def added(
        body: CustomerBody, caller: CallerOf, cause: CauseOf, keyed: RequestOf, response: Response
    ) -> Customer:
        """Add a customer of the MSP."""
        loaded = await commands.add_customer(office, body.name, caller, cause, keyed)
        response.headers["Location"] = f"/v1/customers/{loaded.state.id}"
        return _answered(response, loaded)

    @routes.patch("/v1/customers/{id}", operation_id="change_customer")
    async def changed(
        id: str,
        body: CustomerBody,
        caller: CallerOf,
        cause: CauseOf,
        response: Response,
        expected: int = if_match,
    ) -> Customer:
        """Rename a customer."""
        loaded = await commands.rename_customer(office, id, body.name, expected, caller, cause)
        return _answered(response, loaded)

    @routes.delete("/v1/customers/{id}", operation_id="remove_customer", dependencies=[confirmed])
    async def removed(
        id: str, caller: CallerOf, cause: CauseOf, response: Response, expected: int = if_match
    ) -> Customer:
        """Remove a customer that has no tenants."""
        loaded = await commands.remove_customer(office, id, expected, caller, cause)
        return _answered(response, loaded)


def _reads(routes: APIRouter, views: Views) -> None:
    @routes.get("/v1/customers/{id}", operation_id="get_customer")
    async def one(id: str, caller: CallerOf, response: Response) -> Customer:
        """One customer."""
        caller.require(*ROLES, customer=id)
        document = known(await views.customer(id))
        state = Customer.model_validate(document["state"])
        return answer(response, f"customer/{id}", document["sequence"], state)


def _answered(response: Response, loaded: Loaded[Customer]) -> Customer:
    return answer(response, f"customer/{loaded.state.id}", loaded.sequence, loaded.state)
