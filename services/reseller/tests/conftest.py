"""The service on real servers, against the real sandbox, called as the gateway and as its peers call it."""

import asyncio
import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from fastapi import FastAPI

from purser_common import mongo as chassis_mongo
from purser_common import settings, testing
from purser_common.identity import Caller, Grant, InternalTokens
from reseller_service.main import build
from reseller_service.settings import Settings

PEERS = ("gateway", "order", "tenant-connection", "subscription")
EVERYTHING = ("credential_admin", "price_admin", "purchaser")
PREMIUM = {
    "mpn": "SIMBP:0001_P1M:M",
    "vendor": "SIMMICROSOFT",
    "subscription_period": {"type": "month", "duration": 1},
    "billing_period": {"type": "month", "duration": 1},
}


@dataclass
class Keys:
    """The keys of a deployment: a signing key each, everybody's public keys, and the KEKs."""

    home: Path

    def identity(self, service: str) -> settings.Identity:
        return settings.Identity(
            private_key_file=self.home / f"{service}.pem", public_keys_dir=self.home / "public"
        )

    def tokens(self, service: str) -> InternalTokens:
        return InternalTokens(service, self.identity(service), ())


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    home = tmp_path_factory.mktemp("keys")
    (home / "public").mkdir()
    (home / "kek").mkdir()
    (home / "kek" / "first.key").write_bytes(os.urandom(32))
    for service in (*PEERS, "reseller"):
        key = Ed25519PrivateKey.generate()
        (home / f"{service}.pem").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        (home / "public" / f"{service}-1.pem").write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
    return Keys(home)


class Sandbox:
    """The sandbox's own routes, as a test uses them."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.url = url
        self._http = http

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        answer = await self._http.request(method, f"{self.url}/sandbox{path}", **body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def account(self, **wanted: Any) -> dict[str, Any]:
        """A login of its own, with resellers and customers that no other login sees."""
        made: dict[str, Any] = await self.ask("POST", "/accounts", json=wanted)
        return made

    async def fault(self, account: dict[str, Any], **fault: Any) -> None:
        """A fault that hits the calls of one account only."""
        body = {"login_id": account["login"]["id"], **fault}
        await self.ask("POST", "/faults", json=body)

    async def journal(self, account: dict[str, Any]) -> list[dict[str, Any]]:
        """The executed orders of an account's customers."""
        ids = {c["id"] for r in account["resellers"] for c in r["customers"]}
        return [entry for entry in await self.ask("GET", "/journal") if entry["customerId"] in ids]

    async def calls(self, account: dict[str, Any], method: str, path: str) -> list[dict[str, Any]]:
        params = {"login_id": account["login"]["id"], "method": method, "path": path}
        found: list[dict[str, Any]] = await self.ask("GET", "/calls", params=params)
        return found


@pytest.fixture(scope="session")
def launched() -> Callable[..., Any]:
    """Runs a program, its output in a file, and kills it at the end."""
    return running


@contextlib.contextmanager
def running(
    command: list[str], env: dict[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as out:
        process = subprocess.Popen(command, env={**os.environ, **env}, stdout=out, stderr=out)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture(scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    home = tmp_path_factory.mktemp("sandbox")
    port = testing.free_port()
    env = {"SANDBOX_PORT": str(port), "SANDBOX_DATA_DIR": str(home)}
    env |= {"SANDBOX_SUBMITTED_SECONDS": "0", "SANDBOX_PROCESSING_SECONDS": "0"}
    command = [sys.executable, "-m", "purser_sandbox"]
    with running(command, env, home / "log"):
        async with httpx.AsyncClient(trust_env=False) as http:
            url = f"http://127.0.0.1:{port}"
            await testing.eventually(lambda: answers(http, f"{url}/sandbox/health"), within=30)
            yield Sandbox(url, http)


async def answers(http: httpx.AsyncClient, url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return (await http.get(url)).status_code == 200
    return False


class Service:
    """The service, called by its peers."""

    def __init__(self, http: httpx.AsyncClient, keys: Keys) -> None:
        self.http = http
        self._tokens = {peer: keys.tokens(peer) for peer in PEERS}

    async def call(
        self,
        method: str,
        path: str,
        *,
        roles: tuple[str, ...] = EVERYTHING,
        scope: str = "all",
        peer: str = "gateway",
        key: str | None = None,
        digest: str = "",
        etag: str | None = None,
        headers: dict[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        """Call as a person with these roles, through the gateway or another peer."""
        caller = Caller("user:tester", tuple(Grant(role, scope) for role in roles))
        sent = {"Authorization": f"Bearer {self._tokens[peer].mint('reseller', caller)}"}
        if method == "POST" and path.startswith("/v1") and key != "":
            sent["Idempotency-Key"] = key or uuid.uuid4().hex
            sent["Purser-Request-Digest"] = digest
        if etag:
            sent["If-Match"] = etag
        return await self.http.request(method, path, headers={**sent, **(headers or {})}, **body)

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
    """Where a service finds its servers, its keys and its regions."""

    keys: Keys
    mongo: settings.Mongo
    kafka: settings.Kafka
    sandbox: Sandbox
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
            "keys": {"kek_dir": self.keys.home / "kek"},
            "regions": self.regions_json(),
            "fence_seconds": 0,  # the timer is the test runner's, too
        }
        return Settings(**fields | changed)

    @contextlib.asynccontextmanager
    async def start(self, **changed: Any) -> AsyncIterator[tuple[Service, FastAPI]]:
        """The service in this process."""
        app = build(self.settings(**changed))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://reseller"
            ) as http,
        ):
            yield Service(http, self.keys), app


@pytest.fixture(scope="session")
async def stub_port() -> int:
    return testing.free_port()


@pytest.fixture(scope="session")
async def deployment(
    servers: testing.Servers,
    provisioned: settings.Kafka,
    keys: Keys,
    sandbox: Sandbox,
    stub_port: int,
) -> AsyncIterator[Deployment]:
    config = servers.database(f"test_{uuid.uuid4().hex[:12]}")
    regions = {"stub": (f"http://127.0.0.1:{stub_port}", "stub")}
    yield Deployment(keys, config, provisioned, sandbox, regions)
    client = chassis_mongo.connect(config)
    await client[config.database].command("dropDatabase")
    await chassis_mongo.close(client)


@pytest.fixture(scope="session")
async def service(deployment: Deployment) -> AsyncIterator[Service]:
    """One process for all tests: each has its own account at the marketplace."""
    async with deployment.start() as (started, _):
        yield started
        ready = await started.http.get("/health/ready")
        assert ready.json()["unindexed_queries"] == []


@pytest.fixture
async def database(deployment: Deployment) -> AsyncIterator[chassis_mongo.Database]:
    """The service's database, to look at."""
    client = chassis_mongo.connect(deployment.mongo)
    yield client[deployment.mongo.database]
    await chassis_mongo.close(client)


@pytest.fixture
async def serve(stub_port: int) -> AsyncIterator[Callable[[FastAPI], Any]]:
    """Serves an application at the region `stub` until the answer is called."""
    servers: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    async def stop() -> None:
        while servers:
            server, task = servers.pop()
            server.should_exit = True
            await task

    async def start(app: FastAPI) -> Callable[[], Any]:
        server = uvicorn.Server(
            uvicorn.Config(app, port=stub_port, log_config=None, lifespan="off")
        )
        servers.append((server, asyncio.create_task(server._serve())))
        await testing.eventually(lambda: server.started)
        return stop

    yield start
    await stop()


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
