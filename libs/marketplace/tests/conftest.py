"""The published contract as a judge of requests, and servers that misbehave on real sockets."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from openapi_schema_validator import OAS30WriteValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from purser_marketplace.client import Marketplace

CONTRACT = Path(__file__).parents[1] / "contract" / "simpleapi-1.15.yaml"
ACCOUNT = {
    "Authorization": "Bearer token-of-the-account",
    "X-Subscription-Key": "key-of-the-account",
}

Answering = Callable[[httpx.Request], httpx.Response]


class Contract:
    """Judges a request by the 1.15 file: path, query names, headers, and a body with no other field."""

    def __init__(self) -> None:
        self._document = yaml.load(CONTRACT.read_text(), Loader=yaml.CSafeLoader)
        resource = Resource.from_contents(self._document, default_specification=DRAFT4)
        self._registry: Registry[Any] = Registry().with_resource("urn:simpleapi", resource)

    def check(self, request: httpx.Request, base: str) -> None:
        operation = self._operation(request.method, _path(request).removeprefix(base))
        parameters = operation["parameters"]
        queries = {each["name"] for each in parameters if each["in"] == "query"}
        assert set(request.url.params) <= queries, f"undeclared query in {request.url}"
        for each in parameters:
            if each["in"] == "header" and each.get("required"):
                assert request.headers.get(each["name"]), each["name"]
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            body = json.loads(request.content)
            anchored = {"$ref": "urn:simpleapi" + schema["$ref"]}
            OAS30WriteValidator(anchored, registry=self._registry).validate(body)
            self._no_other_field(body, schema)
        else:
            assert not request.content

    def _operation(self, method: str, path: str) -> dict[str, Any]:
        for exact in (True, False):
            for template, operations in self._document["paths"].items():
                pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
                if ("{" not in template) is exact and re.fullmatch(pattern, path):
                    found: dict[str, Any] = operations[method.lower()]
                    return found
        raise AssertionError(f"{method} {path} is not in the contract")

    def _no_other_field(self, value: object, schema: dict[str, Any]) -> None:
        if "$ref" in schema:
            schema = self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        if isinstance(value, list):
            for item in value:
                self._no_other_field(item, schema["items"])
        if isinstance(value, dict):
            for name, item in value.items():
                assert name in schema["properties"], f"{name} is not in the contract"
                self._no_other_field(item, schema["properties"][name])


def _path(request: httpx.Request) -> str:
    return request.url.raw_path.decode().partition("?")[0]


@pytest.fixture(scope="session")
def contract() -> Contract:
    return Contract()


class Account:
    """An Authentication with one set of headers, and a second one after `renewals` of them."""

    def __init__(self, renews: bool = False) -> None:
        self.renews = renews
        self.renewed = 0

    async def headers(self) -> dict[str, str]:
        suffix = f"-{self.renewed}" if self.renewed else ""
        return {**ACCOUNT, "Authorization": ACCOUNT["Authorization"] + suffix}

    async def renew(self, stale: dict[str, str]) -> bool:
        self.renewed += 1
        return self.renews


@pytest.fixture
def account() -> Account:
    return Account(renews=True)


@pytest.fixture
async def marketplace_answering(
    contract: Contract, account: Account
) -> AsyncIterator[Callable[[Answering], Marketplace]]:
    """A client whose every request is judged by the contract and then answered by a function."""
    async with AsyncExitStack() as stack:

        def connect(answer: Answering) -> Marketplace:
            def judged(request: httpx.Request) -> httpx.Response:
                contract.check(request, "/marketplace/eu")
                return answer(request)

            http = httpx.AsyncClient(transport=httpx.MockTransport(judged))
            stack.push_async_callback(http.aclose)
            return Marketplace(http, "http://marketplace.test/marketplace/eu/", account)

        yield connect


@dataclass
class Server:
    """What a server on a real socket saw: its connections, and the requests that came whole."""

    url: str = ""
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _listening(behave: Behaviour) -> AsyncIterator[Server]:
    seen = Server()
    open_tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        task = asyncio.current_task()
        assert task is not None
        open_tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length.group(1)) if length else 0)
                seen.requests.append(head + body)
                await behave(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            open_tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/orders"
    try:
        yield seen
    finally:
        server.close()
        for task in list(open_tasks):
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)
        await server.wait_closed()


@pytest.fixture
async def serving() -> AsyncIterator[Callable[[Behaviour], Awaitable[Server]]]:
    """Starts a server on a real socket that does what it is told after each whole request."""
    async with AsyncExitStack() as stack:

        async def start(behave: Behaviour) -> Server:
            return await stack.enter_async_context(_listening(behave))

        yield start


@pytest.fixture
def answer_of() -> Callable[..., bytes]:
    """An HTTP answer as bytes."""

    def build(
        status: int, body: bytes, content_type: str = "application/json", **more: str
    ) -> bytes:
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {content_type}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode() + body

    return build


class HandClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self, seconds: float) -> None:
        self.seconds += seconds

    def now(self) -> float:
        return self.seconds


@pytest.fixture
def moments() -> HandClock:
    """Moves a clock by hand: `moments.now()` reads it."""
    return HandClock()


@pytest.fixture
def unused_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
