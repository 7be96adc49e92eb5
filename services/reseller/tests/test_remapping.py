"""Changing a mapping, and deleting one that somebody may still need."""

from typing import Any

import pytest

from purser_common.errors import Conflict
from purser_events.reseller import LicenseMapping
from purser_events.values import Period, ProductIdentity
from reseller_service.domain import mapping as rules
from reseller_service.domain.mapping import Remapping, Sku

PREMIUM, E3 = "cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46", "05e9a617-0261-4cee-bb44-138d3ef5d965"
PERIOD = Period(type="month", duration=1)
PRODUCT = ProductIdentity(mpn="M", vendor="V", subscription_period=PERIOD, billing_period=PERIOD)


def mapped(**over: Any) -> LicenseMapping:
    fields = {
        "id": "m1",
        "marketplace": "m",
        "reseller_id": "r1",
        "product": PRODUCT,
        "product_name": "Premium",
        "sku_id": PREMIUM,
        "sku_part_number": "SPB",
        "is_default": True,
    }
    return LicenseMapping(**fields | over)


@pytest.mark.parametrize(
    ("edit", "wanted"),
    [
        (Remapping(None, False), Sku(PREMIUM, "SPB", False)),
        (Remapping(Sku(PREMIUM, None, False), None), Sku(PREMIUM, "SPB", True)),
        (Remapping(Sku(E3, "SPE_E3", False), None), Sku(E3, "SPE_E3", False)),
        (Remapping(Sku(E3, None, True), True), Sku(E3, None, True)),
        (Remapping(Sku(None, None, False), None), Sku(None, None, False)),
    ],
)
def test_of_another_licence_a_product_is_the_default_only_when_that_is_said(
    edit: Remapping, wanted: Sku
) -> None:
    assert rules.wanted_sku(mapped(), edit) == wanted


def test_a_change_tells_what_changed_and_no_change_is_no_fact() -> None:
    state, (fact,) = rules.license_remapped(mapped(), Sku(E3, "SPE_E3", False))
    assert (state.sku_id, state.is_default) == (E3, False)
    told = {change.pointer: (change.before, change.after) for change in fact.changes}
    assert told == {
        "/sku_id": (PREMIUM, E3),
        "/sku_part_number": ("SPB", "SPE_E3"),
        "/is_default": (True, False),
    }
    assert rules.license_remapped(state, Sku(E3, "SPE_E3", False)) == (state, ())


def test_only_requests_for_the_very_product_stand_in_the_way() -> None:
    other = PRODUCT.model_copy(update={"billing_period": Period(type="year", duration=1)})
    named = {"id": "q1", "status": "placing", "tenant_id": "t1", "sent": False}
    rules.require_unused(mapped(), [{**named, "product": other.model_dump()}])
    with pytest.raises(Conflict) as raised:
        rules.require_unused(mapped(), [{**named, "product": PRODUCT.model_dump()}])
    assert raised.value.members["requests"] == [named]


@pytest.fixture
async def reseller(service: Any, sandbox: Any) -> dict[str, Any]:
    """A reseller of this test's own."""
    added: dict[str, Any] = await service.add(await sandbox.account())
    return added


async def put(service: Any, reseller: dict[str, Any], product: dict[str, Any], **more: Any) -> Any:
    body = {"product": product, "sku_id": PREMIUM, "is_default": True} | more
    path = f"/v1/resellers/{reseller['id']}/license-mappings"
    return await service.call("POST", path, json=body)


async def test_a_product_is_mapped_to_another_licence(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    made = await put(service, reseller, premium)
    assert made.json()["sku_part_number"] == "SPB"
    path, etag = made.headers["location"], made.headers["etag"]
    changed = await service.call("PATCH", path, json={"sku_id": E3}, etag=etag)
    assert changed.status_code == 200, changed.text
    state = changed.json()
    assert (state["sku_id"], state["sku_part_number"]) == (E3, "SPE_E3")
    assert state["is_default"] is False
    assert changed.headers["etag"] != etag
    assert (await service.call("PATCH", path, json={"sku_id": E3}, etag=etag)).status_code == 412
    assert (await service.call("PATCH", path, json={"sku_id": E3})).status_code == 428
    same = await service.call("PATCH", path, json={"sku_id": E3}, etag=changed.headers["etag"])
    assert same.headers["etag"] == changed.headers["etag"]
    none = await service.call("PATCH", path, json={"sku_id": None}, etag=changed.headers["etag"])
    assert (none.json()["sku_id"], none.json()["sku_part_number"]) == (None, None)


async def test_the_default_moves_in_two_steps_and_the_other_one_is_named(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    first = await put(service, reseller, premium)
    year = {"type": "year", "duration": 1}
    yearly = {**premium, "mpn": "SIMBP:0001_P1Y:M", "subscription_period": year}
    second = await put(service, reseller, yearly, is_default=False)
    path, etag = second.headers["location"], second.headers["etag"]
    taken = await service.call("PATCH", path, json={"is_default": True}, etag=etag)
    assert (taken.status_code, taken.json()["code"]) == (409, "default_exists")
    assert taken.json()["mapping_id"] == first.json()["id"]
    step = f"PATCH {first.headers['location']} with is_default: false"
    assert taken.json()["missing_step"] == step
    given_up = await service.call(
        "PATCH", first.headers["location"], json={"is_default": False}, etag=first.headers["etag"]
    )
    assert given_up.json()["is_default"] is False
    moved = await service.call("PATCH", path, json={"is_default": True}, etag=etag)
    assert (moved.status_code, moved.json()["is_default"]) == (200, True)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/is_default"),
        ({"is_default": None}, "/is_default"),
        ({"sku_id": "SPB"}, "/sku_id"),
        ({"sku_part_number": "SPB"}, "/sku_part_number"),
        ({"sku_id": None, "is_default": True}, "/is_default"),
        ({"sku_id": PREMIUM, "sku_part_number": "SPE_E3"}, "/sku_part_number"),
        ({"colour": "blue"}, "/colour"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(
    service: Any,
    reseller: dict[str, Any],
    premium: dict[str, Any],
    body: dict[str, Any],
    pointer: str,
) -> None:
    made = await put(service, reseller, premium)
    path, etag = made.headers["location"], made.headers["etag"]
    refused = await service.call("PATCH", path, json=body, etag=etag)
    assert refused.status_code == 422
    assert pointer in [error["pointer"] for error in refused.json()["errors"]]
    assert (await service.call("GET", path)).headers["etag"] == etag


async def test_changing_is_for_price_admins(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    made = await put(service, reseller, premium)
    path, etag = made.headers["location"], made.headers["etag"]
    refused = await service.call(
        "PATCH", path, json={"is_default": False}, etag=etag, roles=("purchaser",)
    )
    assert refused.status_code == 403


async def test_deleting_warns_of_the_open_requests_that_use_it(
    service: Any, others: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    made = await put(service, reseller, premium)
    path, etag = f"{made.headers['location']}?confirm=true", made.headers["etag"]
    waiting = {"id": "q1", "status": "placing", "tenant_id": "t1", "sent": False}
    others.requests[reseller["id"]] = [{**waiting, "product": premium}]
    warned = await service.call("DELETE", path, etag=etag)
    assert (warned.status_code, warned.json()["code"]) == (409, "mapping_in_use")
    assert warned.json()["requests"] == [waiting]
    assert (await service.call("GET", made.headers["location"])).headers["etag"] == etag
    done = await service.call("DELETE", f"{path}&force=true", etag=etag)
    assert (done.status_code, done.json()["status"]) == (200, "unmapped")


async def test_while_nobody_knows_who_uses_it_only_force_deletes(
    service: Any, others: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    made = await put(service, reseller, premium)
    path, etag = f"{made.headers['location']}?confirm=true", made.headers["etag"]
    others.broken.add(reseller["id"])
    unsure = await service.call("DELETE", path, etag=etag)
    assert (unsure.status_code, unsure.json()["code"]) == (503, "order_unavailable")
    assert unsure.headers["retry-after"]
    assert (await service.call("DELETE", f"{path}&force=true", etag=etag)).status_code == 200


async def test_a_mapping_shows_whether_the_catalogue_still_has_its_product(
    service: Any, database: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    made = await put(service, reseller, premium)
    licenses = f"/v1/resellers/{reseller['id']}/licenses?mapped=true"
    products = database["catalogue_products"]

    async def listed() -> list[bool | None]:
        (row,) = (await service.call("GET", licenses)).json()["items"]
        one = (await service.call("GET", made.headers["location"])).json()
        return [row["mappings"][0]["product_listed"], one["product_listed"]]

    assert await listed() == [True, True]
    await products.update_one({"_id": made.json()["id"]}, {"$unset": {"shelf": ""}})
    assert await listed() == [False, False]
    await products.delete_one({"_id": made.json()["id"]})
    assert await listed() == [None, None]
