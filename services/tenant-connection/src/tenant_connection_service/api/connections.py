"""The tie between a tenant and a marketplace customer over HTTP."""

from fastapi import APIRouter, Response

from purser_common.errors import FieldError, Invalid
from purser_common.web import CallerOf, CauseOf, confirmed, if_match
from purser_events.tenant import Tenant
from tenant_connection_service.api.bodies import Body, ConnectionBody, Id, answered
from tenant_connection_service.commands import connection as commands
from tenant_connection_service.commands.connection import NewTarget, Target
from tenant_connection_service.commands.ports import Office


class ConnectionPatch(Body):
    """What is to be different; a field that is left out stays."""

    reseller_id: Id | None = None
    marketplace_customer_id: Id | None = None


def add(routes: APIRouter, office: Office) -> None:
    """Add the routes of connections."""

    @routes.put("/v1/tenants/{id}/connection", operation_id="connect_tenant")
    async def connect(
        id: str,
        body: ConnectionBody,
        caller: CallerOf,
        cause: CauseOf,
        response: Response,
        expected: int = if_match,
    ) -> Tenant:
        """Connect a tenant to a customer of a reseller; its consent is checked again."""
        target = Target(body.reseller_id, body.marketplace_customer_id)
        loaded = await commands.connect_tenant(office, id, target, expected, caller, cause)
        return answered(response, loaded)

    @routes.patch("/v1/tenants/{id}/connection", operation_id="change_connection")
    async def change(
        id: str,
        body: ConnectionPatch,
        caller: CallerOf,
        cause: CauseOf,
        response: Response,
        expected: int = if_match,
    ) -> Tenant:
        """Connect a connected tenant to another reseller or marketplace customer."""
        target = _target(body)
        loaded = await commands.change_connection(office, id, target, expected, caller, cause)
        return answered(response, loaded)

    @routes.delete(
        "/v1/tenants/{id}/connection",
        operation_id="disconnect_tenant",
        dependencies=[confirmed],
    )
    async def disconnect(
        id: str, caller: CallerOf, cause: CauseOf, response: Response, expected: int = if_match
    ) -> Tenant:
        """Disconnect a tenant from the marketplace; it stays, and may be connected again."""
        loaded = await commands.disconnect_tenant(office, id, expected, caller, cause)
        return answered(response, loaded)


def _target(body: ConnectionPatch) -> NewTarget:
    cleared = [name for name in body.model_fields_set if getattr(body, name) is None]
    if cleared or not body.model_fields_set:
        pointers = cleared or list(ConnectionPatch.model_fields)
        raise Invalid(
            "name at least one field to change, with a value",
            errors=tuple(FieldError(f"/{name}", "give a value") for name in sorted(pointers)),
        )
    return NewTarget(body.reseller_id, body.marketplace_customer_id)
