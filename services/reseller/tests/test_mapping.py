"""Mapping products to licences, and the terms of buying one."""

import asyncio
import uuid
from typing import Any

import pytest

SKU = "cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46"


def terms_of(product: dict[str, Any]) -> dict[str, Any]:
    subscribed, billed = product["subscription_period"], product["billing_period"]
    return {
        "mpn": product["mpn"],
        "vendor": product["vendor"],
        "subscription_type": subscribed["type"],
        "subscription_duration": subscribed["duration"],
        "billing_type": billed["type"],
        "billing_duration": billed["duration"],
    }


async def mapped(
    service: Any, reseller: dict[str, Any], product: dict[str, Any], **more: Any
) -> Any:
    body = {"product": product, "sku_id": SKU, "sku_part_number": "SPB"} | more
    path = f"/v1/resellers/{reseller['id']}/license-mappings"
    options = {name: body.pop(name) for name in ("key", "digest", "roles") if name in body}
    return await service.call("POST", path, json=body, **options)


@pytest.fixture
async def reseller(service: Any, sandbox: Any) -> dict[str, Any]:
    """A reseller of this test's own."""
    added: dict[str, Any] = await service.add(await sandbox.account())
    return added


async def test_a_product_of_the_catalogue_is_mapped_to_a_licence(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    answer = await mapped(service, reseller, premium)
    assert answer.status_code == 201, answer.text
    state = answer.json()
    assert state["product"] == premium
    assert state["product_name"] == "Microsoft 365 Business Premium"
    assert (state["sku_id"], state["status"]) == (SKU, "mapped")
    assert answer.headers["purser-subject"] == f"license-mapping/{state['id']}"
    listed = await service.call("GET", f"/v1/resellers/{reseller['id']}/license-mappings")
    shown = {**state, "product_listed": True}
    assert listed.json()["items"] == [shown]
    seen = await service.call("GET", answer.headers["location"])
    assert (seen.json(), seen.headers["etag"]) == (shown, answer.headers["etag"])


async def test_a_product_may_stand_for_no_licence(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    answer = await mapped(service, reseller, premium, sku_id=None, sku_part_number=None)
    assert (answer.status_code, answer.json()["sku_id"]) == (201, None)


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"sku_id": None}, "/sku_part_number"),
        ({"sku_id": None, "sku_part_number": None, "is_default": True}, "/is_default"),
        ({"sku_id": "SPB"}, "/sku_id"),
    ],
)
async def test_a_licence_that_makes_no_sense_is_refused(
    service: Any,
    reseller: dict[str, Any],
    premium: dict[str, Any],
    wrong: dict[str, Any],
    pointer: str,
) -> None:
    answer = await mapped(service, reseller, premium, **wrong)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


async def test_a_product_that_the_reseller_does_not_sell_is_refused(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    other = {**premium, "billing_period": {"type": "year", "duration": 1}}
    answer = await mapped(service, reseller, other)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_product")


async def test_a_product_is_mapped_once_even_by_two_at_the_same_time(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    answers = await asyncio.gather(*(mapped(service, reseller, premium) for _ in range(4)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201, 409, 409, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["code"] == "mapping_exists"
    assert refused.json()["mapping_id"]


async def test_repeating_the_call_gives_the_mapping_that_it_made(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    key = uuid.uuid4().hex
    first = await mapped(service, reseller, premium, key=key, digest="a")
    again = await mapped(service, reseller, premium, key=key, digest="a")
    other = await mapped(service, reseller, premium, key=key, digest="b")
    assert (first.status_code, again.json()) == (201, first.json())
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_licence_has_one_default_product(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    first = await mapped(service, reseller, premium, is_default=True)
    assert first.status_code == 201
    yearly = {
        **premium,
        "mpn": "SIMBP:0001_P1Y:M",
        "subscription_period": {"type": "year", "duration": 1},
    }
    second = await mapped(service, reseller, yearly, is_default=True)
    assert (second.status_code, second.json()["code"]) == (409, "default_exists")
    assert second.json()["mapping_id"] == first.json()["id"]
    assert (await mapped(service, reseller, yearly)).status_code == 201


async def test_deleting_needs_confirmation_and_the_state_that_was_seen(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    made = await mapped(service, reseller, premium)
    path, etag = made.headers["location"], made.headers["etag"]
    unsure = await service.call("DELETE", path, etag=etag)
    assert (unsure.status_code, unsure.json()["code"]) == (422, "confirmation_required")
    assert (await service.call("DELETE", f"{path}?confirm=true")).status_code == 428
    stale = await service.call("DELETE", f"{path}?confirm=true", etag='"7"')
    assert stale.status_code == 412
    viewer = await service.call("DELETE", f"{path}?confirm=true", etag=etag, roles=("viewer",))
    assert viewer.status_code == 403
    done = await service.call("DELETE", f"{path}?confirm=true", etag=etag)
    assert (done.status_code, done.json()["status"]) == (200, "unmapped")
    assert (await service.call("GET", path)).status_code == 404
    listed = await service.call("GET", f"/v1/resellers/{reseller['id']}/license-mappings")
    assert listed.json()["items"] == []


async def test_mapping_again_continues_the_sequence(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    made = await mapped(service, reseller, premium, is_default=True)
    path = made.headers["location"]
    await service.call("DELETE", f"{path}?confirm=true", etag=made.headers["etag"])
    again = await mapped(service, reseller, premium, is_default=True)
    assert (again.status_code, again.headers["etag"]) == (201, '"3"')
    assert again.json()["id"] == made.json()["id"]


async def test_mappings_are_made_by_price_admins_at_known_resellers(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    refused = await mapped(service, reseller, premium, roles=("purchaser",))
    assert refused.status_code == 403
    assert (await mapped(service, {"id": "nobody"}, premium)).status_code == 404
    listed = await service.call("GET", "/v1/resellers/nobody/license-mappings")
    assert listed.status_code == 404


async def test_purchase_terms_tell_the_mapping_the_limits_and_the_price(
    service: Any, sandbox: Any, premium: dict[str, Any]
) -> None:
    reseller = await service.add(await sandbox.account(kind="leaf"))
    path = f"/internal/resellers/{reseller['id']}/purchase-terms"
    before = await service.call("GET", path, peer="order", params=terms_of(premium))
    assert before.json()["mapping"] is None
    made = (await mapped(service, reseller, premium)).json()
    terms = (await service.call("GET", path, peer="order", params=terms_of(premium))).json()
    assert terms["mapping"] == made
    assert terms["reseller"]["id"] == reseller["id"]
    assert terms["reseller"]["po_suffix"] is True
    assert terms["product"] == {
        "identity": premium,
        "name": "Microsoft 365 Business Premium",
        "minimum_quantity": 1,
        "maximum_quantity": 300,
        "unit_price": {"currency": "USD", "amount": "26.76"},
    }
    other = {**premium, "mpn": "SIMXX:0001"}
    unsold = await service.call("GET", path, peer="order", params=terms_of(other))
    assert unsold.json()["product"] is None
    subscription = await service.call("GET", path, peer="subscription", params=terms_of(premium))
    assert subscription.status_code == 403


async def test_with_a_parents_credentials_the_customers_price_is_unknown(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    path = f"/internal/resellers/{reseller['id']}/purchase-terms"
    terms = await service.call("GET", path, peer="order", params=terms_of(premium))
    assert terms.json()["product"]["unit_price"] is None


@pytest.mark.parametrize("kind", ["status", "hang"])
async def test_what_is_known_of_a_mapped_product_will_do_while_the_marketplace_is_away(
    service: Any, sandbox: Any, premium: dict[str, Any], kind: str
) -> None:
    account = await sandbox.account(kind="leaf")
    reseller = await service.add(account)
    path = f"/internal/resellers/{reseller['id']}/purchase-terms"
    asked = terms_of(premium) | {"current": "false"}
    await mapped(service, reseller, premium)
    live = (await service.call("GET", path, peer="order", params=asked)).json()
    await sandbox.fault(account, route="GET /products", kind=kind, status=503, times=2)
    known = await service.call("GET", path, peer="order", params=asked)
    assert known.json() == live
    if kind == "status":
        insisting = await service.call("GET", path, peer="order", params=terms_of(premium))
        assert insisting.status_code == 503


async def test_nothing_is_known_of_a_product_that_was_never_mapped(
    service: Any, sandbox: Any, premium: dict[str, Any]
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    path = f"/internal/resellers/{reseller['id']}/purchase-terms"
    await sandbox.fault(account, route="GET /products", kind="status", status=503, times=1)
    asked = terms_of(premium) | {"current": "false"}
    assert (await service.call("GET", path, peer="order", params=asked)).status_code == 503
