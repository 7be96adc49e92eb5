"""One whole system for these tests, reached through the gateway and the sandbox's own routes."""

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import Ports
from requirements_plugin import watch
from stack import Stack

from purser_common import settings
from purser_common.testing import eventually

MARKETPLACE = "ingram-micro-xvantage"
MPN, SKU_ID, SKU = "SIMBP:0001_P1Y:M", "cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46", "SPB"
TIMES = {
    "SEND_WITHIN_SECONDS": "2",
    "VERIFY_SECONDS": "2",
    "VERIFY_EVERY_SECONDS": "0.5",
    "QUARANTINE_SECONDS": "3",
    "RETRY_SECONDS": "0.3",
    "ORDER_ANSWER_SECONDS": "30",
    "SANDBOX_SUBMITTED_SECONDS": "0",
    "SANDBOX_PROCESSING_SECONDS": "0",
}
Json = dict[str, Any]


class System:
    """The running stack, called as its users call it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.kafka = settings.Kafka(bootstrap_servers=stack.kafka)
        self._http = httpx.Client(base_url=stack.url("gateway"), timeout=60)
        watch.over(self._http)
        self.sandbox = httpx.Client(base_url=stack.url("sandbox"), timeout=30)
        self.admin = self.token("admin")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self.sandbox.close()

    def outside(self, service: str) -> httpx.Client:
        """A connection to a service's own address, for its health."""
        return httpx.Client(base_url=self.stack.url(service), timeout=10)

    def token(self, user: str) -> str:
        """An access token of a demo user."""
        form = {
            "grant_type": "password",
            "client_id": "purser-cli",
            "username": user,
            "password": f"purser-{user}",
            "scope": "openid",
        }
        answer = self.sandbox.post("/oidc/token", data=form).raise_for_status()
        return str(answer.json()["access_token"])

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str | None] | None = None,
        content: bytes | Iterator[bytes] | None = None,
        params: Json | None = None,
    ) -> httpx.Response:
        """One call as the admin under a new key; a header of None is left out."""
        sent: dict[str, str | None] = {"Authorization": f"Bearer {self.admin}"}
        if method == "POST":
            sent["Idempotency-Key"] = str(uuid.uuid4())
        sent |= headers or {}
        given = {name: value for name, value in sent.items() if value is not None}
        if content is not None:
            given["Content-Type"] = "application/json"
            return self._http.request(method, path, content=content, headers=given, params=params)
        return self._http.request(method, path, json=body, headers=given, params=params)

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """A call that must be taken."""
        answer = self.ask(method, path, body, **more)
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def get(self, path: str, **params: Any) -> Any:
        """What a GET answers."""
        return self.call("GET", path, params=params).json()

    def fault(self, **fault: Any) -> Json:
        """Plant a fault at the sandbox."""
        planted: Json = self.sandbox.post("/sandbox/faults", json=fault).raise_for_status().json()
        return planted

    def journal(self, customer_id: str) -> list[Json]:
        """Every order that the marketplace executed for a customer."""
        answer = self.sandbox.get("/sandbox/journal", params={"customer_id": customer_id})
        executed: list[Json] = answer.raise_for_status().json()
        return executed

    async def request(self, id: str, *statuses: str, within: float = 20.0) -> Json:
        """A licence change request once it has one of these statuses."""
        path = f"/v1/license-change-requests/{id}"

        def reached() -> Json | None:
            found: Json = self.get(path)
            assert found["status"] in statuses, (found["status"], found["execution"])
            return found

        found = await eventually(reached, within=within, every=0.1)
        assert found is not None
        return found

    def seller(self, **asked: Any) -> "Shop":
        """An account of its own at the marketplace, with nothing done about it but its reseller."""
        account = self.sandbox.post("/sandbox/accounts", json=asked).raise_for_status().json()
        shop = Shop(self, account)
        shop.add_reseller()
        return shop

    def shop(self, **lacking: bool) -> "Shop":
        """An account of its own, up to a connected tenant and a mapped licence."""
        shop = self.seller(customers=2, resellers=1)
        if lacking.get("buying", True):
            shop.enable_buying()
        shop.register_tenant()
        if lacking.get("connected", True):
            shop.consent()
            shop.connect()
        shop.map_license()
        return shop


@dataclass
class Shop:
    """One reseller with one customer's tenant."""

    system: System
    account: Json
    reseller: Json = field(default_factory=dict)
    tenant: Json = field(default_factory=dict)
    product: Json = field(default_factory=dict)

    @property
    def credentials(self) -> Json:
        """The account's login as a verification takes it."""
        login = self.account["login"]
        names = ("region", "subscription_key", "username", "password")
        return {name: login[name] for name in names}

    @property
    def customer(self) -> Json:
        """The marketplace's customer."""
        found: Json = self.account["resellers"][0]["customers"][0]
        return found

    def add_reseller(self) -> None:
        """Prove the credentials and add the reseller."""
        proven = self.system.call("POST", "/v1/reseller-verifications", self.credentials).json()
        body = {
            "verification_id": proven["id"],
            "display_name": f"Contoso Cloud {uuid.uuid4().hex[:8]}",
            "marketplace_reseller_id": proven["resellers"][0]["id"],
        }
        self.reseller = self.system.call("POST", "/v1/resellers", body).json()

    def enable_buying(self) -> None:
        """Let licences be bought."""
        self.change_reseller(buying_enabled=True)

    def change_reseller(self, **fields: Any) -> None:
        """Change fields of the reseller."""
        path = f"/v1/resellers/{self.reseller['id']}"
        etag = self.system.call("GET", path).headers["etag"]
        self.reseller = self.system.call("PATCH", path, fields, headers={"If-Match": etag}).json()

    def register_tenant(self) -> None:
        """Add the customer and its tenant."""
        owner = self.system.call("POST", "/v1/customers", {"name": self.customer["name"]}).json()
        entra = self.customer["entra_tenants"][0]
        body = {
            "entra_tenant_id": entra["id"],
            "name": self.customer["name"],
            "domain": entra["domain"],
        }
        path = f"/v1/customers/{owner['id']}/tenants"
        self.tenant = self.system.call("POST", path, body).json()

    def consent(self) -> None:
        """Send the tenant's administrator to Microsoft and back."""
        path = f"/v1/tenants/{self.tenant['id']}"
        asked = self.system.call("POST", f"{path}/consent-requests", {}).json()
        url = asked["authorization_url"] + "&sandbox_auto=accept"
        httpx.get(url, follow_redirects=True, timeout=30).raise_for_status()
        self.tenant = self.system.get(path)
        assert self.tenant["consent"]["status"] == "granted"

    def connect(self) -> None:
        """Add the tenant to the module and connect it."""
        id = self.tenant["id"]
        added = self.system.call("PUT", f"/v1/marketplaces/{MARKETPLACE}/tenants/{id}")
        body = {
            "reseller_id": self.reseller["id"],
            "marketplace_customer_id": self.customer["id"],
        }
        headers = {"If-Match": added.headers["etag"]}
        path = f"/v1/tenants/{id}/connection"
        self.tenant = self.system.call("PUT", path, body, headers=headers).json()

    def map_license(self) -> None:
        """Map the product to its Microsoft licence; another shop may have done it."""
        path = f"/v1/resellers/{self.reseller['id']}"
        self.product = self.system.get(f"{path}/products", mpn=MPN)["items"][0]["product"]
        body = {
            "product": self.product,
            "sku_id": SKU_ID,
            "sku_part_number": SKU,
            "is_default": True,
        }
        mapped = self.system.ask("POST", f"{path}/license-mappings", body)
        assert mapped.status_code == 201 or mapped.json()["code"] == "mapping_exists", mapped.text

    def want(self, **changes: Any) -> Json:
        """The body of a purchase."""
        return {
            "tenant_id": self.tenant["id"],
            "kind": "buy",
            "product": self.product,
            "quantity": 5,
            "po_number": f"PO-{uuid.uuid4().hex[:8]}",
            **changes,
        }

    async def bought(self, **changes: Any) -> Json:
        """The subscription of a completed purchase, once Purser's mirror shows it."""
        asked = self.system.call("POST", "/v1/license-change-requests", self.want(**changes)).json()
        done = await self.assert_bought_once(asked)
        wanted = done["marketplace_subscription_id"]

        def shown() -> Json | None:
            found = self.system.get(f"/v1/tenants/{self.tenant['id']}/subscriptions")["items"]
            return next((s for s in found if s["marketplace_subscription_id"] == wanted), None)

        subscription = await eventually(shown, within=20, every=0.1)
        assert subscription is not None
        return subscription

    def new_total(self, subscription: Json, quantity: int, **changes: Any) -> Json:
        """The body of a change of a subscription's seats."""
        return self.want(
            kind="change_quantity",
            subscription_id=subscription["id"],
            expected_quantity=subscription["options"][0]["quantity"],
            quantity=quantity,
            **changes,
        )

    def panel(self, method: str, path: str, **more: Any) -> httpx.Response:
        """What a person does at the marketplace itself, without Purser."""
        login = self.account["login"]
        base = f"/marketplace/{login['region']}"
        key = {"X-Subscription-Key": login["subscription_key"]}
        token = self.system.sandbox.post(
            f"{base}/token",
            json={"marketplace": login["marketplace"]},
            auth=(login["username"], login["password"]),
            headers=key,
        ).raise_for_status()
        headers = {**key, "Authorization": f"Bearer {token.json()['token']}"}
        return self.system.sandbox.request(method, base + path, headers=headers, **more)

    @staticmethod
    def import_rows(customers: list[Json]) -> list[Json]:
        """What brings marketplace customers in, each with its tenant."""
        return [
            {
                "marketplace_customer_id": one["id"],
                "tenant": {
                    "entra_tenant_id": one["entra_tenants"][0]["id"],
                    "domain": one["entra_tenants"][0]["domain"],
                    "name": one["name"],
                },
            }
            for one in customers
        ]

    def order_at_the_panel(self, **order: Any) -> Json:
        """An order that somebody places at the marketplace itself."""
        line = {
            "mpn": self.product["mpn"],
            "vendor": self.product["vendor"],
            "subscriptionPeriod": self.product["subscription_period"],
            "billingPeriod": self.product["billing_period"],
            "quantity": order.pop("quantity", 5),
        }
        if "subscriptionId" in order:
            line["subscriptionId"] = order["subscriptionId"]
        body = {"type": "sales", "customerId": self.customer["id"], "products": [line], **order}
        placed: Json = self.panel("POST", "/orders", json=body).raise_for_status().json()
        return placed

    def buy(self, **more: Any) -> Json:
        """A purchase that is accepted."""
        path = "/v1/license-change-requests"
        bought: Json = self.system.call("POST", path, self.want(), **more).json()
        return bought

    def fault(self, **fault: Any) -> Json:
        """A fault of this account's next order."""
        login_id = self.account["login"]["id"]
        return self.system.fault(route="POST /orders", login_id=login_id, **fault)

    def orders(self, request: Json) -> list[Json]:
        """Every order that the marketplace executed for a request."""
        prefix = request["po_number"]
        executed = self.system.journal(self.customer["id"])
        return [order for order in executed if (order["poNumber"] or "").startswith(prefix)]

    async def executed(self, request: Json) -> None:
        """Wait until the marketplace has executed the request's order."""
        await eventually(lambda: self.orders(request), within=10, every=0.01)

    async def assert_bought_once(self, request: Json, within: float = 20.0) -> Json:
        """The request completes, with the only order that was ever executed for it."""
        done = await self.system.request(request["id"], "completed", within=within)
        executed = self.orders(request)
        assert len(executed) == 1, executed
        assert done["order"]["id"] in executed[0].values()
        assert done["execution"]["evidence"][0]["order_id"] == done["order"]["id"]
        return done


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole system with short times and an instant marketplace."""
    home: Path = tmp_path_factory.mktemp("system")
    stack = Stack(home, Ports.free(), environment=TIMES)
    stack.up()
    try:
        system = System(stack)
        yield system
        system.sandbox.delete("/sandbox/faults")
        system.close()
    finally:
        began = time.monotonic()
        stack.down()
        assert time.monotonic() - began < 40


@pytest.fixture(scope="session")
def market(system: System) -> Shop:
    """A shop that tests share when they change nothing of it."""
    return system.shop()


@pytest.fixture
def shop(system: System) -> Shop:
    """A shop of the test's own."""
    return system.shop()
