"""Licence mapping and the tenant's store, as their users see them through the gateway."""

from typing import Any

import pytest

from purser_common.testing import eventually

PREMIUM, E3 = "cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46", "05e9a617-0261-4cee-bb44-138d3ef5d965"
STANDARD = "f245ecc8-75af-4f8e-b61f-27d8114de5f3"
BASE, ADDITION = "SIMBS:0001_P1M:M", "SIMXFS:0001"
REQUESTS = "/v1/license-change-requests"
Json = dict[str, Any]


def refused(answer: Any, status: int, code: str) -> Json:
    """The problem of a refusal."""
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    body: Json = answer.json()
    return body


def sold(system: Any, reseller: str, mpn: str) -> Json:
    """The identity of a product that a reseller sells."""
    found: Json = system.get(f"/v1/resellers/{reseller}/products", mpn=mpn)["items"][0]["product"]
    return found


def changed(system: Any, path: str, **fields: Any) -> Any:
    """A change of what is there now."""
    etag = system.call("GET", path).headers["etag"]
    return system.ask("PATCH", path, fields, headers={"If-Match": etag})


def deleted(system: Any, path: str, query: str = "") -> Any:
    """A deletion of what is there now."""
    etag = system.call("GET", path).headers["etag"]
    return system.ask("DELETE", path + query, headers={"If-Match": etag})


@pytest.mark.requirement("R23.a", "R23.b", "R24.a", "R25.c")
def test_every_licence_is_listed_by_name_with_what_is_mapped_to_it(
    system: Any, market: Any
) -> None:
    path = f"/v1/resellers/{market.reseller['id']}/licenses"
    rows, cursor = {}, None
    while True:
        page = system.get(path, limit=200, **({"cursor": cursor} if cursor else {}))
        rows |= {row["sku_id"]: row for row in page["items"]}
        cursor = page["next"]
        if cursor is None:
            break
    assert len(rows) > 100
    premium, e3 = rows[PREMIUM], rows[E3]
    assert (premium["name"], premium["sku_part_number"]) == (
        "Microsoft 365 Business Premium",
        "SPB",
    )
    assert [one["product"] for one in premium["mappings"]] == [market.product]
    assert premium["mappings"][0]["product_listed"] is True
    assert (e3["name"], e3["mapped"], e3["mappings"]) == ("Microsoft 365 E3", False, [])
    assert PREMIUM in [row["sku_id"] for row in system.get(path, mapped=True)["items"]]
    found = system.get(path, q="SPE_E3", mapped=False)["items"]
    assert E3 in [row["sku_id"] for row in found]
    # the sandbox's products carry no identifier of Microsoft's: their names alone suggest nothing
    nothing = system.get(f"{path}/{STANDARD}")
    known = {one["product"]["mpn"] for one in nothing["suggestions"]}
    assert known <= {BASE}
    assert nothing["suggestions"] or "names do not count" in nothing["suggestions_note"]


@pytest.mark.requirement("R23.b", "R25.a", "R25.b", "R26.a", "R26.b", "R26.c")
async def test_a_mapping_is_added_once_and_changed(system: Any, market: Any, shop: Any) -> None:
    path = f"/v1/resellers/{shop.reseller['id']}"
    mappings = f"{path}/license-mappings"
    first = system.get(mappings)["items"][0]
    body = {"product": shop.product, "sku_id": PREMIUM}
    twice = refused(system.ask("POST", mappings, body), 409, "mapping_exists")
    assert twice["mapping_id"] == first["id"]
    strange = {**shop.product, "mpn": "NOBODY-SELLS-THIS"}
    refused(system.ask("POST", mappings, {**body, "product": strange}), 422, "unknown_product")
    monthly = {**body, "product": sold(system, shop.reseller["id"], "SIMBP:0001_P1M:M")}
    taken = refused(
        system.ask("POST", mappings, {**monthly, "is_default": True}), 409, "default_exists"
    )
    assert taken["mapping_id"] == first["id"]
    second = system.call("POST", mappings, monthly).json()
    assert (second["sku_part_number"], second["is_default"]) == ("SPB", False)
    one, other = f"{mappings}/{first['id']}", f"{mappings}/{second['id']}"
    refused(changed(system, other, is_default=True), 409, "default_exists")
    assert changed(system, one, is_default=False).json()["is_default"] is False
    assert changed(system, other, is_default=True).json()["is_default"] is True
    moved = changed(system, one, sku_id=E3)
    assert (moved.json()["sku_id"], moved.json()["sku_part_number"]) == (E3, "SPE_E3")
    stale = system.ask("PATCH", one, {"sku_id": PREMIUM}, headers={"If-Match": '"1"'})
    refused(stale, 412, "stale")
    (row,) = system.get(f"{path}/licenses", q=E3)["items"]
    assert [mapping["id"] for mapping in row["mappings"]] == [first["id"]]
    # the same product of another reseller is mapped to the licence: an exact identifier
    assert deleted(system, one, "?confirm=true").status_code == 200
    suggested = system.get(f"{path}/licenses/{PREMIUM}")["suggestions"]
    (mine,) = [one for one in suggested if one["product"] == shop.product]
    assert "other_reseller" in {reason["kind"] for reason in mine["reasons"]}

    def told() -> list[Json]:
        trail = system.get("/v1/audit-records", subject=f"license-mapping/{first['id']}")["items"]
        changes = [change for record in trail for change in record["changes"]]
        return [one for one in changes if one["pointer"] == "/sku_id" and one.get("after") == E3]

    seen = await eventually(told, within=10)
    assert seen is not None
    assert seen[0]["before"] == PREMIUM


@pytest.mark.requirement("R24.b", "R24.c", "R27.a", "R27.b", "R27.c")
async def test_deleting_a_mapping_warns_and_then_nothing_is_sent_under_it(
    system: Any, shop: Any
) -> None:
    reseller = shop.reseller["id"]
    mappings = f"/v1/resellers/{reseller}/license-mappings"
    windows = sold(system, reseller, "SIMWIN:0001")
    unmapped = system.ask("POST", REQUESTS, shop.want(product=windows, quantity=1))
    assert refused(unmapped, 409, "license_not_mapped")["missing_step"] == f"POST {mappings}"
    system.call("POST", mappings, {"product": windows, "sku_id": None})
    stop = {"scope": reseller, "reason": "A look at the mappings."}
    stopped = system.call("POST", "/v1/buying-stops", stop)
    try:
        asked = shop.buy()
        mapped = {one["product"]["mpn"]: one["id"] for one in system.get(mappings)["items"]}
        path = f"{mappings}/{mapped[shop.product['mpn']]}"
        refused(deleted(system, path), 422, "confirmation_required")
        warned = refused(deleted(system, path, "?confirm=true"), 409, "mapping_in_use")
        assert [one["id"] for one in warned["requests"]] == [asked["id"]]
        assert deleted(system, path, "?confirm=true&force=true").json()["status"] == "unmapped"
    finally:
        headers = {"If-Match": stopped.headers["etag"]}
        system.call("DELETE", f"/v1/buying-stops/{reseller}?confirm=true", headers=headers)
    nothing = system.call("POST", REQUESTS, shop.want(product=windows, quantity=1)).json()
    assert nothing["sku_id"] is None
    failed = await system.request(asked["id"], "failed")
    assert failed["failure"]["code"] == "license_not_mapped"
    assert shop.orders(asked) == []


@pytest.mark.requirement("R67.a", "R67.c", "R68.a", "R72.d")
def test_the_store_of_a_tenant_is_searched_and_opened(system: Any, market: Any) -> None:
    path = f"/v1/tenants/{market.tenant['id']}/store-items"
    first = system.get(path, limit=3)
    second = system.get(path, limit=3, cursor=first["next"])
    names = [one["name"] for one in (*first["items"], *second["items"])]
    assert len(names) == 6
    assert names == sorted(names, key=str.casefold)
    premium = system.get(path, q="business premium", vendor="SIMMICROSOFT", limit=200)["items"]
    assert {one["name"] for one in premium} == {"Microsoft 365 Business Premium"}
    (mine,) = system.get(path, mpn=market.product["mpn"])["items"]
    assert mine["product"] == market.product
    assert mine["id"] in [one["id"] for one in system.get(path, mapped=True)["items"]]
    one = system.call("GET", f"{path}/{mine['id']}")
    item = one.json()
    assert (item["name"], item["maximum_quantity"]) == ("Microsoft 365 Business Premium", 300)
    assert (item["source"], item["stale"], item["listed"]) == ("marketplace", False, True)
    assert one.headers["purser-read-at"]
    assert item["mapping"]["sku_id"] == PREMIUM
    assert [action["allowed"] for action in item["actions"]] == [True]
    (e3,) = system.get(path, mpn="SIME3:0001_P1Y:A")["items"]
    (buy,) = e3["actions"]
    assert (buy["allowed"], buy["reason"]) == (False, "license_not_mapped")
    assert buy["missing_step"] == f"POST /v1/resellers/{market.reseller['id']}/license-mappings"
    assert system.ask("GET", f"{path}/nothing").status_code == 404
    assert system.ask("GET", path.replace(market.tenant["id"], "nobody")).status_code == 404
    alone = system.shop(connected=False).tenant["id"]
    body = refused(
        system.ask("GET", f"/v1/tenants/{alone}/store-items"), 409, "tenant_not_connected"
    )
    assert body["missing_step"] == f"PUT /v1/tenants/{alone}/connection"


@pytest.mark.requirement("R67.b", "R69.a", "R69.b", "R70.a", "R70.b")
@pytest.mark.requirement("R71.a", "R71.b", "R72.a", "R72.b", "R72.c")
async def test_an_item_shows_its_cost_its_links_and_its_record_and_is_bought(system: Any) -> None:
    # with a leaf's credentials the marketplace tells what the reseller pays
    shop = system.seller(kind="leaf")
    shop.enable_buying()
    shop.register_tenant()
    shop.consent()
    shop.connect()
    reseller, store = shop.reseller["id"], f"/v1/tenants/{shop.tenant['id']}/store-items"
    (base,) = system.get(store, mpn=BASE)["items"]
    path, product = f"{store}/{base['id']}", base["product"]
    body = {"product": product, "sku_id": STANDARD}
    system.call("POST", f"/v1/resellers/{reseller}/license-mappings", body)
    price = [{"money": {"currency": "USD", "amount": "16.00"}}]
    system.call(
        "POST", f"/v1/resellers/{reseller}/price-plans", {"product": product, "own_price": price}
    )
    item = system.get(path)
    paid, own, more = (item["prices"][part][0] for part in ("reseller", "own", "difference"))
    amounts = [tier["money"]["amount"] for tier in (paid, own, more)]
    assert amounts == ["12.80", "16.00", "3.20"]
    (buy,) = item["actions"]
    assert (buy["action"], buy["allowed"], item["subscriptions"]) == ("buy", True, [])

    seen = system.call("POST", f"{path}/previews", {"quantity": 4}).json()
    assert (seen["quantity"], seen["mapped"]) == (4, True)
    assert float(seen["total"]["amount"]) > 0
    for quantity in (301, 1_000_000):
        refused(
            system.ask("POST", f"{path}/previews", {"quantity": quantity}), 422, "invalid_quantity"
        )
    bought = await shop.bought(product=product, quantity=4)

    def mine() -> Json | None:
        found: list[Json] = system.get(path)["subscriptions"]
        return found[0] if found else None

    own_one = await eventually(mine, within=10, every=0.1)
    assert own_one is not None
    assert (own_one["id"], own_one["seats"]) == (bought["id"], 4)
    (addition,) = system.get(store, mpn=ADDITION)["items"]
    (required,) = system.get(f"{store}/{addition['id']}")["requires"]
    assert (required["id"], required["mpn"]) == (base["id"], BASE)
    assert [one["id"] for one in required["subscriptions"]] == [bought["id"]]
    assert addition["id"] in [one["id"] for one in system.get(path)["dependents"]]
    assert system.get(f"/v1/subscriptions/{required['subscriptions'][0]['id']}")["name"]

    def trail() -> set[str] | None:
        found = system.get("/v1/audit-records", store_item=base["id"])["items"]
        types = {record["type"].removeprefix("purser.").removesuffix(".v1") for record in found}
        done = {r["data"]["state"].get("operation") for r in found if "action" in r["type"]}
        wanted = {"license.mapped", "price.customized", "license.purchased", "action.performed"}
        return types if wanted <= types and "preview_store_item" in done else None

    assert await eventually(trail, within=10) is not None

    role = {"principal": "group:purser-viewer", "role": "viewer", "scope": "all"}
    system.call("POST", "/v1/role-assignments", role)
    viewer = {"Authorization": f"Bearer {system.token('viewer')}"}
    seen = system.call("GET", path, headers=viewer).json()
    assert (seen["prices"]["reseller"], seen["prices"]["difference"]) == (None, None)
    assert seen["prices"]["own"] == item["prices"]["own"]
    assert seen["actions"][0]["reason"] == "forbidden"

    system.fault(
        route="GET /products",
        login_id=shop.account["login"]["id"],
        kind="status",
        status=503,
        times=3,
    )
    system.ask("GET", f"/v1/resellers/{reseller}/products", params={"refresh": True})
    stale = system.call("GET", path)
    assert (stale.json()["stale"], stale.headers["purser-stale"]) == (True, "true")
    assert stale.json()["prices"]["own"] == item["prices"]["own"]
