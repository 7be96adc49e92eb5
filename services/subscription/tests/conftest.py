"""The service on real servers; it reads the real sandbox through the real reseller service."""

import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from purser_common import kafka as chassis_kafka
from purser_common import mongo as chassis_mongo
from purser_common import settings, testing
from purser_common.clock import real_now
from purser_common.identity import Caller, Grant
from purser_events.envelope import CONTENT_TYPE, TYPE_HEADER, Fact, envelop
from purser_events.license import LicensePurchased
from purser_events.subscription import subscription_id
from purser_events.tenant import Connection, Consent, Tenant, TenantConnected, TenantFact
from subscription_service.main import build
from subscription_service.settings import Settings

MODULE = "ingram-micro-xvantage"
NOW = datetime(2026, 2, 3, 12, tzinfo=UTC)
PRODUCT = {
    "mpn": "SIMBS:0001_P1Y:M",
    "vendor": "SIMMICROSOFT",
    "subscriptionPeriod": {"type": "year", "duration": 1},
    "billingPeriod": {"type": "month", "duration": 1},
}


@dataclass
class Shop:
    """A reseller of its own, one of its customers, and that customer's tenant at Purser."""

    sandbox: httpx.AsyncClient
    account: dict[str, Any]
    reseller_id: str
    tenant_id: str = field(default_factory=lambda: f"tenant-{uuid.uuid4().hex[:12]}")
    customer_id: str = field(default_factory=lambda: f"customer-{uuid.uuid4().hex[:12]}")

    @property
    def customer(self) -> dict[str, Any]:
        """The marketplace's customer."""
        found: dict[str, Any] = self.account["resellers"][0]["customers"][0]
        return found

    def id(self, bought: str) -> str:
        """Purser's id of a subscription of the marketplace."""
        return subscription_id(self.reseller_id, bought)

    def tenant(self, **changed: Any) -> Tenant:
        """The tenant, connected to the marketplace customer."""
        connection = Connection(
            marketplace=MODULE,
            reseller_id=self.reseller_id,
            marketplace_customer_id=self.customer["id"],
            marketplace_customer_name=self.customer["name"],
            connected_at=NOW,
        )
        entra = self.customer["entra_tenants"][0]
        plain = {
            "id": self.tenant_id,
            "customer_id": self.customer_id,
            "entra_tenant_id": entra["id"],
            "name": "Head office",
            "domain": entra["domain"],
            "consent": Consent(status="granted"),
            "marketplaces": (MODULE,),
            "connection": connection,
            "registered_at": NOW,
        }
        return Tenant.model_validate(plain | changed)

    async def _call(self, method: str, path: str, **body: Any) -> Any:
        login = self.account["login"]
        key = {"X-Subscription-Key": login["subscription_key"]}
        address = f"/marketplace/{login['region']}"
        signed_in = await self.sandbox.post(
            f"{address}/token",
            json={"marketplace": login["marketplace"]},
            auth=(login["username"], login["password"]),
            headers=key,
        )
        headers = {**key, "Authorization": f"Bearer {signed_in.json()['token']}"}
        answer = await self.sandbox.request(method, address + path, headers=headers, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def _order(self, kind: str, **body: Any) -> dict[str, Any]:
        order = {"type": kind, "customerId": self.customer["id"], **body}
        placed = await self._call("POST", "/orders", json=order)
        done: dict[str, Any] = await self._call("GET", f"/orders/{placed['id']}")
        assert done["status"] == "completed"
        return done

    async def buy(self, quantity: int = 5) -> str:
        """A new subscription at the marketplace; its id there."""
        order = await self._order("sales", products=[PRODUCT | {"quantity": quantity}])
        return str(order["subscriptionId"])

    async def change(self, bought: str, quantity: int) -> None:
        """Another number of seats, as somebody orders it at the marketplace itself."""
        line = PRODUCT | {"quantity": quantity, "subscriptionId": bought}
        await self._order("change", products=[line])

    async def cancel(self, bought: str) -> None:
        """The end of a subscription, within the window in which it may be cancelled."""
        await self._order("cancellation", subscriptionId=bought)

    async def touch(self, bought: str, **changed: Any) -> None:
        """Let a subscription name another Microsoft tenant, or have been modified on another day."""
        done = await self.sandbox.patch(f"/sandbox/subscriptions/{bought}", json=changed)
        assert done.status_code == 200, done.text

    async def fault(self, path: str, kind: str, **fault: Any) -> str:
        """A fault of this account's reads; its id."""
        body = {"route": f"GET {path}", "kind": kind, "login_id": self.account["login"]["id"]}
        made = await self.sandbox.post("/sandbox/faults", json=body | fault)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    async def mend(self, fault: str) -> None:
        assert (await self.sandbox.delete(f"/sandbox/faults/{fault}")).status_code == 204

    async def spent(self, fault: str) -> bool:
        """Whether a fault has hit as many calls as it was to hit."""
        shown = (await self.sandbox.get("/sandbox/faults")).json()
        return next(bool(one["spent"]) for one in shown if one["id"] == fault)

    async def reads(self, path: str) -> int:
        """How often this account has read an address of the marketplace."""
        params = {"login_id": self.account["login"]["id"], "method": "GET", "path": path}
        return len((await self.sandbox.get("/sandbox/calls", params=params)).json())


class Market:
    """The sandbox's marketplace, and the real reseller service in front of it."""

    def __init__(
        self, sandbox: httpx.AsyncClient, reseller: httpx.AsyncClient, keys: testing.Keys
    ) -> None:
        self._sandbox = sandbox
        self._reseller = reseller
        self._keys = keys
        self.reseller_url = str(reseller.base_url)

    async def shop(self, **asked: Any) -> Shop:
        account = (await self._sandbox.post("/sandbox/accounts", json=asked)).json()
        login = account["login"]
        names = ("region", "subscription_key", "username", "password")
        proven = await self._post("/v1/reseller-verifications", {n: login[n] for n in names})
        body = {
            "verification_id": proven["id"],
            "display_name": f"Reseller {uuid.uuid4().hex[:10]}",
            "marketplace_reseller_id": account["resellers"][0]["id"],
        }
        added = await self._post("/v1/resellers", body)
        return Shop(self._sandbox, account, added["id"])

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        caller = Caller("user:tester", (Grant("credential_admin", "all"),))
        headers = {
            "Authorization": f"Bearer {self._keys.tokens('gateway').mint('reseller', caller)}",
            "Idempotency-Key": uuid.uuid4().hex,
            "Purser-Request-Digest": "",
        }
        answer = await self._reseller.post(path, json=body, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        made: dict[str, Any] = answer.json()
        return made


@pytest.fixture(scope="session")
async def market(
    servers: testing.Servers,
    provisioned: settings.Kafka,
    keys: testing.Keys,
    sandbox: testing.Sandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Market]:
    port, config = testing.free_port(), servers.database(f"test_{uuid.uuid4().hex[:12]}")
    region = {"code": "eu", "name": "Europe", "marketplace_code": "eu"}
    identity = keys.identity("reseller")
    env = {
        "ENVIRONMENT": "test",
        "HTTP__PORT": str(port),
        "MONGO__URL": config.url,
        "MONGO__DATABASE": config.database,
        "KAFKA__BOOTSTRAP_SERVERS": provisioned.bootstrap_servers,
        "IDENTITY__PRIVATE_KEY_FILE": str(identity.private_key_file),
        "IDENTITY__PUBLIC_KEYS_DIR": str(identity.public_keys_dir),
        "KEYS__KEK_DIR": str(keys.keks("reseller")),
        "TENANT_CONNECTION_URL": "http://nobody.example",
        "ORDER_URL": "http://nobody.example",
        "REGIONS": json.dumps([region | {"api_url": f"{sandbox.url}/marketplace/eu"}]),
    }
    log = tmp_path_factory.mktemp("market") / "reseller.log"
    with testing.running("reseller_service.main", env, log):
        async with (
            httpx.AsyncClient(base_url=sandbox.url, trust_env=False, timeout=20) as at_sandbox,
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20
            ) as at_reseller,
        ):
            await testing.eventually(
                lambda: testing.answers(at_reseller, "/health/ready"), within=30
            )
            yield Market(at_sandbox, at_reseller, keys)
    await dropped(config)


async def dropped(config: settings.Mongo) -> None:
    client = chassis_mongo.connect(config)
    await client[config.database].command("dropDatabase")
    await chassis_mongo.close(client)


class Service:
    """The service, called by the gateway and told the facts of others."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        keys: testing.Keys,
        kafka: chassis_kafka.Producer,
        app: FastAPI,
    ) -> None:
        self.http = http
        self.app = app
        self._keys = keys
        self._kafka = kafka

    async def get(
        self, path: str, *scopes: str, roles: tuple[str, ...] = ("viewer",), **params: Any
    ) -> httpx.Response:
        """Ask as somebody with these roles in these scopes; without a scope: everywhere."""
        grants = tuple(Grant(role, scope) for role in roles for scope in scopes or ("all",))
        token = self._keys.tokens("gateway").mint("subscription", Caller("user:tester", grants))
        headers = {"Authorization": f"Bearer {token}"}
        return await self.http.get(path, params=params, headers=headers)

    async def publish(self, fact: Fact, subject: str, sequence: int, key: str) -> None:
        """Tell a fact as its owner does, and return when Kafka has it."""
        envelope = envelop(
            fact,
            source="purser/test",
            subject=subject,
            sequence=sequence,
            time=NOW,
            actor="user:tester",
            correlation_id="correlation-1",
        )
        value = envelope.model_dump_json(exclude_none=True, serialize_as_any=True).encode()
        headers = [("content-type", CONTENT_TYPE.encode()), (TYPE_HEADER, envelope.type.encode())]
        await self._kafka.send(fact.TOPIC, key, value, headers)

    async def tell(
        self, tenant: Tenant, sequence: int = 5, kind: type[TenantFact] = TenantConnected
    ) -> None:
        """Tell what happened to a tenant."""
        await self.publish(kind(state=tenant), f"tenant/{tenant.id}", sequence, tenant.id)

    async def purchased(self, shop: Shop, bought: str, quantity: int = 5) -> None:
        """Tell of a purchase as the order service does."""
        example = (
            Path(__file__).parents[3] / "libs/events/examples/purser.license.purchased.v1.json"
        )
        fact = LicensePurchased.model_validate(
            json.loads(example.read_text())["data"]
            | {
                "customer_id": shop.customer_id,
                "tenant_id": shop.tenant_id,
                "reseller_id": shop.reseller_id,
                "marketplace_customer_id": shop.customer["id"],
                "marketplace_subscription_id": bought,
                "quantity_before": 0,
                "quantity_after": quantity,
            }
        )
        subject = f"license-change-request/{uuid.uuid4()}"
        await self.publish(fact, subject, 3, shop.tenant_id)

    async def mirrored(self, shop: Shop, bought: str, **expected: Any) -> httpx.Response:
        """The answer that shows a subscription, once its state has these values."""

        async def shown() -> httpx.Response:
            found = await self.get(f"/v1/subscriptions/{shop.id(bought)}")
            assert found.status_code == 200, found.text
            state = found.json()
            assert {name: state[name] for name in expected} == expected
            return found

        return await testing.eventually(shown, within=20)

    async def seats(self, shop: Shop, bought: str, quantity: int) -> None:
        """Wait until the mirror shows these seats."""

        async def shown() -> bool:
            found = await self.get(f"/v1/subscriptions/{shop.id(bought)}")
            return [o["quantity"] for o in found.json().get("options", ())] == [quantity]

        await testing.eventually(shown, within=20)


@dataclass
class Deployment:
    """Where the service finds its servers, its keys and the reseller service."""

    keys: testing.Keys
    mongo: settings.Mongo
    kafka: settings.Kafka
    market: Market

    @contextlib.asynccontextmanager
    async def start(self, **changed: Any) -> AsyncIterator[Service]:
        """The service in this process."""
        fields: dict[str, Any] = {
            "environment": "test",
            "http": {"port": 0},
            "mongo": self.mongo,
            "kafka": self.kafka,
            "identity": self.keys.identity("subscription"),
            "reseller_url": self.market.reseller_url,
        }
        app = build(Settings(**fields | changed))
        producer = chassis_kafka.Producer(self.kafka)
        transport = httpx.ASGITransport(app)
        try:
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://subscription") as http,
            ):
                yield Service(http, self.keys, producer, app)
        finally:
            await producer.stop()


@pytest.fixture(scope="session")
async def deployment(
    servers: testing.Servers, provisioned: settings.Kafka, keys: testing.Keys, market: Market
) -> AsyncIterator[Deployment]:
    config = servers.database(f"test_{uuid.uuid4().hex[:12]}")
    yield Deployment(keys, config, provisioned, market)
    await dropped(config)


@pytest.fixture(scope="session")
async def service(deployment: Deployment) -> AsyncIterator[Service]:
    """One process for all tests: each has its own shops."""
    async with deployment.start() as started:
        yield started
        ready = await started.http.get("/health/ready")
        assert ready.json()["unindexed_queries"] == []


@pytest.fixture
async def shop(market: Market) -> Shop:
    """A shop that Purser does not know yet."""
    return await market.shop()


@pytest.fixture
async def database(deployment: Deployment) -> AsyncIterator[chassis_mongo.Database]:
    """The service's database, to look at."""
    client = chassis_mongo.connect(deployment.mongo)
    yield client[deployment.mongo.database]
    await chassis_mongo.close(client)


class Readings:
    """What the service has noted to read, as it stands in its database."""

    def __init__(self, database: chassis_mongo.Database) -> None:
        self.collection = database["refreshes"]

    async def over(self, shop: Shop, of: str = "all") -> None:
        """Wait until a wanted reading is over: it is due no more, or in many minutes only."""
        id = f"{shop.reseller_id}|{shop.customer['id']}|{of}"

        async def over() -> bool:
            found = await self.collection.find_one({"_id": id})
            soon = real_now() + timedelta(minutes=5)
            return found is not None and found.get("due_at", soon) >= soon

        await testing.eventually(over, within=20)


@pytest.fixture
async def readings(database: chassis_mongo.Database) -> Readings:
    return Readings(database)
