"""`purser demo`: from nothing to a purchased licence, through the gateway alone."""

import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

from purser_cli.gateway import Answered, Gateway, Refused
from purser_cli.login import fetch

MARKETPLACE = "ingram-micro-xvantage"
MPN, SKU_ID, SKU = "SIMBP:0001_P1Y:M", "cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46", "SPB"
PRICED = (MPN, "SIMBS:0001_P1Y:M", "SIMBB:0001_P1Y:M")
PATIENCE = 60.0
DEMO_ROLES = ("requester", "approver", "purchaser", "price_admin", "viewer", "auditor")

console = Console(highlight=False)


class Journey:
    """The steps, each told with its time; what exists already is used as it is."""

    def __init__(self, gateway: Gateway, sandbox: str) -> None:
        self.gateway = gateway
        self.sandbox = sandbox
        self.started = time.monotonic()

    def tell(self, step: str, detail: str) -> None:
        """Print one step with the seconds since the start."""
        elapsed = f"[dim]{time.monotonic() - self.started:6.2f}s[/]"
        console.print(f"{elapsed} [bold]{step:<22}[/] {detail}", soft_wrap=True)

    def accounts(self) -> list[dict[str, Any]]:
        """The sandbox's marketplace accounts: login, resellers and customers of each."""
        seed = httpx.get(f"{self.sandbox}/sandbox/seed", timeout=10).raise_for_status().json()
        accounts: list[dict[str, Any]] = seed["accounts"]
        return accounts

    def customer(self, account: dict[str, Any], reseller: Answered) -> dict[str, Any]:
        """The first customer of the reseller at the marketplace."""
        sold_by = reseller["marketplace_reseller_id"]
        own = next(r for r in account["resellers"] if r["id"] == sold_by)
        customer: dict[str, Any] = own["customers"][0]
        return customer

    def roles(self) -> None:
        """Give the demo users the roles that they are named for."""
        for role in DEMO_ROLES:
            principal = f"group:purser-{role.replace('_', '-')}"
            body = {"principal": principal, "role": role, "scope": "all"}
            self.gateway.call("POST", "/v1/role-assignments", body)
        self.tell("roles given", f"to the demo users {', '.join(DEMO_ROLES)}")

    def reseller(self, login: dict[str, Any], name: str) -> Answered:
        """Add a reseller in two steps, and enable buying."""
        for known in self.gateway.all("/v1/resellers"):
            if known["display_name"] == name:
                self.tell("reseller", f"{name} is there already: {known['id']}")
                return self.buying(self.gateway.call("GET", f"/v1/resellers/{known['id']}"))
        credentials = {
            "region": login["region"],
            "subscription_key": login["subscription_key"],
            "username": login["username"],
            "password": login["password"],
        }
        proven = self.gateway.call("POST", "/v1/reseller-verifications", credentials)
        visible = proven["resellers"]
        self.tell(
            "credentials proven", f"{len(visible)} resellers visible ({proven['account_kind']})"
        )
        body = {
            "verification_id": proven["id"],
            "display_name": name,
            "marketplace_reseller_id": visible[-1]["id"],
        }
        try:
            added = self.gateway.call("POST", "/v1/resellers", body)
        except Refused as error:
            if error.code != "reseller_exists":
                raise
            added = self.gateway.call("GET", f"/v1/resellers/{error.problem['reseller_id']}")
            self.tell("reseller", f"{visible[-1]['name']} is {added['display_name']} already")
            return self.buying(added)
        self.tell("reseller added", f"{name}: {added['id']}")
        return self.buying(added)

    def buying(self, reseller: Answered) -> Answered:
        """Let licences be bought through the reseller."""
        if reseller["buying_enabled"]:
            return reseller
        path = f"/v1/resellers/{reseller['id']}"
        enabled = self.gateway.call("PATCH", path, {"buying_enabled": True}, if_match=reseller.etag)
        self.tell("buying enabled", reseller["id"])
        return enabled

    def tenant(self, customer: dict[str, Any]) -> Answered:
        """Add the customer and its tenant, with the administrator's consent."""
        entra = customer["entra_tenants"][0]
        for known in self.gateway.all("/v1/tenants"):
            if known["entra_tenant_id"] == entra["id"]:
                self.tell("tenant", f"{known['name']} is there already: {known['id']}")
                return self.gateway.call("GET", f"/v1/tenants/{known['id']}")
        owner = self.gateway.call("POST", "/v1/customers", {"name": customer["name"]})
        self.tell("customer added", f"{customer['name']}: {owner['id']}")
        registered = self.gateway.call(
            "POST",
            f"/v1/customers/{owner['id']}/tenants",
            _tenant_of(customer),
        )
        self.tell("tenant registered", f"{entra['domain']}: {registered['id']}")
        return registered

    def consent(self, tenant: Answered) -> Answered:
        """Send the administrator to Microsoft and back."""
        path = f"/v1/tenants/{tenant['id']}"
        if tenant["consent"]["status"] == "granted":
            return self.gateway.call("GET", path)
        asked = self.gateway.call("POST", f"{path}/consent-requests", {})
        url = asked["authorization_url"] + "&sandbox_auto=accept"
        page = httpx.get(url, follow_redirects=True, timeout=30)
        page.raise_for_status()
        self.tell("consent granted", f"{len(asked['permissions'])} permissions")
        return self.gateway.call("GET", path)

    def connect(self, tenant: Answered, reseller: Answered, customer: dict[str, Any]) -> Answered:
        """Add the tenant to the module and connect it to its marketplace customer."""
        id = tenant["id"]
        if MARKETPLACE not in tenant["marketplaces"]:
            tenant = self.gateway.call("PUT", f"/v1/marketplaces/{MARKETPLACE}/tenants/{id}")
            self.tell("tenant added", f"to {MARKETPLACE}")
        if tenant["connection"] is not None:
            return tenant
        connected = self.gateway.call(
            "PUT",
            f"/v1/tenants/{id}/connection",
            {"reseller_id": reseller["id"], "marketplace_customer_id": customer["id"]},
            if_match=tenant.etag,
        )
        self.tell("tenant connected", f"to marketplace customer {customer['id']}")
        return connected

    def product(self, reseller: Answered) -> dict[str, Any]:
        """Find the product and map it to its Microsoft licence."""
        path = f"/v1/resellers/{reseller['id']}"
        sold = self.gateway.all(f"{path}/products", mpn=MPN)
        identity: dict[str, Any] = sold[0]["product"]
        try:
            mapped = self.gateway.call(
                "POST",
                f"{path}/license-mappings",
                {"product": identity, "sku_id": SKU_ID, "sku_part_number": SKU, "is_default": True},
            )
            self.tell("licence mapped", f"{mapped['product_name']} = {SKU}")
        except Refused as error:
            if error.code != "mapping_exists":
                raise
            self.tell("licence", f"{MPN} is mapped already")
        return identity

    def buy(self, tenant: Answered, product: dict[str, Any], quantity: int) -> dict[str, Any]:
        """Preview, purchase, and follow the order until the licences are there."""
        want = {"tenant_id": tenant["id"], "product": product, "quantity": quantity}
        preview = self.gateway.call("POST", "/v1/purchase-previews", want)
        total = preview["total"] or {"amount": "unknown", "currency": ""}
        price = f"{total['amount']} {total['currency']}"
        self.tell("previewed", f"{quantity} x {preview['product_name']}: {price}")
        po_number = f"PO-{int(time.time())}"
        asked = self.gateway.call(
            "POST", "/v1/license-change-requests", {**want, "kind": "buy", "po_number": po_number}
        )
        self.tell("purchase requested", f"{po_number}: {asked['id']}")
        path = f"/v1/license-change-requests/{asked['id']}"
        done: dict[str, Any] = self.until(
            lambda: self.gateway.call("GET", path).body,
            lambda request: request["status"] not in ("placing", "placed"),
        )
        if done["status"] != "completed":
            raise typer.Exit(self.fail(f"the request is {done['status']}: {done['failure']}"))
        self.tell("order completed", f"{done['order']['number']}")
        return done

    def result(self, tenant: Answered, bought: dict[str, Any]) -> None:
        """Show the subscription with its seats, the trail, and the overview."""
        wanted = bought["marketplace_subscription_id"]
        shown = self.until(
            lambda: self.gateway.call("GET", "/v1/overview").body,
            lambda overview: any(
                s["marketplace_subscription_id"] == wanted and s["status"] == "active"
                for s in overview["subscriptions"]
            ),
        )
        for subscription in shown["subscriptions"]:
            if subscription["marketplace_subscription_id"] == wanted:
                seats = sum(option["quantity"] for option in subscription["options"])
                self.tell("subscription", f"{subscription['name']}: {seats} seats, active")
        trail = self.until(
            lambda: self.gateway.all("/v1/audit-records", tenant_id=tenant["id"]),
            lambda records: any(r["type"] == "purser.license.purchased.v1" for r in records),
        )
        for record in reversed(trail[:12]):
            line = f"        [dim]{record['at']}[/] {record['actor']:<22} {record['summary']}"
            console.print(line, soft_wrap=True)
        counts = ", ".join(f"{number} {name}" for name, number in shown["counts"].items())
        self.tell("overview", counts)

    def prices(self, reseller: Answered) -> None:
        """Give the reseller own prices of some plans: what it pays now, and a tenth more."""
        path = f"/v1/resellers/{reseller['id']}"
        plans = {
            plan["product"]["mpn"]: plan["id"] for plan in self.gateway.all(f"{path}/price-plans")
        }
        for mpn in PRICED:
            if mpn not in plans:
                sold = self.gateway.all(f"{path}/products", mpn=mpn)
                body = {"product": sold[0]["product"]}
                plans[mpn] = self.gateway.call("POST", f"{path}/price-plans", body)["id"]
        body = {"plan_ids": [plans[mpn] for mpn in PRICED], "increase_percent": "10"}
        priced = self.gateway.call("POST", f"{path}/price-plans/uniform-price", body)
        for one in priced["results"]:
            if one["status"] == "refused":
                self.tell("not priced", f"{one['plan_id']}: {one['reason']}")
                continue
            plan = one["plan"]
            pays, asks = (plan[name][0]["money"] for name in ("reseller_price", "own_price"))
            detail = (
                f"{plan['product_name']}: {pays['amount']} → {asks['amount']} {asks['currency']}"
            )
            self.tell("priced 10 % above cost", detail)

    def imported(self, account: dict[str, Any], reseller: Answered) -> None:
        """Bring all of the reseller's marketplace customers in at once, with their tenants."""
        own = account["resellers"][0]
        rows = [
            {"marketplace_customer_id": customer["id"], "tenant": _tenant_of(customer)}
            for customer in own["customers"]
        ]
        body = {"reseller_id": reseller["id"], "rows": rows}
        found = self.gateway.call("POST", "/v1/customer-imports", body)["rows"]
        counts = Counter(str(row["outcome"]) for row in found)
        told = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
        self.tell("customers imported", f"of {reseller['display_name']}: {told}")

    def store(self, tenant: Answered, mpn: str) -> None:
        """Show the tenant's store, and one item of it."""
        path = f"/v1/tenants/{tenant['id']}/store-items"
        items = self.gateway.all(path)
        self.tell("store", f"{len(items)} products of the tenant's reseller")
        chosen = next(item for item in items if item["product"]["mpn"] == mpn)
        item = self.gateway.call("GET", f"{path}/{chosen['id']}")
        needed = [one["name"] or one["mpn"] for one in (*item["requires"], *item["dependents"])]
        about = f"goes with {', '.join(needed)}" if needed else "stands alone"
        self.tell("store item", f"{item['name']}: {about}; read {item['read_at']}")

    def until(self, ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        """Ask until the answer is good, within a bound."""
        deadline = time.monotonic() + PATIENCE
        while not good(answer := ask()):
            if time.monotonic() > deadline:
                raise typer.Exit(self.fail("it did not happen in time"))
            time.sleep(0.1)
        return answer

    def fail(self, why: str) -> int:
        """Say why the journey ends here."""
        console.print(f"[bold red]failed[/] {why}")
        return 1


def _tenant_of(customer: dict[str, Any]) -> dict[str, Any]:
    entra = customer["entra_tenants"][0]
    return {"entra_tenant_id": entra["id"], "domain": entra["domain"], "name": customer["name"]}


def demo(
    gateway_url: Annotated[str, typer.Option(envvar="GATEWAY_URL")] = "http://127.0.0.1:8600",
    sandbox_url: Annotated[str, typer.Option(envvar="SANDBOX_URL")] = "http://127.0.0.1:8610",
    quantity: int = 5,
) -> None:
    """Buy a licence from scratch through the gateway, telling every step."""
    gateway = Gateway(gateway_url, fetch(f"{sandbox_url}/oidc", "admin", "purser-admin"))
    journey = Journey(gateway, sandbox_url)
    try:
        journey.roles()
        account, leaf, *_ = journey.accounts()
        reseller = journey.reseller(account["login"], "Northwind Cloud")
        customer = journey.customer(account, reseller)
        tenant = journey.connect(journey.consent(journey.tenant(customer)), reseller, customer)
        product = journey.product(reseller)
        second = journey.reseller(leaf["login"], "Alpine Cloud")
        journey.prices(second)
        journey.imported(leaf, second)
        journey.store(tenant, "SIMBS:0001_P1M:M")
        bought = journey.buy(tenant, product, quantity)
        journey.result(tenant, bought)
    except (Refused, httpx.HTTPError) as error:
        raise typer.Exit(journey.fail(str(error))) from error
    started = os.environ.get("MAKE_STARTED")
    whole = f"; {time.time() - float(started):.0f} s since make began" if started else ""
    console.print(f"[bold green]purchased[/] in {time.monotonic() - journey.started:.1f} s{whole}")
