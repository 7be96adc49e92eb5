"""Seats are changed to a total that was decided on, once, and never over somebody else's change."""

from decimal import Decimal
from typing import Any

import pytest

from purser_common.testing import eventually

CHANGES = "/v1/license-change-requests"


async def seats(system: Any, subscription: dict[str, Any]) -> int:
    found = system.get(f"/v1/subscriptions/{subscription['id']}", refresh="true")
    return int(found["options"][0]["quantity"])


async def test_more_seats_are_one_change_order_and_the_subscription_shows_them(
    system: Any, shop: Any
) -> None:
    subscription = await shop.bought()
    asked = system.call("POST", CHANGES, shop.new_total(subscription, 9)).json()
    assert (asked["kind"], asked["expected_quantity"]) == ("change_quantity", 5)
    done = await shop.assert_bought_once(asked)
    order = shop.orders(asked)[0]
    assert (order["type"], order["products"][0]["quantity"]) == ("change", "9")
    assert done["marketplace_subscription_id"] == subscription["marketplace_subscription_id"]
    assert await seats(system, subscription) == 9

    def told() -> bool:
        found = system.get("/v1/audit-records", request_id=asked["id"])["items"]
        return "purser.license.quantity-changed.v1" in [record["type"] for record in found]

    await eventually(told, within=20)


@pytest.mark.parametrize(
    "then", [{"kind": "status", "status": 500}, {"kind": "reset"}, {"kind": "no_id"}]
)
async def test_a_change_whose_answer_is_lost_is_found_and_never_sent_again(
    system: Any, shop: Any, then: dict[str, Any]
) -> None:
    subscription = await shop.bought()
    shop.fault(kind="execute_then", then=then)
    asked = system.call("POST", CHANGES, shop.new_total(subscription, 12)).json()
    done = await shop.assert_bought_once(asked)
    assert len(done["execution"]["attempts"]) == 1
    assert await seats(system, subscription) == 12


async def test_seats_that_changed_since_they_were_seen_are_told_and_nothing_is_sent(
    system: Any, shop: Any
) -> None:
    subscription = await shop.bought()
    shop.order_at_the_panel(
        type="change", subscriptionId=subscription["marketplace_subscription_id"], quantity=7
    )
    refused = system.ask("POST", CHANGES, shop.new_total(subscription, 6))
    assert (refused.status_code, refused.json()["code"]) == (409, "quantity_changed")
    assert refused.json()["current_quantity"] == 7
    assert await seats(system, subscription) == 7


async def test_seats_that_change_while_a_request_waits_fail_it(system: Any, shop: Any) -> None:
    subscription = await shop.bought()
    rate_limited = shop.fault(kind="rate_limit", retry_after=2)
    asked = system.call("POST", CHANGES, shop.new_total(subscription, 6)).json()

    def struck() -> bool:
        shown = system.sandbox.get("/sandbox/faults").json()
        return any(one["id"] == rate_limited["id"] and one["hits"] for one in shown)

    await eventually(struck, every=0.02)
    shop.order_at_the_panel(
        type="change", subscriptionId=subscription["marketplace_subscription_id"], quantity=8
    )
    failed = await system.request(asked["id"], "failed", within=30)
    assert failed["failure"]["code"] == "quantity_changed"
    assert shop.orders(asked) == []
    assert await seats(system, subscription) == 8


async def test_a_subscription_is_changed_by_one_request_at_a_time(system: Any, shop: Any) -> None:
    subscription = await shop.bought()
    shop.fault(kind="delay", seconds=2)
    first = system.call("POST", CHANGES, shop.new_total(subscription, 9)).json()
    second = system.ask("POST", CHANGES, shop.new_total(subscription, 11))
    assert (second.status_code, second.json()["code"]) == (409, "change_in_progress")
    assert second.json()["request_id"] == first["id"]
    await shop.assert_bought_once(first)


async def test_an_order_that_a_conflict_names_is_followed_and_shown_as_not_ours(
    system: Any, shop: Any
) -> None:
    subscription = await shop.bought()
    system.fault(route="POST /orders", login_id=shop.account["login"]["id"], kind="stuck", times=1)
    other = shop.order_at_the_panel(
        type="change", subscriptionId=subscription["marketplace_subscription_id"], quantity=7
    )
    asked = system.call("POST", CHANGES, shop.new_total(subscription, 6)).json()
    found = await system.request(asked["id"], "needs_review", within=30)
    attempt = found["execution"]["attempts"][0]
    assert (attempt["outcome"], attempt["named_order"]) == ("unknown", other["orderNumber"])
    assert shop.orders(asked) == []

    def mirrored() -> bool:
        orders = system.get(f"/v1/tenants/{shop.tenant['id']}/orders")["items"]
        return other["orderNumber"] in [order["number"] for order in orders]

    await eventually(mirrored, within=20)


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"expected_quantity": None}, "/expected_quantity"),
        ({"subscription_id": None}, "/subscription_id"),
        ({"quantity": 5}, "/quantity"),
        ({"quantity": 301}, "/quantity"),
        ({"kind": "buy"}, "/subscription_id"),
    ],
)
async def test_a_change_that_makes_no_sense_names_the_field(
    system: Any, shop: Any, wrong: dict[str, Any], pointer: str
) -> None:
    subscription = await shop.bought()
    refused = system.ask("POST", CHANGES, {**shop.new_total(subscription, 9), **wrong})
    assert refused.status_code == 422
    assert pointer in [error["pointer"] for error in refused.json()["errors"]]


def capped(system: Any, shop: Any, seats: int) -> Decimal:
    """Let the shop's reseller spend the price of so many seats a day."""
    path = f"/v1/spend-caps/{shop.reseller['id']}"
    unset = system.call("GET", path)
    assert (unset.json()["daily"], unset.headers["etag"]) == (None, '"0"')
    preview = {name: shop.want()[name] for name in ("tenant_id", "product", "quantity")}
    price = system.call("POST", "/v1/purchase-previews", preview).json()["unit_price"]
    daily = {"currency": price["currency"], "amount": str(Decimal(price["amount"]) * seats)}
    system.call("PUT", path, {"daily": daily}, headers={"If-Match": '"0"'})
    stale = system.ask("PUT", path, {"daily": None}, headers={"If-Match": '"0"'})
    assert stale.status_code == 412
    return Decimal(price["amount"])


def reserved(system: Any, shop: Any) -> Decimal:
    shown = system.get(f"/v1/spend-caps/{shop.reseller['id']}")
    return Decimal(shown["reserved_today"]["amount"])


async def test_a_day_spends_no_more_than_its_cap(system: Any, shop: Any) -> None:
    price = capped(system, shop, seats=9)
    subscription = await shop.bought()
    refused = system.ask("POST", CHANGES, shop.new_total(subscription, 10))
    assert (refused.status_code, refused.json()["code"]) == (409, "spend_cap_reached")
    fits = system.call("POST", CHANGES, shop.new_total(subscription, 9)).json()
    await shop.assert_bought_once(fits)
    assert reserved(system, shop) == price * 9


async def test_a_purchase_that_the_marketplace_refuses_gives_its_part_of_the_cap_back(
    system: Any, shop: Any
) -> None:
    price = capped(system, shop, seats=5)
    shop.fault(kind="status", status=400, message="The product is not orderable")
    await system.request(shop.buy()["id"], "failed")
    assert reserved(system, shop) == 0
    await shop.assert_bought_once(shop.buy())
    assert reserved(system, shop) == price * 5
