"""The service on real servers, against the real sandbox, called as the gateway and as its peers call it."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from purser_common import mongo as chassis_mongo
from purser_common import settings, testing
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

    keys: testing.Keys
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
            "keys": {"kek_dir": self.keys.keks("reseller")},
            "regions": self.regions_json(),
            "fence_seconds": 0,  # the timer is the test runner's, too
        }
        return Settings(**fields | changed)

    @contextlib.asynccontextmanager
    async def start(self, **changed: Any) -> AsyncIterator[tuple[Service, FastAPI]]:
        """The service in this process."""
        app = build(self.settings(**changed))
        async with testing.started(app) as http:
            yield Service(http, self.keys), app


@pytest.fixture(scope="session")
async def stub_port() -> int:
    return testing.free_port()


@pytest.fixture(scope="session")
async def deployment(
    servers: testing.Servers,
    provisioned: settings.Kafka,
    keys: testing.Keys,
    sandbox: Sandbox,
    stub_port: int,
) -> AsyncIterator[Deployment]:
    regions = {"stub": (f"http://127.0.0.1:{stub_port}", "stub")}
    async with servers.fresh_database() as config:
        yield Deployment(keys, config, provisioned, sandbox, regions)


@pytest.fixture(scope="session")
async def service(deployment: Deployment) -> AsyncIterator[Service]:
    """One process for all tests: each has its own account at the marketplace."""
    async with deployment.start() as (started, _):
        yield started


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
