"""The FastAPI application of a service: limits, correlation, telemetry, metrics, health."""

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from opentelemetry.trace import SpanKind
from prometheus_client import CONTENT_TYPE_LATEST, Histogram, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from purser_common import logs, telemetry
from purser_common.web import problems

CORRELATION = "purser-correlation-id"
MAX_BODY = 1024 * 1024

_log = logs.get(__name__)
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_duration = Histogram(
    "http_request_duration_seconds", "Time to answer.", ["method", "route", "status"]
)


class Correlation:
    """Gives every request a correlation id and a span under the caller's trace; logs and counts it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        given = headers.get(CORRELATION, "")
        correlation = given if _CORRELATION_ID.fullmatch(given) else str(uuid.uuid4())
        scope.setdefault("state", {})["correlation_id"] = correlation
        status, begun = 500, False

        async def tell(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                message["headers"] = [
                    *message["headers"],
                    (CORRELATION.encode(), correlation.encode()),
                ]
            await send(message)

        started = time.perf_counter()
        name = f"{scope['method']} {scope['path']}"
        with (
            structlog.contextvars.bound_contextvars(correlation_id=correlation),
            telemetry.continued(name, headers.get(telemetry.TRACEPARENT), SpanKind.SERVER),
        ):
            try:
                answering = self._app if _fits(headers) else problems.body_too_large()
                await answering(scope, _limited(receive), tell)
            except asyncio.CancelledError:
                # only a server that ends cancels, once it has waited as long as it may
                if begun:
                    raise
                await problems.stopping()(scope, receive, tell)
            finally:
                self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        _duration.labels(scope["method"], route, str(status)).observe(seconds)
        if not route.startswith(("/health", "/metrics")):
            _log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                milliseconds=round(seconds * 1000, 1),
            )


def _fits(headers: dict[str, str]) -> bool:
    """Whether the stated length is within the limit; a body without one is counted as it comes.

    Starlette's own limit answers in plain text, whatever the application's handlers say.
    """
    stated = headers.get("content-length", "")
    return not stated.isdecimal() or int(stated) <= MAX_BODY


def _limited(receive: Receive) -> Receive:
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY:
            raise HTTPException(413)
        return message

    return counted


def build(
    title: str,
    description: str,
    *,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    ready: Callable[[], Awaitable[dict[str, Any]]],
    **options: Any,
) -> FastAPI:
    """An application with Purser's limits and manners. `ready` raises Unavailable while it is not."""
    app = FastAPI(
        title=title,
        description=description,
        version="1",
        lifespan=lifespan,
        # Correlation makes the one span of a request; FastAPI's own would repeat it.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
        responses={"4XX": {"model": problems.ProblemDocument, "description": "Refused"}},
        redoc_url=None,
        **options,
    )
    app.add_middleware(Correlation)
    problems.install(app)

    @app.get("/health/live", include_in_schema=False)
    async def live() -> JSONResponse:
        return JSONResponse({"status": "live"})

    @app.get("/health/ready", include_in_schema=False)
    async def is_ready() -> JSONResponse:
        return JSONResponse({"status": "ready", **await ready()})

    @app.get("/metrics", include_in_schema=False)
    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app
