"""Calls to other services: signed, traced, and refused with the owner's own words."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
from opentelemetry.trace import SpanKind

from purser_common import telemetry
from purser_common.errors import (
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    Problem,
    Stale,
    Unavailable,
)
from purser_common.identity import Caller, InternalTokens
from purser_common.telemetry import Cause
from purser_common.web.app import CORRELATION

_PROBLEMS: dict[int, type[Problem]] = {
    400: Malformed,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Stale,
    422: Invalid,
}


class Transport(httpx.AsyncHTTPTransport):
    """HTTP over the network; whatever the network does is an httpx.HTTPError."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises httpx.HTTPError."""
        try:
            return await super().handle_async_request(request)
        except AttributeError as error:
            # uvloop has no socket to show any more when a connection is reset as it is made
            raise httpx.NetworkError("the connection was lost", request=request) from error


class Peer:
    """One other service, called in this service's name and, if any, on a caller's behalf."""

    def __init__(
        self, name: str, url: str, http: httpx.AsyncClient, tokens: InternalTokens
    ) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self._http = http
        self._tokens = tokens

    def headers(self, caller: Caller | None, cause: Cause | None) -> dict[str, str]:
        """What every call carries."""
        headers = {"Authorization": f"Bearer {self._tokens.mint(self.name, caller)}"}
        if cause is not None:
            headers[CORRELATION] = cause.correlation_id
        parent = telemetry.traceparent()
        if parent:
            headers[telemetry.TRACEPARENT] = parent
        return headers

    async def request(
        self,
        method: str,
        path: str,
        *,
        caller: Caller | None = None,
        cause: Cause | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        **body: Any,
    ) -> httpx.Response:
        """Make the call and return whatever was answered. Raises Unavailable without an answer."""
        with telemetry.span(f"{method} {self.name}", SpanKind.CLIENT):
            try:
                return await self._http.request(
                    method,
                    self.url + path,
                    headers={**self.headers(caller, cause), **(headers or {})},
                    timeout=timeout,
                    **body,
                )
            except httpx.HTTPError as error:
                raise Unavailable(
                    f"the {self.name} service is away", code=f"{_slug(self.name)}_unavailable"
                ) from error

    async def json(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of a 2xx answer; a refusal is raised in the owner's words, a 5xx as Unavailable."""
        answer = await self.request(method, path, **options)
        if answer.is_success:
            return answer.json()
        raise self._refusal(answer)

    def _refusal(self, answer: httpx.Response) -> Problem:
        kind = _PROBLEMS.get(answer.status_code)
        if kind is None:
            return Unavailable(
                f"the {self.name} service cannot answer", code=f"{_slug(self.name)}_unavailable"
            )
        body = answer.json()
        known = {"type", "title", "status", "code", "detail", "trace_id", "errors"}
        errors = tuple(FieldError(e["pointer"], e["detail"]) for e in body.get("errors", ()))
        members = {name: value for name, value in body.items() if name not in known}
        return kind(body["detail"], code=body["code"], errors=errors, **members)


class Signed:
    """Authenticates a marketplace client against the pass-through: each call is signed anew.

    `always` are headers that every call carries besides.
    """

    def __init__(self, peer: Peer, always: Mapping[str, str] | None = None) -> None:
        self._peer = peer
        self._always = dict(always or {})

    async def headers(self) -> dict[str, str]:
        """Headers for one call."""
        return self._peer.headers(None, None) | self._always

    async def renew(self, stale: dict[str, str]) -> bool:
        """There is no token to renew: a refusal stays one."""
        return False


def segment(id: str) -> str:
    """An opaque id as one segment of a path: `..` must not walk up to another resource."""
    return quote(id, safe="").replace(".", "%2E")


def _slug(name: str) -> str:
    return name.replace("-", "_")
