"""Customers, tenants, consent and connections, as an operator or a script uses them."""

import uuid
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from integration.conftest import Shop

from purser_common.testing import eventually

MODULE = "ingram-micro-xvantage"
REQUESTS = "/v1/license-change-requests"
CALLBACK = "/v1/consent/callback"
Json = dict[str, Any]


def refused(answer: httpx.Response, code: str, status: int = 409) -> Json:
    assert answer.status_code == status, answer.text
    body: Json = answer.json()
    assert body["code"] == code, body
    return body


def etag(system: Any, path: str) -> Json:
    return {"If-Match": system.call("GET", path).headers["etag"]}


def account(system: Any, customers: int = 2) -> Json:
    asked = {"customers": customers, "resellers": 1}
    made: Json = system.sandbox.post("/sandbox/accounts", json=asked).raise_for_status().json()
    return made


def entra(account: Json, n: int = 0) -> Json:
    found: Json = account["resellers"][0]["customers"][n]["entra_tenants"][0]
    return found


def register(system: Any, customer_id: str, entra: Json, **changed: Any) -> httpx.Response:
    body = {"entra_tenant_id": entra["id"], "name": "Head office", "domain": entra["domain"]}
    answer: httpx.Response = system.ask(
        "POST", f"/v1/customers/{customer_id}/tenants", body | changed
    )
    return answer


def returned(url: str, how: str = "accept") -> Json:
    """What Microsoft sends the administrator's browser back with."""
    gone = httpx.get(f"{url}&sandbox_auto={how}", timeout=30)
    assert gone.status_code == 302, gone.text
    return dict(parse_qsl(urlsplit(gone.headers["location"]).query))


def come_back(system: Any, query: Json, accept: str = "*/*") -> httpx.Response:
    """The browser on its way back, which nobody has signed in with."""
    headers = {"Authorization": None, "Accept": accept}
    answer: httpx.Response = system.ask("GET", CALLBACK, params=query, headers=headers)
    return answer


def connection(system: Any, tenant: Json, method: str, body: Any = None, **params: Any) -> Any:
    path = f"/v1/tenants/{tenant['id']}"
    headers = etag(system, path)
    return system.ask(method, f"{path}/connection", body, headers=headers, params=params or None)


async def told(system: Any, tenant: Json, topic: str) -> list[Json]:
    """The audit records of this fact about a tenant, once there is one."""
    return await recorded(system, topic, tenant_id=tenant["id"])


async def recorded(system: Any, topic: str, **about: str) -> list[Json]:
    def shown() -> list[Json]:
        found = system.get("/v1/audit-records", limit=200, **about)["items"]
        return [one for one in found if one["type"] == f"purser.{topic}.v1"]

    return await eventually(shown, within=10, every=0.1)


@pytest.mark.requirement("R35.a", "R35.b", "R35.c", "R35.d", "R35.e", "R37.b", "R37.c", "R37.d")
async def test_a_customer_and_its_tenants_are_kept(system: Any) -> None:
    market = account(system)
    made = system.call("POST", "/v1/customers", {"name": f"Alpine {uuid.uuid4().hex[:8]}"})
    id, path = made.json()["id"], f"/v1/customers/{made.json()['id']}"
    assert id in [one["id"] for one in system.get("/v1/customers")["items"]]
    new = {"name": "Alpine Ski House"}
    renamed = system.call("PATCH", path, new, headers={"If-Match": made.headers["etag"]})
    assert system.get(path)["name"] == renamed.json()["name"] == new["name"]
    (fact,) = await recorded(system, "customer.updated", subject=f"customer/{id}")
    assert fact["changes"] == [
        {"pointer": "/name", "before": made.json()["name"], "after": new["name"]}
    ]

    wrong = register(system, id, entra(market), domain="no domain", name="", entra_tenant_id="7")
    body = refused(wrong, "invalid", 422)
    pointers = {error["pointer"] for error in body["errors"]}
    assert pointers == {"/domain", "/name", "/entra_tenant_id"}
    tenant = register(system, id, entra(market)).raise_for_status().json()
    other = system.call("POST", "/v1/customers", {"name": "Another"}).json()
    body = refused(register(system, other["id"], entra(market)), "tenant_exists")
    assert body["tenant_id"] == tenant["id"]

    headers = etag(system, path)
    refused(system.ask("DELETE", path, headers=headers), "confirmation_required", 422)
    yes = {"confirm": "true"}
    body = refused(system.ask("DELETE", path, headers=headers, params=yes), "customer_has_tenants")
    assert [one["id"] for one in body["tenants"]] == [tenant["id"]]
    path = f"/v1/customers/{other['id']}"
    gone = system.call("DELETE", path, headers=etag(system, path), params=yes).json()
    assert gone["status"] == "removed"
    assert other["id"] not in [one["id"] for one in system.get("/v1/customers")["items"]]


@pytest.mark.requirement(
    *("R2.a", "R34.a", "R36.a", "R36.b", "R37.a", "R38.a", "R39.a", "R40.a", "R40.b"),
    *("R41.a", "R41.b", "R41.c", "R41.d", "R41.e", "R41.f", "R42.a", "R42.b"),
)
async def test_a_tenant_is_added_by_way_of_its_consent(system: Any) -> None:
    market = account(system, 3)
    customer = system.call("POST", "/v1/customers", {"name": "Coho Winery"}).json()
    choice = f"/v1/customers/{customer['id']}/tenants"
    none = system.get(choice, addable_to=MODULE)
    assert (none["items"], none["missing_step"]) == ([], f"POST {choice}")
    tenant, plain = (register(system, customer["id"], entra(market, n)).json() for n in (0, 1))
    path, add = f"/v1/tenants/{tenant['id']}", f"/v1/marketplaces/{MODULE}/tenants/{tenant['id']}"
    body = refused(system.ask("PUT", add), "consent_required")
    assert body["missing_step"] == f"POST {path}/consent-requests"
    stranger = {"Authorization": f"Bearer {system.token('customer-viewer')}"}
    refused(system.ask("PUT", add, headers=stranger), "not_found", 404)
    asked_for = system.get(f"/v1/marketplaces/{MODULE}/permissions")["items"]
    assert all(one["name"] and one["purpose"] for one in asked_for)

    asked = system.call("POST", f"{path}/consent-requests", {"add_to": MODULE}).json()
    assert asked["permissions"] == [one["name"] for one in asked_for]
    flow = f"/v1/consent-requests/{asked['id']}"
    come_back(system, returned(asked["authorization_url"], "decline"))
    refused(system.ask("POST", f"{flow}/completion", {}), "consent_declined")

    seller = reseller_of(system, market)
    target = {
        "reseller_id": seller["id"],
        "marketplace_customer_id": market["resellers"][0]["customers"][0]["id"],
    }
    chosen = {"add_to": MODULE, "connect": target}
    asked = system.call("POST", f"{path}/consent-requests", chosen).json()
    flow = f"/v1/consent-requests/{asked['id']}"
    answer = returned(asked["authorization_url"])
    shown = {
        one["id"]: one["consent"]["status"]
        for one in system.get(choice, addable_to=MODULE)["items"]
    }
    assert shown == {tenant["id"]: "requested", plain["id"]: "missing"}
    refused(system.ask("POST", f"{flow}/completion", {}), "consent_waiting")
    forged = {
        **answer,
        "state": answer["state"][:-1] + ("0" if answer["state"][-1] != "0" else "1"),
    }
    refused(come_back(system, forged), "consent_state_invalid", 400)
    mixed = {**answer, "tenant": entra(market, 1)["id"]}
    refused(come_back(system, mixed), "consent_tenant_mismatch", 400)
    page = come_back(system, answer, "text/html")
    assert page.status_code == 200, page.text
    assert "authorised" in page.text
    assert asked["id"] in page.text
    refused(come_back(system, answer), "consent_state_used")
    kept = system.get(flow)
    assert (kept["status"], kept["add_to"], kept["connect"]) == ("accepted", MODULE, target)
    done = system.call("POST", f"{flow}/completion", {}).json()
    assert done["marketplaces"] == [MODULE]
    assert done["connection"]["reseller_id"] == seller["id"]
    left = system.get(choice, addable_to=MODULE)["items"]
    assert [one["id"] for one in left] == [plain["id"]]
    await told(system, tenant, "tenant.added")

    url = system.call("POST", f"/v1/tenants/{plain['id']}/consent-requests", {}).json()
    returned(url["authorization_url"])  # Microsoft has it; the way back is lost
    at_once = system.call("PUT", f"/v1/marketplaces/{MODULE}/tenants/{plain['id']}").json()
    assert at_once["consent"]["status"] == "granted"
    together = {**target, "reseller_id": seller["id"]}
    both = connection(system, plain, "PUT", together)
    assert both.status_code == 200, both.text


def reseller_of(system: Any, market: Json) -> Json:
    """A reseller of an account."""
    shop = Shop(system, market)
    shop.add_reseller()
    return shop.reseller


@pytest.mark.requirement(
    *("R2.b", "R2.c", "R2.d", "R3.a", "R3.b", "R39.b", "R45.a", "R46.a", "R46.b", "R46.c"),
    *("R46.d", "R46.e", "R47.a", "R48.a", "R49.a", "R49.b"),
)
async def test_a_tenant_is_connected_moved_and_disconnected(system: Any) -> None:
    shop, second = system.shop(connected=False), account(system)
    tenant, path = shop.tenant, f"/v1/tenants/{shop.tenant['id']}"
    page = system.get(f"/v1/resellers/{shop.reseller['id']}/customers", limit=1)
    assert (len(page["items"]), bool(page["next"])) == (1, True)
    target = {
        "reseller_id": shop.reseller["id"],
        "marketplace_customer_id": shop.customer["id"],
    }
    body = refused(connection(system, tenant, "PUT", target), "tenant_not_added")
    assert body["missing_step"].startswith("PUT /v1/marketplaces/")
    body = refused(system.ask("POST", REQUESTS, shop.want()), "tenant_not_connected")
    assert body["missing_step"] == f"PUT {path}/connection"

    async def read_only() -> Json | None:
        found: Json | None = system.get(f"{path}/subscriptions")["read_only"]
        return found

    why = await eventually(read_only, within=10, every=0.1)
    assert why is not None
    assert (why["code"], why["missing_step"]) == ("tenant_not_connected", f"PUT {path}/connection")

    shop.consent()
    system.call("PUT", f"/v1/marketplaces/{MODULE}/tenants/{tenant['id']}")
    nobody = {**target, "reseller_id": "nobody"}
    refused(connection(system, tenant, "PUT", nobody), "reseller_required")
    unknown = {**target, "marketplace_customer_id": "999999999"}
    refused(connection(system, tenant, "PUT", unknown), "unknown_marketplace_customer", 422)
    system.sandbox.delete(f"/sandbox/entra-tenants/{tenant['entra_tenant_id']}/consents")
    refused(connection(system, tenant, "PUT", target), "consent_required")
    shop.consent()
    first = connection(system, tenant, "PUT", target)
    assert first.status_code == 200, first.text
    await told(system, tenant, "tenant.connected")
    await eventually(
        lambda: system.get(f"{path}/subscriptions")["read_only"] is None, within=10, every=0.1
    )

    sister = register(system, tenant["customer_id"], entra(second)).json()
    stranger = system.shop(connected=False)
    for one in (sister, stranger.tenant):
        url = system.call("POST", f"/v1/tenants/{one['id']}/consent-requests", {}).json()
        come_back(system, returned(url["authorization_url"]))
        system.call("PUT", f"/v1/marketplaces/{MODULE}/tenants/{one['id']}")
    assert connection(system, sister, "PUT", target).status_code == 200
    taken = connection(system, stranger.tenant, "PUT", target)
    assert refused(taken, "marketplace_customer_taken")["customer_id"] == tenant["customer_id"]

    other = reseller_of(system, second)
    there = {
        "reseller_id": other["id"],
        "marketplace_customer_id": second["resellers"][0]["customers"][0]["id"],
    }
    for move in (there, target):
        moved = connection(system, tenant, "PATCH", move)
        assert moved.status_code == 200, moved.text
        assert {name: moved.json()["connection"][name] for name in move} == move

    async def both() -> list[Json] | None:
        found = await told(system, tenant, "tenant.connection-changed")
        return found if len(found) == 2 else None

    facts = await eventually(both, within=10, every=0.1)
    assert facts is not None
    moves = [(c["before"], c["after"]) for fact in facts for c in fact["changes"]]
    named = {(old["reseller_id"], new["reseller_id"]) for old, new in moves}
    here = shop.reseller["id"]
    assert named == {(here, other["id"]), (other["id"], here)}
    refused(connection(system, tenant, "DELETE"), "confirmation_required", 422)
    gone = connection(system, tenant, "DELETE", confirm="true")
    assert (gone.json()["connection"], gone.json()["marketplaces"]) == (None, [MODULE])
    refused(system.ask("POST", REQUESTS, shop.want()), "tenant_not_connected")
    await told(system, tenant, "tenant.disconnected")
    assert connection(system, tenant, "PUT", target).status_code == 200


@pytest.mark.requirement("R43.a", "R43.b", "R43.c", "R43.d", "R43.e", "R44.a", "R48.b", "R49.c")
async def test_open_purchases_hold_a_tenant_and_what_was_not_sent_does_not(
    system: Any, shop: Any
) -> None:
    path = f"/v1/tenants/{shop.tenant['id']}"
    done = await shop.assert_bought_once(shop.buy())
    stop = {"scope": shop.reseller["id"], "reason": "stocktaking"}
    stopped = system.call("POST", "/v1/buying-stops", stop)
    waiting = shop.buy()
    for answer in (
        connection(system, shop.tenant, "DELETE", confirm="true"),
        connection(system, shop.tenant, "PATCH", {"marketplace_customer_id": "1"}),
    ):
        body = refused(answer, "purchases_open")
        assert body["requests"] == [{"id": waiting["id"], "status": "placing"}]
    for word in ("yes", "", "Yes."):
        typed = {"confirmation": word}
        refused(system.ask("POST", f"{path}/removals", typed), "confirmation_required", 422)
    gone = system.call("POST", f"{path}/removals", {"confirmation": "Yes"}).json()
    assert (gone["status"], gone["connection"], gone["marketplaces"]) == ("removed", None, [])
    await system.request(waiting["id"], "withdrawn", within=10)
    assert shop.orders(waiting) == []
    assert system.get(f"{REQUESTS}/{done['id']}")["status"] == "completed"
    await told(system, shop.tenant, "tenant.removed")
    refused(system.ask("POST", REQUESTS, shop.want()), "tenant_removed")

    back = {"id": shop.tenant["entra_tenant_id"], "domain": shop.tenant["domain"]}
    again = register(system, shop.tenant["customer_id"], back).json()
    assert (again["id"], again["status"]) == (shop.tenant["id"], "registered")
    shop.connect()
    holding = stopped.headers["location"]
    lifted = {"headers": etag(system, holding), "params": {"confirm": "true"}}
    system.call("DELETE", holding, **lifted)
    shop.fault(kind="status", status=504, family="html")
    unsure = shop.buy()
    await system.request(unsure["id"], "uncertain", "needs_review")
    body = refused(
        system.ask("POST", f"{path}/removals", {"confirmation": "Yes"}), "purchases_open"
    )
    assert [one["id"] for one in body["requests"]] == [unsure["id"]]
    assert system.get(path)["connection"] is not None
