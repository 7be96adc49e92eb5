"""Routes that owners serve: authenticated here, authorized there."""

from fastapi import APIRouter, Request, Response

from gateway_service.api.entrance import Call, Entrance
from gateway_service.clients import CALLBACK, ROUTES, Owners, Route
from gateway_service.store import Answer


def router(entrance: Entrance, owners: Owners) -> APIRouter:
    """One route per row of the table."""
    routes = APIRouter()
    for route in ROUTES:
        _add(routes, entrance, owners, route)
    callback = Route("GET", CALLBACK, "tenant-connection", "consent_callback")

    @routes.get(CALLBACK, operation_id="consent_callback")
    async def consented(request: Request) -> Response:
        """Where Microsoft sends the administrator back to; guarded by its signed `state`."""
        answer = await owners.forward(
            callback, CALLBACK, request.url.query, request.headers, b"", None, None
        )
        return Response(answer.body, answer.status, answer.headers)

    return routes


def _add(routes: APIRouter, entrance: Entrance, owners: Owners, route: Route) -> None:
    async def passed_on(call: Call) -> Answer:
        return await owners.forward(
            route,
            route.at(call.request.path_params),
            call.request.url.query,
            call.request.headers,
            call.body,
            call.caller,
            call.cause,
            call.keyed.digest if call.keyed else None,
        )

    async def endpoint(request: Request) -> Response:
        return await entrance.serve(request, route.operation, passed_on)

    routes.add_api_route(
        route.path,
        endpoint,
        methods=[route.method],
        operation_id=route.operation,
        name=route.operation,
    )
