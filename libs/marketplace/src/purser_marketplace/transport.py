"""One HTTP exchange for everything but placing orders: no redirects, no cookies, a bounded answer."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from purser_marketplace.answers import LARGEST_ANSWER
from purser_marketplace.errors import BadAnswer, Unreachable

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
    UnicodeError,
)


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer: its status, its headers in lower case, its bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


async def exchange(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    answer_within: float,
    name: str,
    query: Mapping[str, str] | None = None,
    json_body: Any = None,
) -> Answered:
    """Sends one request and reads its whole answer within `answer_within` seconds.

    Raises Unreachable, or BadAnswer when the answer is over 2 MiB. `name` is what messages call it.
    """
    try:
        async with asyncio.timeout(answer_within):
            request = http.build_request(
                method,
                url,
                headers={"Accept": "application/json", "Accept-Encoding": "identity", **headers},
                params=query,
                json=json_body,
                timeout=httpx.Timeout(answer_within, connect=min(5.0, answer_within)),
            )
            # Accounts share a connection pool; what one is handed must not reach another.
            request.headers.pop("cookie", None)
            return await _read(http, request, name)
    except TimeoutError:
        raise Unreachable(f"{name}: no answer within {answer_within:g} s", sent=True) from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
        sent = not isinstance(error, _NOT_SENT)
        # Not chained: such an error's own text can quote a header it could not send.
        raise Unreachable(f"{name}: {type(error).__name__}", sent=sent) from None


async def _read(http: httpx.AsyncClient, request: httpx.Request, name: str) -> Answered:
    response = await http.send(request, stream=True, auth=None, follow_redirects=False)
    try:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise BadAnswer(f"{name}: the answer is over 2 MiB", status=response.status_code)
        headers = {key.lower(): value for key, value in response.headers.items()}
        return Answered(status=response.status_code, headers=headers, body=bytes(body))
    finally:
        await response.aclose()
