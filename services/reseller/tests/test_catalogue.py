"""The kept catalogue: what people and the order service see of it, and how old it is."""

from typing import Any

import pytest

from purser_common.testing import eventually

TIER = {"type": "recurring", "model": "FLAT", "lower_limit": 0}


def tier(amount: str) -> dict[str, Any]:
    return {**TIER, "money": {"currency": "USD", "amount": amount}}


@pytest.fixture
async def reseller(service: Any, sandbox: Any) -> dict[str, Any]:
    """A reseller of this test's own, whose prices are its own."""
    added: dict[str, Any] = await service.add(await sandbox.account(kind="leaf"))
    return added


async def products(service: Any, reseller: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    answer = await service.call("GET", f"/v1/resellers/{reseller['id']}/products", params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def store(service: Any, reseller: dict[str, Any], rest: str = "", **params: Any) -> Any:
    path = f"/internal/resellers/{reseller['id']}/store-items{rest}"
    answer = await service.call("GET", path, peer="order", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_store_item_has_everything_that_a_tenants_store_shows(
    service: Any, reseller: dict[str, Any]
) -> None:
    [files] = (await store(service, reseller, mpn="SIMXFS:0001"))["items"]
    [standard] = (await store(service, reseller, mpn="SIMBS:0001_P1M:M"))["items"]
    needed = {key: standard[key] for key in ("id", "name")}
    assert files["requires"] == [{**needed, "mpn": "SIMBS:0001_P1M:M"}]
    assert files["dependents"] == []
    assert standard["dependents"] == [
        {"id": files["id"], "mpn": "SIMXFS:0001", "name": "Extra File Storage"}
    ]
    assert files["coterming"] == {"required": "ALLOWED", "type": "SUBSCRIPTION"}
    assert (files["source"], files["stale"], files["listed"]) == ("marketplace", False, True)
    own = [tier("0.20")]
    assert files["prices"] == {"reseller": None, "own": own, "difference": None, "mark": None}
    shown = await store(service, reseller, f"/{files['id']}", costs="true")
    assert shown["prices"] == {
        "reseller": [tier("0.17")],
        "own": own,
        "difference": [tier("0.03")],
        "mark": None,
    }
    assert {**shown, "prices": files["prices"]} == files


async def test_store_items_are_found_by_words_vendor_ids_and_mapping(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    found = (await store(service, reseller, q="business PREMIUM"))["items"]
    assert {item["name"] for item in found} == {"Microsoft 365 Business Premium"}
    assert (await store(service, reseller, q="busines"))["items"] == []
    assert (await store(service, reseller, q="!"))["items"] == []
    assert (await store(service, reseller, vendor="nobody"))["items"] == []
    body = {"product": premium, "sku_id": None}
    path = f"/v1/resellers/{reseller['id']}/license-mappings"
    mapping = (await service.call("POST", path, json=body)).json()
    [only] = (await store(service, reseller, mapped="true"))["items"]
    assert (only["id"], only["mapping"]) == (mapping["id"], mapping)
    others = (await store(service, reseller, mapped="false", limit=200))["items"]
    assert only["id"] not in [item["id"] for item in others]
    ids = f"{others[0]['id']},{only['id']},nobody"
    named = (await store(service, reseller, ids=ids))["items"]
    assert {item["id"] for item in named} == {others[0]["id"], only["id"]}


async def test_store_items_are_for_the_order_service(
    service: Any, reseller: dict[str, Any]
) -> None:
    path = f"/internal/resellers/{reseller['id']}/store-items"
    assert (await service.call("GET", path, peer="subscription")).status_code == 403
    assert (await service.call("GET", f"{path}/nothing", peer="order")).status_code == 404
    nobody = "/internal/resellers/nobody/store-items"
    assert (await service.call("GET", nobody, peer="order")).status_code == 404


async def test_the_list_is_filtered_by_what_identifies_a_product(
    service: Any, reseller: dict[str, Any]
) -> None:
    yearly = await products(service, reseller, subscription_period="YEAR:1", limit=200)
    assert {item["product"]["subscription_period"]["type"] for item in yearly} == {"year"}
    both = await products(
        service,
        reseller,
        q="visio",
        subscription_period="year:1",
        billing_period="month:1",
        vendor="simmicrosoft",
    )
    assert [item["product"]["mpn"] for item in both] == ["SIMVIS:0001"]
    assert len(await products(service, reseller, mpn="simvis:0001")) == 2
    path = f"/v1/resellers/{reseller['id']}/products"
    wrong = await service.call("GET", path, params={"billing_period": "monthly"})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["pointer"] == "#/query/billing_period"


async def test_costs_are_in_a_detail_for_price_admins_only(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    [item] = await products(service, reseller, mpn=premium["mpn"])
    path = f"/v1/resellers/{reseller['id']}/products/{item['id']}"
    detail = (await service.call("GET", path)).json()
    assert detail["costs"][0]["money"]["amount"] == "22.48"
    assert (detail["requires"], detail["mapping"]) == ([], None)
    seen = (await service.call("GET", path, roles=("viewer",))).json()
    assert seen == detail | {"costs": None}
    assert (await service.call("GET", path, roles=())).status_code == 403
    assert (await service.call("GET", f"{path}x")).status_code == 404


async def test_an_old_product_is_read_again_and_marked_stale_when_that_is_not_possible(
    deployment: Any, sandbox: Any, premium: dict[str, Any]
) -> None:
    looks = {"look_every_seconds": 3600, "reread_after_seconds": 0}
    async with deployment.start(catalogue=looks) as (service, _):
        account = await sandbox.account(kind="leaf")
        reseller = await service.add(account)
        [item] = await products(service, reseller, mpn=premium["mpn"])
        path = f"/v1/resellers/{reseller['id']}/products/{item['id']}"
        login = f"/logins/{account['login']['id']}"
        await sandbox.ask("PATCH", login, json={"costs": {premium["mpn"]: "20.00"}})
        fresh = (await service.call("GET", path)).json()
        assert fresh["costs"][0]["money"]["amount"] == "20.00"
        assert (fresh["stale"], fresh["read_at"] > item["read_at"]) == (False, True)
        await sandbox.ask("PATCH", login, json={"hidden": [premium["mpn"]]})
        unsure = (await service.call("GET", path)).json()
        assert (unsure["stale"], unsure["listed"]) == (True, True)
        await sandbox.ask("PATCH", login, json={"hidden": []})
        route = {"route": "GET /products", "times": None}
        await sandbox.fault(account, **route, kind="status", status=503, family="html")
        away = (await service.call("GET", path)).json()
        assert (away["stale"], away["read_at"]) == (True, fresh["read_at"])


async def test_the_job_looks_at_each_reseller_soon_and_then_every_so_often(
    deployment: Any, sandbox: Any, mongo: Any
) -> None:
    looks = {"look_every_seconds": 0.05, "sync_every_seconds": 0.5}
    async with deployment.start(catalogue=looks, mongo=mongo) as (service, _):
        account = await sandbox.account(kind="leaf")
        reseller = await service.add(account)
        path = f"/v1/resellers/{reseller['id']}/catalogue-sync"

        async def looked(after: str) -> str | None:
            last = (await service.call("GET", path)).json()["last"]
            return last["began_at"] if last and last["began_at"] > after else None

        first = await eventually(lambda: looked(""))
        await eventually(lambda: looked(str(first)))
        calls = await sandbox.calls(account, "GET", "/products")
        assert len(calls) >= 2
