"""The mirror of subscriptions: whose each one is, what lacks a mapping, and what a move leaves behind."""

from dataclasses import replace
from typing import Any

import pytest

from purser_common.testing import eventually

FOREIGN = "77aa0c1e-5d2b-4f7e-8c9d-2b3a4c5d6e7f"
UNMAPPED = "SIMBB:0001_P1Y:M"
Json = dict[str, Any]


def at_the_panel(shop: Any, names: str | None = None, **order: Any) -> str:
    """A subscription that somebody buys at the marketplace itself; it may name another tenant."""
    id = str(shop.order_at_the_panel(**order)["id"])
    bought = str(shop.panel("GET", f"/orders/{id}").raise_for_status().json()["subscriptionId"])
    if names is not None:
        body = {"entra_tenant_id": names}
        shop.system.sandbox.patch(f"/sandbox/subscriptions/{bought}", json=body).raise_for_status()
    return bought


def second_tenant(shop: Any) -> Any:
    """Another tenant of the same customer, not connected yet."""
    entra = shop.account["resellers"][0]["customers"][1]["entra_tenants"][0]
    body = {"entra_tenant_id": entra["id"], "name": "Branch", "domain": entra["domain"]}
    path = f"/v1/customers/{shop.tenant['customer_id']}/tenants"
    return replace(shop, tenant=shop.system.call("POST", path, body).json())


def listed(shop: Any, **params: Any) -> dict[str, Json]:
    """A tenant's subscriptions by their ids at the marketplace."""
    found = shop.system.get(f"/v1/tenants/{shop.tenant['id']}/subscriptions", **params)["items"]
    return {one["marketplace_subscription_id"]: one for one in found}


async def has(shop: Any, *bought: str) -> None:
    """Wait until these are a tenant's subscriptions."""
    await eventually(lambda: listed(shop).keys() == {*bought}, within=20, every=0.1)


def move(shop: Any, reseller: Json, customer: Json) -> None:
    """Connect the tenant to another marketplace customer."""
    path = f"/v1/tenants/{shop.tenant['id']}"
    etag = shop.system.call("GET", path).headers["etag"]
    body = {"reseller_id": reseller["id"], "marketplace_customer_id": customer["id"]}
    shop.system.call("PATCH", f"{path}/connection", body, headers={"If-Match": etag})


@pytest.mark.requirement("R24.m", "R45.m", "R45.n")
async def test_each_subscription_is_one_tenants_or_a_finding_and_what_is_unmapped_is_counted(
    system: Any,
) -> None:
    shop = system.shop(connected=False)
    branch = second_tenant(shop)
    products = f"/v1/resellers/{shop.reseller['id']}/products"
    other = replace(shop, product=system.get(products, mpn=UNMAPPED)["items"][0]["product"])
    mine, unmapped = at_the_panel(shop), at_the_panel(other)
    theirs = at_the_panel(shop, names=branch.tenant["entra_tenant_id"])
    nobodys = at_the_panel(shop, names=FOREIGN)
    for one in (shop, branch):
        one.consent()
        one.connect()
    await has(shop, mine, unmapped)
    await has(branch, theirs)

    def found() -> Json | None:
        asked = {"status": "open", "customer_id": shop.tenant["customer_id"]}
        findings = system.get("/v1/findings", **asked)["items"]
        return next((one for one in findings if nobodys in one["detail"]), None)

    finding = await eventually(found, within=20, every=0.1)
    assert finding["kind"] == "ms_customer_id_mismatch"
    assert (finding.get("tenant_id"), finding["status"]) == (None, "open")
    assert finding["id"] in {one["id"] for one in system.get("/v1/overview")["findings"]}

    lacking = system.get("/v1/unmapped-subscriptions", tenant_id=shop.tenant["id"])
    (marked,) = lacking["items"]
    assert (lacking["total"], marked["marketplace_subscription_id"]) == (1, unmapped)
    assert [option["mapping"] for option in marked["options"]] == ["unmapped"]
    shown = system.get(f"/v1/subscriptions/{listed(shop)[mine]['id']}")
    assert [option["sku_part_number"] for option in shown["options"]] == ["SPB"]
    body = {"product": other.product, "sku_id": None}
    system.call("POST", f"/v1/resellers/{shop.reseller['id']}/license-mappings", body)
    path = "/v1/unmapped-subscriptions"
    await eventually(
        lambda: system.get(path, tenant_id=shop.tenant["id"])["total"] == 0, within=20, every=0.1
    )


@pytest.mark.requirement("R48.m", "R48.n")
async def test_a_move_leaves_what_was_read_behind_and_coming_back_takes_it_up_again(
    system: Any,
) -> None:
    shop = system.shop(connected=False)
    old = at_the_panel(shop, quantity=5)
    shop.consent()
    shop.connect()
    await has(shop, old)
    asked = {"customers": 1, "resellers": 1}
    account = system.sandbox.post("/sandbox/accounts", json=asked).raise_for_status().json()
    elsewhere = type(shop)(system, account, product=shop.product)
    elsewhere.add_reseller()
    names = shop.tenant["entra_tenant_id"]
    new = at_the_panel(elsewhere, names=names, quantity=7)

    move(shop, elsewhere.reseller, elsewhere.customer)
    await has(shop, new)
    both = listed(shop, former=True)
    assert {id: one["connected"] for id, one in both.items()} == {old: False, new: True}
    shop.order_at_the_panel(type="change", subscriptionId=old, quantity=6)
    left = f"/v1/subscriptions/{both[old]['id']}"
    kept = system.call("GET", left, params={"refresh": True})
    assert (kept.json()["options"][0]["quantity"], kept.headers["purser-stale"]) == (5, "true")

    move(shop, shop.reseller, shop.customer)
    await has(shop, old)
    await eventually(lambda: system.get(left)["options"][0]["quantity"] == 6, within=20, every=0.1)
    days = system.get(f"{left}/history")["items"]
    assert [(day["quantity"], day["own_price"]["currency"]) for day in days] == [(6, "USD")]
