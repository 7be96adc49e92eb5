"""A second reseller, its own prices, a tenant that moves there and back, and twenty customers at once."""

from typing import Any

from purser_common.testing import eventually

Json = dict[str, Any]


def move(system: Any, tenant: Json, reseller: Json, customer: Json) -> Json:
    """Connect the tenant to another reseller's customer."""
    path = f"/v1/tenants/{tenant['id']}"
    headers = {"If-Match": system.call("GET", path).headers["etag"]}
    body = {"reseller_id": reseller["id"], "marketplace_customer_id": customer["id"]}
    moved: Json = system.call("PATCH", f"{path}/connection", body, headers=headers).json()
    return moved


async def test_what_comes_before_a_purchase_is_done_through_the_gateway_alone(system: Any) -> None:
    shop = system.shop()
    bought = await shop.bought(quantity=3)
    second = system.seller(kind="leaf", customers=21)
    path = f"/v1/resellers/{second.reseller['id']}"

    plan = system.call("POST", f"{path}/price-plans", {"product": shop.product}).json()
    assert plan["own_price"] is None
    asked = {"plan_ids": [plan["id"]], "increase_percent": "12.5"}
    (priced,) = system.call("POST", f"{path}/price-plans/uniform-price", asked).json()["results"]
    assert priced["plan"]["own_price"][0]["money"] == {"currency": "USD", "amount": "22.13"}

    store = f"/v1/tenants/{shop.tenant['id']}/store-items"
    own = {"mpn": shop.product["mpn"]}
    moved = move(system, shop.tenant, second.reseller, second.customer)
    assert moved["connection"]["reseller_id"] == second.reseller["id"]
    (item,) = system.get(store, **own)["items"]
    assert item["reseller_id"] == second.reseller["id"]
    assert item["prices"]["own"][0]["money"]["amount"] == "22.13"
    assert item["prices"]["reseller"][0]["money"]["amount"] == "19.67"
    subscriptions = f"/v1/tenants/{shop.tenant['id']}/subscriptions"
    await eventually(lambda: system.get(subscriptions)["items"] == [], within=20, every=0.1)
    (left,) = system.get(subscriptions, former=True)["items"]
    assert (left["id"], left["connected"]) == (bought["id"], False)

    move(system, shop.tenant, shop.reseller, shop.customer)

    def back() -> bool:
        found = system.get(subscriptions)["items"]
        return [(one["id"], one["connected"]) for one in found] == [(bought["id"], True)]

    await eventually(back, within=20, every=0.1)
    (item,) = system.get(store, **own)["items"]
    assert item["prices"]["own"] is None or item["prices"]["own"][0]["money"]["amount"] != "22.13"

    rows = second.import_rows(second.account["resellers"][0]["customers"][1:])
    body = {"reseller_id": second.reseller["id"], "rows": rows}
    came = system.call("POST", "/v1/customer-imports", body).json()["rows"]
    assert [row["outcome"] for row in came] == ["created"] * 20
    overview = system.get(f"/v1/tenants/{came[0]['tenant_id']}/overview")
    assert overview["customer"]["id"] == came[0]["customer_id"]
    assert overview["read_only"]["code"] == "tenant_not_connected"
