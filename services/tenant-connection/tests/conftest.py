"""The service on real servers, with the real sandbox for Microsoft and a small reseller service."""

import asyncio
import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

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
from fastapi import FastAPI, Request

from purser_common import mongo as chassis_mongo
from purser_common import settings, testing
from purser_common.errors import NotFound
from purser_common.identity import Caller, Grant, InternalTokens
from purser_common.web import problems
from tenant_connection_service.main import build
from tenant_connection_service.settings import Settings

CALLBACK = "http://127.0.0.1:8600/v1/consent/callback"
MODULE = "ingram-micro-xvantage"
PEERS = ("gateway", "order", "reseller", "subscription")
SECRET = "purser-consent-secret"


@dataclass
class Keys:
    """The keys of a deployment: a signing key each, everybody's public keys, and the secrets."""

    home: Path

    def identity(self, service: str) -> settings.Identity:
        return settings.Identity(
            private_key_file=self.home / f"{service}.pem", public_keys_dir=self.home / "public"
        )

    def tokens(self, service: str, *accepts: str) -> InternalTokens:
        return InternalTokens(service, self.identity(service), accepts)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    home = tmp_path_factory.mktemp("keys")
    (home / "public").mkdir()
    (home / "hmac.key").write_bytes(os.urandom(32))
    (home / "secret").write_text(f"{SECRET}\n")
    (home / "wrong-secret").write_text("canary-of-a-secret")
    for service in (*PEERS, "tenant-connection", "audit"):
        key = Ed25519PrivateKey.generate()
        (home / f"{service}.pem").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        (home / "public" / f"{service}-1.pem").write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
    return Keys(home)


@contextlib.contextmanager
def running(module: str, env: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", module], env={**os.environ, **env}, stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def answers(http: httpx.AsyncClient, url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return (await http.get(url)).status_code == 200
    return False


class Sandbox:
    """Microsoft, and the administrator in front of it."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.url = url
        self._http = http

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        answer = await self._http.request(method, f"{self.url}/sandbox{path}", **body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def entra_tenant(self) -> dict[str, str]:
        """A Microsoft tenant that nobody else uses."""
        account = await self.ask("POST", "/accounts", json={"kind": "parent"})
        found: dict[str, str] = account["resellers"][0]["customers"][0]["entra_tenants"][0]
        return found

    async def answer(self, authorization_url: str, how: str = "accept") -> dict[str, str]:
        """What Microsoft sends the administrator back with, who accepts or declines."""
        gone = await self._http.get(f"{authorization_url}&sandbox_auto={how}")
        assert gone.status_code == 302, gone.text
        assert gone.headers["location"].startswith(f"{CALLBACK}?")
        return dict(parse_qsl(urlsplit(gone.headers["location"]).query))

    async def revoke(self, entra_tenant_id: str) -> None:
        await self.ask("DELETE", f"/entra-tenants/{entra_tenant_id}/consents")

    async def fault(self, route: str, **fault: Any) -> None:
        await self.ask("POST", "/faults", json={"route": route, **fault})


@pytest.fixture(scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    home = tmp_path_factory.mktemp("sandbox")
    port = testing.free_port()
    env = {"SANDBOX_PORT": str(port), "SANDBOX_DATA_DIR": str(home)}
    with running("purser_sandbox", env, home / "log"):
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            url = f"http://127.0.0.1:{port}"
            await testing.eventually(lambda: answers(http, f"{url}/sandbox/health"), within=30)
            yield Sandbox(url, http)


class ResellerService:
    """A reseller service as small as can be: who exists, and whether it answers."""

    def __init__(self, url: str, tokens: InternalTokens) -> None:
        self.url = url
        self.statuses: dict[str, str] = {}
        self.customers: dict[tuple[str, str], str] = {}
        self.broken: set[str] = set()
        self.asked_by: dict[str, list[str]] = {}
        self._held: dict[str, asyncio.Event] = {}
        self._tokens = tokens
        self.app = FastAPI()
        problems.install(self.app)
        self.app.get("/internal/resellers/{id}")(self._reseller)
        self.app.get("/internal/resellers/{id}/marketplace-customers/{customer}")(self._customer)

    def add(self, **customers: str) -> str:
        """An active reseller with these customers (id=name)."""
        id = f"reseller-{uuid.uuid4().hex[:12]}"
        self.statuses[id] = "active"
        self.customers |= {(id, customer): name for customer, name in customers.items()}
        return id

    def hold(self, id: str) -> asyncio.Event:
        """Let whoever asks about a reseller wait until the event is set."""
        return self._held.setdefault(id, asyncio.Event())

    def release(self) -> None:
        """Let everybody go who still waits, as a test that failed may leave them."""
        for held in self._held.values():
            held.set()

    async def _reseller(self, id: str, request: Request) -> dict[str, str]:
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.asked_by.setdefault(id, []).append(self._tokens.verify(token).subject)
        if id in self._held:
            await self._held[id].wait()
        if id in self.broken:
            raise RuntimeError("planted")
        if id not in self.statuses:
            raise NotFound("there is no such reseller")
        return {"id": id, "status": self.statuses[id]}

    async def _customer(self, id: str, customer: str) -> dict[str, str]:
        if (id, customer) not in self.customers:
            raise NotFound("there is no such customer")
        return {"id": customer, "name": self.customers[id, customer]}


@pytest.fixture(scope="session")
async def resellers(keys: Keys) -> AsyncIterator[ResellerService]:
    port = testing.free_port()
    stand_in = ResellerService(
        f"http://127.0.0.1:{port}", keys.tokens("reseller", "tenant-connection")
    )
    config = uvicorn.Config(stand_in.app, port=port, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    await testing.eventually(lambda: server.started)
    yield stand_in
    stand_in.release()
    server.should_exit = True
    await task


class Service:
    """The service, called by its peers, and the steps that tests begin with."""

    def __init__(self, http: httpx.AsyncClient, keys: Keys, sandbox: Sandbox) -> None:
        self.http = http
        self._tokens = {peer: keys.tokens(peer) for peer in (*PEERS, "audit")}
        self._sandbox = sandbox

    async def call(
        self,
        method: str,
        path: str,
        *,
        roles: tuple[str, ...] = ("credential_admin",),
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
        token = self._tokens[peer].mint("tenant-connection", caller if roles else None)
        sent = {"Authorization": f"Bearer {token}"}
        if method == "POST" and key != "":
            sent["Idempotency-Key"] = key or uuid.uuid4().hex
            sent["Purser-Request-Digest"] = digest
        if etag:
            sent["If-Match"] = etag
        return await self.http.request(method, path, headers={**sent, **(headers or {})}, **body)

    async def customer(self, name: str = "Northwind Traders") -> str:
        made = await self.call("POST", "/v1/customers", json={"name": name})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    async def register(
        self, customer: str, entra: dict[str, str] | None = None, **changed: Any
    ) -> httpx.Response:
        entra = entra or await self._sandbox.entra_tenant()
        body = {"entra_tenant_id": entra["id"], "name": "Head office", "domain": entra["domain"]}
        path = f"/v1/customers/{customer}/tenants"
        return await self.call("POST", path, json=body | changed)

    async def registered(self) -> dict[str, Any]:
        made = await self.register(await self.customer())
        assert made.status_code == 201, made.text
        return {**made.json(), "etag": made.headers["etag"]}

    async def ask_consent(self, tenant: dict[str, Any], **options: Any) -> httpx.Response:
        path = f"/v1/tenants/{tenant['id']}/consent-requests"
        return await self.call("POST", path, json={}, **options)

    async def consent_url(self, tenant: dict[str, Any]) -> str:
        asked = await self.ask_consent(tenant)
        assert asked.status_code == 201, asked.text
        return str(asked.json()["authorization_url"])

    async def callback(self, returned: dict[str, str], accept: str = "text/html") -> httpx.Response:
        """As the gateway calls it: in its own name, for nobody known."""
        headers = {"Accept": accept}
        path = "/v1/consent/callback"
        return await self.call("GET", path, roles=(), params=returned, headers=headers)

    async def consented(self) -> dict[str, Any]:
        tenant = await self.registered()
        taken = await self.callback(await self._sandbox.answer(await self.consent_url(tenant)))
        assert taken.status_code == 200, taken.text
        return await self.read(tenant["id"])

    async def add(self, tenant: dict[str, Any], **options: Any) -> httpx.Response:
        path = f"/v1/marketplaces/{MODULE}/tenants/{tenant['id']}"
        return await self.call("PUT", path, **options)

    async def added(self) -> dict[str, Any]:
        tenant = await self.consented()
        added = await self.add(tenant)
        assert added.status_code == 200, added.text
        return {**added.json(), "etag": added.headers["etag"]}

    async def connect(
        self, tenant: dict[str, Any], reseller: str, customer: str, **options: Any
    ) -> httpx.Response:
        body = {"reseller_id": reseller, "marketplace_customer_id": customer}
        path = f"/v1/tenants/{tenant['id']}/connection"
        return await self.call("PUT", path, json=body, **{"etag": tenant["etag"], **options})

    async def read(self, id: str) -> dict[str, Any]:
        found = await self.call("GET", f"/v1/tenants/{id}")
        assert found.status_code == 200, found.text
        return {**found.json(), "etag": found.headers["etag"]}

    async def pending(self, id: str) -> bool:
        found = await self.call("GET", f"/internal/tenants/{id}", roles=(), peer="order")
        assert found.status_code == 200, found.text
        return bool(found.json()["pending"])

    async def references(self, reseller: str) -> list[str]:
        path = f"/internal/references?reseller_id={reseller}"
        found = await self.call("GET", path, roles=(), peer="reseller")
        assert found.status_code == 200, found.text
        return [tenant["id"] for tenant in found.json()["tenants"]]


@dataclass
class Deployment:
    """Where a service finds its servers, its keys and the others."""

    keys: Keys
    mongo: settings.Mongo
    kafka: settings.Kafka
    sandbox: Sandbox
    resellers: ResellerService

    def microsoft(self, kept_in: str = "secret") -> dict[str, str]:
        return {
            "login_url": f"{self.sandbox.url}/login",
            "graph_url": f"{self.sandbox.url}/graph/v1.0",
            "client_id": "purser",
            "client_secret_file": str(self.keys.home / kept_in),
        }

    def settings(self, **changed: Any) -> Settings:
        fields: dict[str, Any] = {
            "environment": "test",
            "http": {"port": 0},
            "mongo": self.mongo,
            "kafka": self.kafka,
            "identity": self.keys.identity("tenant-connection"),
            "microsoft": self.microsoft(),
            "hmac_key_file": self.keys.home / "hmac.key",
            "consent_callback_url": CALLBACK,
            "reseller_url": self.resellers.url,
        }
        return Settings(**fields | changed)

    @contextlib.asynccontextmanager
    async def start(self, **changed: Any) -> AsyncIterator[tuple[Service, FastAPI]]:
        """The service in this process."""
        app = build(self.settings(**changed))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://tenant-connection") as http,
        ):
            yield Service(http, self.keys, self.sandbox), app

    @contextlib.asynccontextmanager
    async def process(
        self, log: Path, **changed: str
    ) -> AsyncIterator[tuple[Service, "subprocess.Popen[bytes]"]]:
        """The service as a process that can be killed."""
        told, port = self.settings(), testing.free_port()
        env = {
            "ENVIRONMENT": "test",
            "HTTP__PORT": str(port),
            "MONGO__URL": told.mongo.url,
            "MONGO__DATABASE": told.mongo.database,
            "KAFKA__BOOTSTRAP_SERVERS": told.kafka.bootstrap_servers,
            "IDENTITY__PRIVATE_KEY_FILE": str(told.identity.private_key_file),
            "IDENTITY__PUBLIC_KEYS_DIR": str(told.identity.public_keys_dir),
            "HMAC_KEY_FILE": str(told.hmac_key_file),
            "CONSENT_CALLBACK_URL": CALLBACK,
            "RESELLER_URL": self.resellers.url,
            **{f"MICROSOFT__{name.upper()}": value for name, value in self.microsoft().items()},
            **changed,
        }
        url = f"http://127.0.0.1:{port}"
        with running("tenant_connection_service.main", env, log) as process:
            async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
                await testing.eventually(lambda: answers(http, "/health/ready"), within=40)
                yield Service(http, self.keys, self.sandbox), process


@pytest.fixture(scope="session")
async def deployment(
    servers: testing.Servers,
    provisioned: settings.Kafka,
    keys: Keys,
    sandbox: Sandbox,
    resellers: ResellerService,
) -> AsyncIterator[Deployment]:
    config = servers.database(f"test_{uuid.uuid4().hex[:12]}")
    yield Deployment(keys, config, provisioned, sandbox, resellers)
    client = chassis_mongo.connect(config)
    await client[config.database].command("dropDatabase")
    await chassis_mongo.close(client)


@pytest.fixture(scope="session")
async def service(deployment: Deployment) -> AsyncIterator[Service]:
    """One process for all tests: each has its own customers and tenants."""
    async with deployment.start() as (started, _):
        yield started
        ready = await started.http.get("/health/ready")
        assert ready.json()["unindexed_queries"] == []
