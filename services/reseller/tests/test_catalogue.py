"""The kept catalogue: what people and the order service see of it, and how old it is."""

from typing import Any

import pytest

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
