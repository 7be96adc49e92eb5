"""The outermost layer: correlation ids, the record of calls, and faults. It is plain ASGI since
a reset needs the connection itself."""

import asyncio
import json
import socket
import struct
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from purser_sandbox.faults import ANSWER_KINDS, Fault, Faults
from purser_sandbox.marketplace.errors import Family, error_response, marketplace_path
from purser_sandbox.marketplace.ordering import conflict_with
from purser_sandbox.spoiling import spoiled
from purser_sandbox.world.state import World

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
WATCHED = ("/marketplace/", "/login/", "/graph/", "/oidc/")
LONGEST_HANG = 600.0


class Calls:
    """The newest recorded calls; neither headers nor bodies are kept."""

    def __init__(self, kept: int = 5000) -> None:
        self._rows: deque[dict[str, Any]] = deque(maxlen=kept)
        self._number = 0

    def record(self, row: dict[str, Any]) -> None:
        self._number += 1
        self._rows.append({"n": self._number, **row})

    def shown(self, **wanted: str | None) -> list[dict[str, Any]]:
        asked = {name: value for name, value in wanted.items() if value is not None}
        return [row for row in self._rows if all(row[k] == v for k, v in asked.items())]

    def clear(self) -> None:
        self._rows.clear()


class Exchange:
    """One call on its way: the body already read, the answer possibly held back."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        self.scope, self._receive, self._send, self.body = scope, receive, send, body
        self.held: list[Message] = []
        self.status: int | None = None
        self._delivered = False

    async def receive(self) -> Message:
        if not self._delivered:
            self._delivered = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        return await self._receive()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = self._with_correlation(message)
        await self._send(message)

    async def hold(self, message: Message) -> None:
        self.held.append(message)

    async def release(self, body: bytes | None = None) -> None:
        """Sends the held answer, with another body if one is given."""
        start = dict(self.held[0])
        whole = b"".join(message.get("body", b"") for message in self.held[1:])
        content = whole if body is None else body
        headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
        start["headers"] = [*headers, (b"content-length", str(len(content)).encode())]
        await self.send(start)
        await self.send({"type": "http.response.body", "body": content})

    async def answer(self, status: int, message: str, family: Family, **headers: str) -> None:
        path = marketplace_path(self.scope["path"])
        response = error_response(
            status, message, family, path, self.scope["sandbox.correlation_id"]
        )
        for name, value in headers.items():
            response.headers[name.replace("_", "-")] = value
        await response(self.scope, self.receive, self.send)

    async def half_an_answer(self) -> None:
        start = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await self.send({"type": "http.response.start", "status": 200, "headers": start})
        part = {"type": "http.response.body", "body": b'{"id":"1', "more_body": True}
        await self.send(part)

    async def disconnected(self) -> None:
        """Until the caller has gone, or the longest hang is over."""
        self._delivered = True
        try:
            async with asyncio.timeout(LONGEST_HANG):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return

    async def reset(self) -> None:
        """Drops the TCP connection with RST."""
        transport = self._send.__self__.transport  # type: ignore[attr-defined]
        own = transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await self.disconnected()

    def _with_correlation(self, message: Message) -> Message:
        if not self.scope["path"].startswith("/marketplace/"):
            return message
        value = self.scope["sandbox.correlation_id"].encode()
        return {**message, "headers": [*message["headers"], (b"x-correlation-id", value)]}


class Gate:
    """Wraps the application."""

    def __init__(self, app: App, world: World, faults: Faults, calls: Calls) -> None:
        self._app, self._world, self._faults, self._calls = app, world, faults, calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(WATCHED):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        exchange = Exchange(scope, receive, send, body)
        scope["sandbox.correlation_id"] = f"a8n-{uuid.uuid4()}"
        path = scope["path"]
        if path.startswith("/marketplace/"):
            path = marketplace_path(path)
        customer_id = _customer_id(scope, body)
        login_id = self._login_id(scope)
        fault, fate = self._faults.strike(scope["method"], path, customer_id, login_id)
        scope["sandbox.fate"] = fate
        started = time.monotonic()
        row: dict[str, Any] = {
            "time": self._world.clock.now().isoformat(timespec="milliseconds"),
            "method": scope["method"],
            "path": path,
            "query": "" if path.startswith(("/login", "/oidc")) else scope["query_string"].decode(),
            "customer_id": customer_id,
            "login_id": login_id,
            "correlation_id": scope["sandbox.correlation_id"],
            "fault": fault.kind if fault else None,
        }
        try:
            if fault is None:
                await self._app(scope, exchange.receive, exchange.send)
            else:
                await self._strike(fault, exchange)
        finally:
            row["order_id"] = scope.get("sandbox.order_id")
            row["status"] = exchange.status
            row["milliseconds"] = round((time.monotonic() - started) * 1000)
            self._calls.record(row)

    def _login_id(self, scope: Scope) -> str | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        key = headers.get(b"x-subscription-key", b"").decode("latin-1")
        for login in self._world.logins.values():
            if key and login.subscription_key == key:
                return login.id
        return None

    async def _strike(self, fault: Fault, exchange: Exchange) -> None:
        """Faults before the call is executed; the others let it run first."""
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            await self._app(exchange.scope, exchange.receive, exchange.send)
        elif fault.kind == "execute_then" or fault.kind in ANSWER_KINDS:
            await self._app(exchange.scope, exchange.receive, exchange.hold)
            await self._afterwards(fault.then or fault, exchange)
        else:
            await self._instead(fault, exchange)

    async def _afterwards(self, fault: Fault, exchange: Exchange) -> None:
        content = b"".join(message.get("body", b"") for message in exchange.held[1:])
        if fault.kind in ANSWER_KINDS and exchange.held[0]["status"] >= 300:
            await exchange.release()
        elif fault.kind in ANSWER_KINDS:
            await exchange.release(spoiled(content, fault, self._world))
        elif fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            await exchange.release()
        else:
            await self._instead(fault, exchange)

    async def _instead(self, fault: Fault, exchange: Exchange) -> None:
        retry = {} if fault.retry_after is None else {"retry_after": str(fault.retry_after)}
        if fault.kind == "hang":
            await exchange.disconnected()
        elif fault.kind == "reset":
            if fault.mid_body:
                await exchange.half_an_answer()
            await exchange.reset()
        elif fault.kind == "rate_limit":
            await exchange.answer(429, "Rate limit is exceeded.", "gateway", **retry)
        elif fault.kind == "conflict":
            await exchange.answer(500, self._conflict(exchange), "platform")
        elif fault.kind == "redirect":
            status = fault.status if 300 <= fault.status < 400 else 307
            await exchange.answer(status, "Moved", "gateway", location=fault.location)
        else:
            await exchange.answer(fault.status, fault.message, fault.family, **retry)

    def _conflict(self, exchange: Exchange) -> str:
        """Names the order that the call made, else the customer's newest one."""
        made = exchange.scope.get("sandbox.order_id")
        customer_id = _customer_id(exchange.scope, exchange.body)
        orders = self._world.customer_orders(customer_id) if customer_id else []
        order = self._world.orders[made] if made else next(reversed(orders), None)
        return conflict_with(order) if order else "An order of this customer is in the way."


async def _read(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return b"".join(chunks)


def _customer_id(scope: Scope, body: bytes) -> str | None:
    query: dict[str, list[str]] = parse_qs(scope["query_string"].decode("latin-1"))
    if "customerId" in query:
        return query["customerId"][0]
    try:
        content = json.loads(body) if body else None
    except ValueError:
        return None
    key = content.get("customerId") if isinstance(content, dict) else None
    return None if key is None else str(key)
