"""Routes that owners serve: authenticated here, authorized there."""

import json

from fastapi import APIRouter, Request, Response

from gateway_service.api.entrance import Call, Entrance, Handle
from gateway_service.clients import CALLBACK, IN_TIME, MODELLED, ROUTES, Owners, Route
from gateway_service.store import Answer
from gateway_service.views import Views
from purser_common.errors import Unavailable
from purser_common.mongo import Document
from purser_common.web import etag_of

UNKNOWN = {"license-change-request": ("execution",)}
"""Aggregate → what its owner's page has and the model does not: null when the model stands in."""


def router(entrance: Entrance, owners: Owners, views: Views) -> APIRouter:
    """One route per row of the table."""
    routes = APIRouter()
    for route in ROUTES:
        if route.operation in MODELLED:
            _add(routes, entrance, route, _shown_anyway(owners, views, route))
        else:
            _add(routes, entrance, route, _passed_on(owners, route))
    callback = Route("GET", CALLBACK, "tenant-connection", "consent_callback")

    @routes.get(CALLBACK, operation_id="consent_callback")
    async def consented(request: Request) -> Response:
        """Where Microsoft sends the administrator back to; guarded by its signed `state`."""
        answer = await owners.forward(
            callback, CALLBACK, request.url.query, request.headers, b"", None, None
        )
        return Response(answer.body, answer.status, answer.headers)

    return routes


def _add(routes: APIRouter, entrance: Entrance, route: Route, handle: Handle) -> None:
    async def endpoint(request: Request) -> Response:
        return await entrance.serve(request, route.operation, handle)

    routes.add_api_route(
        route.path,
        endpoint,
        methods=[route.method],
        operation_id=route.operation,
        name=route.operation,
    )


def _passed_on(owners: Owners, route: Route, within: float = 30.0) -> Handle:
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
            within,
        )

    return passed_on


def _shown_anyway(owners: Owners, views: Views, route: Route) -> Handle:
    """The owner's answer, else what the model has, marked stale (design §6).

    Who asks for a refresh gets the owner's own word, however long that takes.
    """
    forced, timely = _passed_on(owners, route), _passed_on(owners, route, IN_TIME)
    aggregate = MODELLED[route.operation]

    async def shown(call: Call) -> Answer:
        if call.request.query_params.get("refresh"):
            return await forced(call)
        known = None
        try:
            answer = await timely(call)
        except Unavailable:
            known = await views.one(call.caller, aggregate, call.request.path_params["id"])
            if known is None:
                raise
        else:
            if answer.status >= 500:
                known = await views.one(call.caller, aggregate, call.request.path_params["id"])
        return answer if known is None else _stale(known, aggregate)

    return shown


def _stale(known: Document, aggregate: str) -> Answer:
    headers = {
        "content-type": "application/json",
        "etag": etag_of(known["sequence"]),
        "purser-read-at": known["at"].isoformat(),
        "purser-stale": "true",
    }
    body = {**known["state"], **dict.fromkeys(UNKNOWN.get(aggregate, ()))}
    return Answer(200, headers, json.dumps(body).encode())
