"""Sending an order, exactly once, and saying what became of it (§6).

Nothing here repeats: no retry, no redirect, no renewal of a token. What cannot be told apart is
*unknown*, and only a listing or a person can settle it.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from pydantic import ValidationError

from purser_marketplace.answers import (
    LARGEST_ANSWER,
    conflict_order_number,
    correlation_id,
    message_of,
    parse_object,
    retry_after,
)
from purser_marketplace.errors import BadAnswer
from purser_marketplace.models import Order

_CONNECT_WITHIN = 5.0
_WRITE_WITHIN = 10.0
_BEFORE_ANY_BYTE = (httpx.ConnectError, httpx.ConnectTimeout, AttributeError)
"""uvloop has no socket to show any more when a connection is reset as it is made: AttributeError."""
_REFUSED_FOR_NOW = frozenset({401, 403, 429})
_REFUSED_FOR_GOOD = frozenset({400, 404, 422})


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one send.

    `no`: no byte of the request left. `yes`: an HTTP answer was read; `status` and `body` are it.
    `unknown`: everything else. `retry_after` is in seconds.
    """

    outcome: Literal["no", "yes", "unknown"]
    status: int | None = None
    body: bytes = b""
    error: str | None = None
    correlation_id: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """The order exists; unreadable fields other than its id are left out."""

    order: Order


@dataclass(frozen=True, slots=True)
class DefinitelyRefused:
    """No order was made. `retryable`: the cause is the account's state, not the order."""

    retryable: bool
    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """There may be an order. `conflict_order_number` is one the answer names, evidence to follow."""

    reason: str
    conflict_order_number: str | None = None


Placing = Placed | DefinitelyRefused | Ambiguous


async def send_order_once(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    answer_within: float = 180.0,
    tls: ssl.SSLContext | None = None,
    on_sent: Callable[[], None] | None = None,
) -> Sent:
    """One POST on a connection of its own; the answer may take `answer_within` seconds.

    `on_sent` is told when the whole request has left, before an answer is waited for.
    Never raises for what the network or the marketplace does. When the calling task is cancelled
    the cancellation is passed on, and the outcome is to be taken as unknown.
    """
    sending = _Sending(on_sent)
    try:
        async with asyncio.timeout(_CONNECT_WITHIN + answer_within):
            return await sending.post(url, headers, body, answer_within, tls)
    except (
        httpx.HTTPError,
        httpx.InvalidURL,
        httpx.StreamError,
        OSError,
        UnicodeError,
        AttributeError,
    ) as error:
        not_sent = isinstance(error, _BEFORE_ANY_BYTE) and not sending.begun
        return Sent("no" if not_sent else "unknown", error=type(error).__name__)


class _Sending:
    """Watches one request, so that an error can be told from before and after the first byte."""

    def __init__(self, on_sent: Callable[[], None] | None) -> None:
        self.begun = False
        self._on_sent = on_sent

    async def watch(self, event: str, _info: Mapping[str, Any]) -> None:
        if event == "http11.send_request_headers.started":
            self.begun = True
        elif event == "http11.send_request_body.complete" and self._on_sent is not None:
            self._on_sent()

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        answer_within: float,
        tls: ssl.SSLContext | None,
    ) -> Sent:
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                verify=tls or True,
                trust_env=False,
                retries=0,
                http2=False,
                limits=httpx.Limits(max_connections=1, max_keepalive_connections=0),
            ),
            timeout=httpx.Timeout(
                connect=_CONNECT_WITHIN, write=_WRITE_WITHIN, read=answer_within, pool=5.0
            ),
            follow_redirects=False,
            trust_env=False,
        ) as http:
            fixed = {
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "Connection": "close",
            }
            given = {name.casefold() for name in headers}
            sent_headers = dict(headers) | {
                name: value for name, value in fixed.items() if name.casefold() not in given
            }
            async with http.stream(
                "POST",
                url,
                headers=sent_headers,
                content=body,
                extensions={"trace": self.watch},
            ) as response:
                return await _answer(response)


async def _answer(response: httpx.Response) -> Sent:
    body, error = bytearray(), None
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            # The status is what decides; the rest of such a body would not be read anyway.
            body, error = bytearray(body[:LARGEST_ANSWER]), "the answer is over 2 MiB"
            break
    return Sent(
        "yes",
        status=response.status_code,
        body=bytes(body),
        error=error,
        correlation_id=correlation_id(response.headers, bytes(body)),
        retry_after=retry_after(response.headers),
    )


def classify(status: int, body: bytes) -> Placing:
    """What an answer of POST /orders proves: an order, no order, or nothing."""
    if 200 <= status < 300:
        return _placed(body)
    if status in _REFUSED_FOR_NOW or status in _REFUSED_FOR_GOOD:
        return DefinitelyRefused(status in _REFUSED_FOR_NOW, status, message_of(body))
    return Ambiguous(f"{status}: {message_of(body)}", conflict_order_number(body))


def _placed(body: bytes) -> Placing:
    try:
        fields = parse_object(body)
    except BadAnswer as error:
        return Ambiguous(f"a 2xx answer without an order: {error.message}")
    try:
        return Placed(Order.model_validate(fields))
    except ValidationError as error:
        unreadable = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
        readable = {name: value for name, value in fields.items() if name not in unreadable}
    except RecursionError:
        readable = {"id": fields.get("id")}
    try:
        return Placed(Order.model_validate(readable))
    except ValidationError:
        return Ambiguous("a 2xx answer without an order id")
