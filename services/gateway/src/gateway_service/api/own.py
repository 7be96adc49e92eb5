"""What the gateway answers itself: who am I, and role assignments."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway_service.api.entrance import Call, Entrance
from gateway_service.commands import grant_role, revoke_role
from gateway_service.store import Answer, Assignments
from gateway_service.views import Views
from purser_common.errors import FieldError, Invalid, Malformed
from purser_common.outbox import Loaded
from purser_common.web import Page
from purser_common.web.requests import IfMatch, etag_of, expected
from purser_events.access import RoleAssignment

_JSON = {"content-type": "application/json"}


class RoleAssignmentBody(BaseModel):
    """A role to give."""

    model_config = ConfigDict(extra="forbid")

    principal: str
    role: str
    scope: str


class HeldRole(BaseModel):
    """A role that somebody holds."""

    role: str
    scope: str


class Me(BaseModel):
    """The caller as the gateway knows it."""

    subject: str = Field(description="`user:…` or `client:…`.")
    name: str
    roles: list[HeldRole]


class ListedAssignment(RoleAssignment):
    """A role assignment with what `If-Match` takes."""

    etag: str


def router(
    entrance: Entrance, assignments: Assignments, views: Views, now: Callable[[], datetime]
) -> APIRouter:
    """The gateway's own routes."""
    routes = APIRouter()
    _add_reads(routes, entrance, views)
    _add_assignments(routes, entrance, assignments, now)
    return routes


def _add_reads(routes: APIRouter, entrance: Entrance, views: Views) -> None:
    @routes.get("/v1/me", operation_id="get_me", responses={200: {"model": Me}})
    async def me(request: Request) -> Response:
        """The caller as the gateway knows it, with its roles."""

        async def tell(call: Call) -> Answer:
            grants = [{"role": g.role, "scope": g.scope} for g in call.caller.grants]
            return json_answer({"subject": call.caller.subject, "name": call.name, "roles": grants})

        return await entrance.serve(request, "get_me", tell)

    @routes.get(
        "/v1/role-assignments",
        operation_id="list_role_assignments",
        responses={200: {"model": Page[ListedAssignment]}},
    )
    async def listed(
        request: Request,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """Role assignments, newest first."""

        async def tell(call: Call) -> Answer:
            call.caller.require("platform_admin")
            return json_answer(await views.assignments(cursor, limit))

        return await entrance.serve(request, "list_role_assignments", tell)


def _add_assignments(
    routes: APIRouter,
    entrance: Entrance,
    assignments: Assignments,
    now: Callable[[], datetime],
) -> None:
    @routes.post(
        "/v1/role-assignments",
        operation_id="grant_role",
        status_code=201,
        responses={201: {"model": RoleAssignment}},
        openapi_extra=_body_of(RoleAssignmentBody),
    )
    async def grant(request: Request) -> Response:
        """Give a role; it counts from the next call on."""

        async def do(call: Call) -> Answer:
            call.caller.require("platform_admin")
            body = _body(call.body)
            loaded = await grant_role(
                assignments, body.principal, body.role, body.scope, call.cause, now(), call.keyed
            )
            return _state(loaded, 201)

        return await entrance.serve(request, "grant_role", do)

    @routes.delete(
        "/v1/role-assignments/{id}",
        operation_id="revoke_role",
        responses={200: {"model": RoleAssignment}},
    )
    async def revoke(
        id: str, request: Request, confirm: str = "", condition: IfMatch = None
    ) -> Response:
        """Take a role away; it counts from the next call on."""

        async def do(call: Call) -> Answer:
            call.caller.require("platform_admin")
            meant = confirm.lower() == "true"
            revoked = await revoke_role(assignments, id, expected(condition), meant, call.cause)
            return _state(revoked, 200)

        return await entrance.serve(request, "revoke_role", do)


def _body_of(model: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a body that is read by hand: within the record of what was asked."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def _body(raw: bytes) -> RoleAssignmentBody:
    try:
        return RoleAssignmentBody.model_validate_json(raw)
    except ValidationError as error:
        found = error.errors()
        if found[0]["type"] == "json_invalid":
            raise Malformed("the body is not valid JSON", code="malformed_json") from error
        fields = (FieldError("/" + "/".join(map(str, e["loc"])), e["msg"]) for e in found)
        raise Invalid("a value is wrong; see errors", errors=tuple(fields)) from error


def json_answer(body: Any, status: int = 200) -> Answer:
    """A body as the gateway's own answer."""
    return Answer(status, dict(_JSON), json.dumps(body).encode())


def _state(loaded: Loaded[RoleAssignment], status: int) -> Answer:
    headers = {
        **_JSON,
        "etag": etag_of(loaded.sequence),
        "purser-subject": f"role-assignment/{loaded.state.id}",
    }
    return Answer(status, headers, loaded.state.model_dump_json().encode())
