"""The service on real servers, with the real sandbox for Microsoft and a small reseller service."""

import asyncio
import contextlib
import subprocess
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request
from program_settings import ENTRA_CLIENT

from purser_common import settings, testing
from purser_common.errors import NotFound
from purser_common.identity import InternalTokens
from purser_common.web import problems
from tenant_connection_service.main import build
from tenant_connection_service.settings import Settings

CALLBACK = "http://127.0.0.1:8600/v1/consent/callback"
MODULE = "ingram-micro-xvantage"


class Sandbox(testing.Sandbox):
    """Microsoft, and the administrator in front of it."""

    async def entra_tenant(self) -> dict[str, str]:
        """A Microsoft tenant that nobody else uses."""
        account = await self.account(kind="parent")
        found: dict[str, str] = account["resellers"][0]["customers"][0]["entra_tenants"][0]
        return found

    async def answer(self, authorization_url: str, how: str = "accept") -> dict[str, str]:
        """What Microsoft sends the administrator back with, who accepts or declines."""
        gone = await self.http.get(f"{authorization_url}&sandbox_auto={how}")
        assert gone.status_code == 302, gone.text
        assert gone.headers["location"].startswith(f"{CALLBACK}?")
        return dict(parse_qsl(urlsplit(gone.headers["location"]).query))

    async def revoke(self, entra_tenant_id: str) -> None:
        await self.ask("DELETE", f"/entra-tenants/{entra_tenant_id}/consents")

    async def fault(self, route: str, **fault: Any) -> None:
        await self.plant(route=route, **fault)


@pytest.fixture(scope="session")
def sandbox(sandbox: testing.Sandbox) -> Sandbox:
    return Sandbox(sandbox.url, sandbox.http)


class ResellerService:
    """A reseller service as small as can be: who exists, and whether it answers."""

    def __init__(self, tokens: InternalTokens) -> None:
        self.url = ""
        self.statuses: dict[str, str] = {}
        self.customers: dict[tuple[str, str], str] = {}
        self.broken: set[str] = set()
        self.closing: set[str] = set()
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

    async def _reseller(self, id: str, request: Request) -> dict[str, Any]:
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.asked_by.setdefault(id, []).append(self._tokens.verify(token).subject)
        if id in self._held:
            await self._held[id].wait()
        if id in self.broken:
            raise RuntimeError("planted")
        if id not in self.statuses:
            raise NotFound("there is no such reseller")
        return {"id": id, "status": self.statuses[id], "closing": id in self.closing}

    async def _customer(self, id: str, customer: str) -> dict[str, str]:
        if (id, customer) not in self.customers:
            raise NotFound("there is no such customer")
        return {"id": customer, "name": self.customers[id, customer]}


@pytest.fixture(scope="session")
async def resellers(keys: testing.Keys) -> AsyncIterator[ResellerService]:
    stand_in = ResellerService(keys.tokens("reseller", "tenant-connection"))
    async with testing.serving(stand_in.app) as url:
        stand_in.url = url
        yield stand_in
        stand_in.release()


class OrderService:
    """An order service as small as can be: which requests are open, and whether it answers."""

    def __init__(self, tokens: InternalTokens) -> None:
        self.url = ""
        self.open: dict[str, list[dict[str, Any]]] = {}
        self.broken: set[str] = set()
        self.asked_by: dict[str, list[str]] = {}
        self._held: dict[str, asyncio.Event] = {}
        self._tokens = tokens
        self.app = FastAPI()
        problems.install(self.app)
        self.app.get("/internal/open-requests")(self._requests)

    def open_request(self, tenant_id: str, sent: bool = True, status: str = "placed") -> str:
        """A request of the tenant that has not ended."""
        id = uuid.uuid4().hex
        one = {"id": id, "status": status, "tenant_id": tenant_id, "sent": sent}
        self.open.setdefault(tenant_id, []).append(one)
        return id

    def hold(self, tenant_id: str) -> asyncio.Event:
        """Let whoever asks about a tenant wait until the event is set."""
        return self._held.setdefault(tenant_id, asyncio.Event())

    def release(self) -> None:
        """Let everybody go who still waits."""
        for held in self._held.values():
            held.set()

    async def _requests(self, tenant_id: str, request: Request) -> dict[str, Any]:
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.asked_by.setdefault(tenant_id, []).append(self._tokens.verify(token).subject)
        if tenant_id in self._held:
            await self._held[tenant_id].wait()
        if tenant_id in self.broken:
            raise RuntimeError("planted")
        return {"requests": self.open.get(tenant_id, [])}


@pytest.fixture(scope="session")
async def orders(keys: testing.Keys) -> AsyncIterator[OrderService]:
    stand_in = OrderService(keys.tokens("order", "tenant-connection"))
    async with testing.serving(stand_in.app) as url:
        stand_in.url = url
        yield stand_in
        stand_in.release()


class Service(testing.Service):
    """The service, called by its peers, and the steps that tests begin with."""

    def __init__(self, http: httpx.AsyncClient, keys: testing.Keys, sandbox: Sandbox) -> None:
        super().__init__("tenant-connection", http, keys)
        self._sandbox = sandbox

    async def call(
        self,
        method: str,
        path: str,
        *,
        roles: tuple[str, ...] = ("credential_admin",),
        **options: Any,
    ) -> httpx.Response:
        return await super().call(method, path, roles=roles, **options)

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

    async def ask_consent(
        self, tenant: dict[str, Any], choices: dict[str, Any] | None = None, **options: Any
    ) -> httpx.Response:
        path = f"/v1/tenants/{tenant['id']}/consent-requests"
        return await self.call("POST", path, json=choices or {}, **options)

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
        return await self.consent_of(await self.registered())

    async def consent_of(self, tenant: dict[str, Any]) -> dict[str, Any]:
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

    async def connected(self, reseller: str, customer: str) -> dict[str, Any]:
        tenant = await self.added()
        connected = await self.connect(tenant, reseller, customer)
        assert connected.status_code == 200, connected.text
        return {**connected.json(), "etag": connected.headers["etag"]}

    async def change(self, tenant: dict[str, Any], **fields: Any) -> httpx.Response:
        path = f"/v1/tenants/{tenant['id']}/connection"
        return await self.call("PATCH", path, json=fields, etag=tenant["etag"])

    async def disconnect(
        self, tenant: dict[str, Any], confirm: str = "?confirm=true", **options: Any
    ) -> httpx.Response:
        path = f"/v1/tenants/{tenant['id']}/connection{confirm}"
        return await self.call("DELETE", path, **{"etag": tenant["etag"], **options})

    async def remove(
        self, tenant: dict[str, Any], typed: str = "Yes", **options: Any
    ) -> httpx.Response:
        path = f"/v1/tenants/{tenant['id']}/removals"
        return await self.call("POST", path, json={"confirmation": typed}, **options)

    async def read(self, id: str) -> dict[str, Any]:
        found = await self.call("GET", f"/v1/tenants/{id}")
        assert found.status_code == 200, found.text
        return {**found.json(), "etag": found.headers["etag"]}

    async def pending(self, id: str) -> bool:
        return bool((await self._standing(id))["pending"])

    async def closing(self, id: str) -> bool:
        return bool((await self._standing(id))["closing"])

    async def _standing(self, id: str) -> dict[str, Any]:
        found = await self.call("GET", f"/internal/tenants/{id}", roles=(), peer="order")
        assert found.status_code == 200, found.text
        standing: dict[str, Any] = found.json()
        return standing

    async def references(self, reseller: str) -> list[str]:
        path = f"/internal/references?reseller_id={reseller}"
        found = await self.call("GET", path, roles=(), peer="reseller")
        assert found.status_code == 200, found.text
        return [tenant["id"] for tenant in found.json()["tenants"]]


@dataclass
class Deployment:
    """Where a service finds its servers, its keys and the others."""

    keys: testing.Keys
    mongo: settings.Mongo
    kafka: settings.Kafka
    sandbox: Sandbox
    resellers: ResellerService
    orders: OrderService

    def microsoft(self, secret_file: Path | None = None) -> dict[str, str]:
        return {
            "login_url": f"{self.sandbox.url}/login",
            "graph_url": f"{self.sandbox.url}/graph/v1.0",
            "client_id": ENTRA_CLIENT,
            "client_secret_file": str(secret_file or self.keys.microsoft_secret),
        }

    def settings(self, **changed: Any) -> Settings:
        fields: dict[str, Any] = {
            "environment": "test",
            "http": {"port": 0},
            "mongo": self.mongo,
            "kafka": self.kafka,
            "identity": self.keys.identity("tenant-connection"),
            "microsoft": self.microsoft(),
            "hmac_key_file": self.keys.hmac("tenant-connection"),
            "consent_callback_url": CALLBACK,
            "reseller_url": self.resellers.url,
            "order_url": self.orders.url,
        }
        return Settings(**fields | changed)

    @contextlib.asynccontextmanager
    async def start(self, **changed: Any) -> AsyncIterator[tuple[Service, FastAPI]]:
        """The service in this process."""
        app = build(self.settings(**changed))
        async with testing.started(app) as http:
            yield Service(http, self.keys, self.sandbox), app

    @contextlib.asynccontextmanager
    async def process(
        self, log: Path, **changed: str
    ) -> AsyncIterator[tuple[Service, "subprocess.Popen[bytes]"]]:
        """The service as a process that can be killed."""
        told, port = self.settings(), testing.free_port()
        env = {
            **testing.environment(told, port),
            "HMAC_KEY_FILE": str(told.hmac_key_file),
            "CONSENT_CALLBACK_URL": CALLBACK,
            "RESELLER_URL": self.resellers.url,
            "ORDER_URL": self.orders.url,
            **{f"MICROSOFT__{name.upper()}": value for name, value in self.microsoft().items()},
            **changed,
        }
        url = f"http://127.0.0.1:{port}"
        with testing.running("tenant_connection_service.main", env, log) as process:
            async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
                await testing.eventually(lambda: testing.answers(http, "/health/ready"), within=40)
                yield Service(http, self.keys, self.sandbox), process


@pytest.fixture(scope="session")
async def deployment(
    servers: testing.Servers,
    provisioned: settings.Kafka,
    keys: testing.Keys,
    sandbox: Sandbox,
    resellers: ResellerService,
    orders: OrderService,
) -> AsyncIterator[Deployment]:
    async with servers.fresh_database() as config:
        yield Deployment(keys, config, provisioned, sandbox, resellers, orders)


@pytest.fixture(scope="session")
async def service(deployment: Deployment) -> AsyncIterator[Service]:
    """One process for all tests: each has its own customers and tenants."""
    async with deployment.start() as (started, _):
        yield started
