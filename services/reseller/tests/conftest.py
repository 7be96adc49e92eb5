"""The service on real servers, against the real sandbox, called as the gateway and as its peers call it."""

import asyncio
import contextlib
import json
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from purser_common import mongo as chassis_mongo
from purser_common import settings, testing
from purser_common.web import problems
from reseller_service.main import build
from reseller_service.settings import Settings

EVERYTHING = ("credential_admin", "price_admin", "purchaser")
PREMIUM = {
    "mpn": "SIMBP:0001_P1M:M",
    "vendor": "SIMMICROSOFT",
    "subscription_period": {"type": "month", "duration": 1},
    "billing_period": {"type": "month", "duration": 1},
}


class Sandbox(testing.Sandbox):
    """The sandbox, as the marketplace of accounts of the test's own."""

    async def fault(self, account: dict[str, Any], **fault: Any) -> None:
        """A fault that hits the calls of one account only."""
        await self.plant(login_id=account["login"]["id"], **fault)

    async def journal(self, account: dict[str, Any]) -> list[dict[str, Any]]:
        """The executed orders of an account's customers."""
        ids = {c["id"] for r in account["resellers"] for c in r["customers"]}
        return [entry for entry in await self.ask("GET", "/journal") if entry["customerId"] in ids]

    async def calls(self, account: dict[str, Any], method: str, path: str) -> list[dict[str, Any]]:
        params = {"login_id": account["login"]["id"], "method": method, "path": path}
        found: list[dict[str, Any]] = await self.ask("GET", "/calls", params=params)
        return found


@pytest.fixture(scope="session")
def sandbox(sandbox: testing.Sandbox) -> Sandbox:
    return Sandbox(sandbox.url, sandbox.http)


class Others:
    """Tenant-connection and order as small as can be: what refers to a reseller, and who asked."""

    def __init__(self, keys: testing.Keys) -> None:
        self.url = ""
        self.connected: dict[str, list[dict[str, str]]] = {}
        self.requests: dict[str, list[dict[str, str]]] = {}
        self.broken: set[str] = set()
        self.asked_by: dict[str, list[str]] = {}
        self._held: dict[str, asyncio.Event] = {}
        self._tokens = {
            name: keys.tokens(name, "reseller") for name in ("tenant-connection", "order")
        }
        self.app = FastAPI()
        problems.install(self.app)
        self.app.get("/internal/references")(self._references)
        self.app.get("/internal/open-requests")(self._open_requests)

    def hold(self, reseller_id: str) -> asyncio.Event:
        """Let whoever asks about a reseller wait until the event is set."""
        return self._held.setdefault(reseller_id, asyncio.Event())

    def release(self) -> None:
        """Let everybody go who still waits, as a test that failed may leave them."""
        for held in self._held.values():
            held.set()

    async def _references(self, reseller_id: str, request: Request) -> dict[str, Any]:
        await self._asked("tenant-connection", reseller_id, request)
        return {"tenants": self.connected.get(reseller_id, [])}

    async def _open_requests(self, reseller_id: str, request: Request) -> dict[str, Any]:
        await self._asked("order", reseller_id, request)
        return {"requests": self.requests.get(reseller_id, [])}

    async def _asked(self, service: str, reseller_id: str, request: Request) -> None:
        token = request.headers["authorization"].removeprefix("Bearer ")
        subject = self._tokens[service].verify(token).subject
        self.asked_by.setdefault(reseller_id, []).append(subject)
        if reseller_id in self._held:
            await self._held[reseller_id].wait()
        if reseller_id in self.broken:
            raise RuntimeError("planted")


@pytest.fixture(scope="session")
async def others(keys: testing.Keys) -> AsyncIterator[Others]:
    stand_in = Others(keys)
    async with testing.serving(stand_in.app) as url:
        stand_in.url = url
        yield stand_in
        stand_in.release()


class Service(testing.Service):
    """The service, called by its peers, and the steps that tests begin with."""

    def __init__(self, http: httpx.AsyncClient, keys: testing.Keys) -> None:
        super().__init__("reseller", http, keys)

    async def call(
        self, method: str, path: str, *, roles: tuple[str, ...] = EVERYTHING, **options: Any
    ) -> httpx.Response:
        return await super().call(method, path, roles=roles, **options)

    async def verify(self, account: dict[str, Any], **changed: Any) -> httpx.Response:
        login = account["login"]
        names = ("region", "subscription_key", "username", "password")
        body = {name: login[name] for name in names} | changed
        return await self.call("POST", "/v1/reseller-verifications", json=body)

    async def add(self, account: dict[str, Any], *, buying: bool = False) -> dict[str, Any]:
        """Add the account's first reseller. The answer has its ETag under `etag`."""
        verification = (await self.verify(account)).json()
        body = {
            "verification_id": verification["id"],
            "display_name": f"Reseller {uuid.uuid4().hex[:10]}",
            "marketplace_reseller_id": account["resellers"][0]["id"],
        }
        added = await self.call("POST", "/v1/resellers", json=body)
        assert added.status_code == 201, added.text
        if buying:
            path = f"/v1/resellers/{added.json()['id']}"
            added = await self.call(
                "PATCH", path, json={"buying_enabled": True}, etag=added.headers["etag"]
            )
            assert added.status_code == 200, added.text
        return {**added.json(), "etag": added.headers["etag"]}

    async def read(self, reseller: dict[str, Any]) -> dict[str, Any]:
        """The reseller as it is now, its ETag under `etag`."""
        found = await self.call("GET", f"/v1/resellers/{reseller['id']}")
        assert found.status_code == 200, found.text
        return {**found.json(), "etag": found.headers["etag"]}

    async def change(self, reseller: dict[str, Any], **fields: Any) -> httpx.Response:
        path, roles = f"/v1/resellers/{reseller['id']}", fields.pop("roles", EVERYTHING)
        etag = fields.pop("etag", reseller["etag"])
        return await self.call("PATCH", path, json=fields, etag=etag, roles=roles)

    async def delete(
        self, reseller: dict[str, Any], query: str = "?confirm=true", **options: Any
    ) -> httpx.Response:
        path = f"/v1/resellers/{reseller['id']}{query}"
        return await self.call("DELETE", path, **{"etag": reseller["etag"], **options})

    async def send(
        self,
        reseller: dict[str, Any],
        order: dict[str, Any],
        attempt: str,
        *,
        within: float = 20.0,
        **options: Any,
    ) -> httpx.Response:
        """Hand an order to the hop that sends."""
        send_by = datetime.now(UTC) + timedelta(seconds=within)
        headers = {"Purser-Attempt": attempt, "Purser-Send-By": send_by.isoformat()}
        path = f"/internal/marketplace/{reseller['id']}/orders"
        return await self.call("POST", path, peer="order", headers=headers, json=order, **options)

    async def close(self, attempt: str) -> httpx.Response:
        return await self.call("POST", f"/internal/attempts/{attempt}/closure", peer="order")


@dataclass
class Deployment:
    """Where a service finds its servers, its keys, its peers and its regions."""

    keys: testing.Keys
    mongo: settings.Mongo
    kafka: settings.Kafka
    sandbox: Sandbox
    others: Others
    regions: dict[str, tuple[str, str]] = field(default_factory=dict)

    def regions_json(self) -> list[dict[str, str]]:
        here = f"{self.sandbox.url}/marketplace"
        known = {"eu": (f"{here}/eu", "eu"), "na": (f"{here}/na/", "us"), **self.regions}
        return [
            {"code": code, "name": code.upper(), "api_url": url, "marketplace_code": marketplace}
            for code, (url, marketplace) in known.items()
        ]

    def settings(self, **changed: Any) -> Settings:
        fields: dict[str, Any] = {
            "environment": "test",
            "http": {"port": 0},
            "mongo": self.mongo,
            "kafka": self.kafka,
            "identity": self.keys.identity("reseller"),
            "keys": {"kek_dir": self.keys.keks("reseller")},
            "tenant_connection_url": self.others.url,
            "order_url": self.others.url,
            "regions": self.regions_json(),
            "catalogue": {
                "look_every_seconds": 3600
            },  # a test that plants faults asks for its look
            "fence_seconds": 0,  # the timer is the test runner's, too
        }
        return Settings(**fields | changed)

    @contextlib.asynccontextmanager
    async def start(self, **changed: Any) -> AsyncIterator[tuple[Service, FastAPI]]:
        """The service in this process."""
        app = build(self.settings(**changed))
        async with testing.started(app) as http:
            yield Service(http, self.keys), app


class OwnProcess:
    """The service as a process that can be killed, stopped and started again."""

    def __init__(self, deployment: Any, service: Any, home: Path) -> None:
        self._deployment = deployment
        self._stack = contextlib.ExitStack()
        self._port = testing.free_port()
        self.log = home / "reseller.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._port}", timeout=30, trust_env=False
        )
        self.service = type(service)(self.http, deployment.keys)

    def launch(self, **changed: str) -> "subprocess.Popen[bytes]":
        """Start it, without waiting."""
        deployment = self._deployment
        told = deployment.settings()
        env = {
            **testing.environment(told, self._port),
            "KEYS__KEK_DIR": str(told.keys.kek_dir),
            "TENANT_CONNECTION_URL": told.tenant_connection_url,
            "ORDER_URL": told.order_url,
            "REGIONS": json.dumps(deployment.regions_json()),
            **changed,
        }
        self.process = self._stack.enter_context(
            testing.running("reseller_service.main", env, self.log)
        )
        return self.process

    async def start(self, **changed: str) -> Any:
        """Start it and wait until it is ready."""
        self.launch(**changed)
        await testing.eventually(lambda: testing.answers(self.http, "/health/ready"), within=30)
        return self.service

    async def end(self, how: signal.Signals) -> int:
        """Send a signal and wait for the end; answers the exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        return await asyncio.to_thread(self.process.wait, 30)

    async def close(self) -> None:
        await self.http.aclose()
        self._stack.close()


@pytest.fixture(scope="session")
async def stub_port() -> int:
    return testing.free_port()


@pytest.fixture(scope="session")
async def deployment(
    servers: testing.Servers,
    provisioned: settings.Kafka,
    keys: testing.Keys,
    sandbox: Sandbox,
    others: Others,
    stub_port: int,
) -> AsyncIterator[Deployment]:
    regions = {"stub": (f"http://127.0.0.1:{stub_port}", "stub")}
    async with servers.fresh_database() as config:
        yield Deployment(keys, config, provisioned, sandbox, others, regions)


@pytest.fixture(scope="session")
async def service(deployment: Deployment) -> AsyncIterator[Service]:
    """One process for all tests: each has its own account at the marketplace."""
    async with deployment.start() as (started, _):
        yield started


@pytest.fixture
async def own_process(deployment: Any, service: Any, tmp_path: Path) -> AsyncIterator[OwnProcess]:
    process = OwnProcess(deployment, service, tmp_path)
    yield process
    await process.close()


@pytest.fixture
async def database(deployment: Deployment) -> AsyncIterator[chassis_mongo.Database]:
    """The service's database, to look at."""
    async with testing.opened(deployment.mongo) as database:
        yield database


@pytest.fixture
async def serve(stub_port: int) -> AsyncIterator[Callable[[FastAPI], Any]]:
    """Serves an application at the region `stub` until the answer is called."""
    async with contextlib.AsyncExitStack() as serving:

        async def start(app: FastAPI) -> Callable[[], Any]:
            one = await serving.enter_async_context(contextlib.AsyncExitStack())
            await one.enter_async_context(testing.serving(app, stub_port))
            return one.aclose

        yield start


@pytest.fixture
def premium() -> dict[str, Any]:
    """A product that the sandbox's catalogue has."""
    return dict(PREMIUM)


@pytest.fixture
def order_of(premium: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """An order of one seat for an account's first customer, as the marketplace takes it."""

    def order(account: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "sales",
            "customerId": account["resellers"][0]["customers"][0]["id"],
            "poNumber": f"PO-{uuid.uuid4().hex[:8]}",
            "products": [
                {
                    "mpn": premium["mpn"],
                    "vendor": premium["vendor"],
                    "subscriptionPeriod": premium["subscription_period"],
                    "billingPeriod": premium["billing_period"],
                    "quantity": 1,
                }
            ],
        }

    return order
