"""What orders do: progress, quantities, refusals, vendor rules, renewals."""

from typing import Any

import pytest


def test_an_order_moves_with_the_clock_and_creates_its_subscription(own_sandbox: Any) -> None:
    account = own_sandbox.account(submitted_seconds=3600, processing_seconds=7200)
    order = account.sell(5).json()
    assert order["status"] == "submitted"
    assert "subscriptionId" not in order
    seen = []
    for step in (3601, 3600, 3600):
        own_sandbox.http.post("/sandbox/clock", json={"advance_seconds": step})
        order = account.get(f"/orders/{order['id']}")
        rows = account.get("/subscriptions")["data"]
        seen.append((order["status"], order["statusCode"], [row["status"] for row in rows]))
    assert seen == [
        ("processing", "AS", []),
        ("processing", "LO", ["pending"]),
        ("completed", "CP", ["active"]),
    ]
    assert order["products"][0]["subscriptionId"] == order["subscriptionId"]


def test_the_same_body_twice_makes_two_orders(account: Any) -> None:
    body = account.order_body(poNumber="PO-TWICE")
    first, second = (account.call("POST", "/orders", json=body).json() for _ in range(2))
    assert first["id"] != second["id"]
    assert len(account.sandbox.journal(account.customer_id)) == 2


def test_a_subscription_names_its_tenant_and_keeps_the_first_order_number(account: Any) -> None:
    subscription = account.bought(5, poNumber="PO-FIRST")
    assert subscription["products"][0]["quantity"] == 5
    assert {"name": "ms_customer_id", "value": account.tenant} in subscription[
        "fulfillmentParameters"
    ]
    account.change(subscription["id"], 6, poNumber="PO-SECOND")
    again = account.get(f"/subscriptions/{subscription['id']}")
    assert again["attributes"]["PONumber"] == "PO-FIRST"
    assert again["products"][0]["quantity"] == 6


def test_a_change_asks_for_the_total_and_reads_back_the_delta(account: Any) -> None:
    subscription = account.bought(5)
    order = account.change(subscription["id"], 8).json()
    assert account.completed(order["id"])["products"][0]["quantity"] == 3
    order = account.change(subscription["id"], 6).json()
    assert account.completed(order["id"])["products"][0]["quantity"] == -2


def test_a_second_immediate_change_gets_500_with_the_number_of_the_first(sandbox: Any) -> None:
    account = sandbox.account()
    subscription = account.bought(5)
    reseller = account.resellers[0]["id"]
    sandbox.http.patch(f"/sandbox/resellers/{reseller}", json={"processing_seconds": 3600})
    first = account.change(subscription["id"], 6).json()
    second = account.change(subscription["id"], 7)
    assert second.status_code == 500
    assert second.json()["path"] == "/orders"
    assert f"#{first['orderNumber']} [AS]" in second.json()["message"]
    assert len(sandbox.journal(account.customer_id)) == 2
    cancelled = account.call("PATCH", f"/orders/{first['id']}", json={"statusCode": "CL"})
    assert cancelled.json()["status"] == "cancelled"
    assert account.change(subscription["id"], 7).status_code == 200


def test_a_completed_order_cannot_be_cancelled(account: Any) -> None:
    order = account.completed(account.sell(1).json()["id"])
    refused = account.call("PATCH", f"/orders/{order['id']}", json={"statusCode": "CL"})
    assert refused.status_code == 400


def test_a_scheduled_change_waits_and_an_immediate_one_drops_it(account: Any) -> None:
    subscription = account.bought(5)
    planned = account.change(subscription["id"], 3, scheduledOn="renewal").json()
    shown = account.get(f"/orders/{planned['id']}")
    assert (shown["status"], shown["scheduledOn"]) == ("processing", "renewal")
    assert shown["products"][0]["quantity"] == 3
    account.change(subscription["id"], 9)
    assert account.get(f"/orders/{planned['id']}")["status"] == "cancelled"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"products": []}, "At least one product"),
        ({"products": [{"mpn": "SIMVIS:0001", "quantity": 1}]}, "More than one product"),
        ({"products": [{"mpn": "SIMOLD:0001", "quantity": 1}]}, "no entity"),
        ({"products": [{"mpn": "SIMBS:0001_P1Y:M", "quantity": 301}]}, "out of limits"),
        ({"products": [{"mpn": "SIMBS:0001_P1Y:M", "quantity": 0}]}, "out of limits"),
        ({"products": [{"mpn": "SIMBS:0001_P1Y:M", "quantity": -1}]}, "out of limits"),
        ({"products": [{"mpn": "SIMBS:0001_P1Y:M", "quantity": "1.5"}]}, "whole number"),
        ({"products": [{"mpn": "SIMBS:0001_P1Y:M"}]}, "must be a number"),
        ({"products": [{"quantity": 1}]}, "id or mpn"),
        ({"products": [{"mpn": "SIMBS:0001_P1Y:M", "quantity": 1,
                        "parameters": [{"name": "Domain"}]}]}, "Unknown parameter"),
        ({"products": [{"mpn": "SIMBS:0001_P1Y:M", "quantity": 1, "parameters": [
            {"name": "microsoft_domain", "value": "other.example"}]}]}, "tenant is not found"),
        ({"type": "migration"}, "cannot be placed"),
        ({"customerId": None}, "customerId"),
        ({"poNumber": "x" * 101}, "poNumber"),
    ],
)  # fmt: skip
def test_a_wrong_order_is_refused_and_not_in_the_journal(
    account: Any, change: dict[str, Any], words: str
) -> None:
    refused = account.call("POST", "/orders", json=account.order_body() | change)
    assert refused.status_code == 400
    assert words in refused.json()["message"]
    assert account.sandbox.journal(account.customer_id) == []


def test_periods_make_an_ambiguous_mpn_clear_and_quantity_may_be_text(account: Any) -> None:
    line = {"mpn": "SIMVIS:0001", "quantity": "2", "billingPeriod": {"type": "year", "duration": 1}}
    order = account.call("POST", "/orders", json=account.order_body(products=[line])).json()
    assert order["total"] == {"currency": "USD", "amount": "389.00"}


def test_a_customer_on_hold_cannot_order(account: Any) -> None:
    address = f"/sandbox/customers/{account.customer_id}"
    account.sandbox.http.patch(address, json={"status": "creditHold"})
    refused = account.sell(1)
    assert refused.status_code == 400
    assert "creditHold" in refused.json()["message"]


def test_what_a_product_depends_on_is_added_and_priced(account: Any) -> None:
    line = {"mpn": "SIMXFS:0001", "quantity": 10}
    body = account.order_body(products=[line])
    estimate = account.call("POST", "/orders/estimate", json=body).json()
    assert estimate["total"]["amount"] == "17.24"
    order = account.completed(account.call("POST", "/orders", json=body).json()["id"])
    assert [row["mpn"] for row in order["products"]] == ["SIMXFS:0001", "SIMBS:0001_P1M:M"]
    assert len({row["subscriptionId"] for row in order["products"]}) == 1


def test_products_of_two_offers_get_two_subscriptions(account: Any) -> None:
    lines = [{"mpn": mpn, "quantity": 1} for mpn in ("SIMBS:0001_P1Y:M", "SIME3:0001_P1Y:M")]
    placed = account.call("POST", "/orders", json=account.order_body(products=lines)).json()
    order = account.completed(placed["id"])
    assert len({row["subscriptionId"] for row in order["products"]}) == 2


def test_an_estimate_shows_each_level_and_makes_no_order(sandbox: Any, account: Any) -> None:
    leaf = sandbox.account(kind="leaf")
    for caller, levels in ((account, 3), (leaf, 2)):
        body = caller.order_body(10)
        answer = caller.call("POST", "/orders/estimate", json=body).json()
        (plan,) = answer["subscriptions"]
        assert len(plan["tcvs"]) == levels
        reseller = int(caller.resellers[0]["id"])
        (paid,) = [row for row in plan["tcvs"] if row["buyerId"] == reseller]
        assert paid["planPeriod"]["total"]["amount"] == "112.00"
        assert paid["total"]["amount"] == "1344.00"
        assert answer["total"]["amount"] == "133.40"
        assert sandbox.journal(caller.customer_id) == []


def test_an_add_on_without_its_base_ends_in_error_without_a_reason(account: Any) -> None:
    line = {"mpn": "SIMCOP:0002_P1Y:M", "quantity": 1}
    placed = account.call("POST", "/orders", json=account.order_body(products=[line])).json()
    order = account.get(f"/orders/{placed['id']}")
    assert order["status"] == "error"
    assert not {"message", "reason", "error", "statusCode"} & set(order)
    account.bought(1)
    placed = account.call("POST", "/orders", json=account.order_body(products=[line])).json()
    assert account.completed(placed["id"])


def test_seats_go_down_and_subscriptions_are_cancelled_within_seven_days_only(
    own_sandbox: Any,
) -> None:
    account = own_sandbox.account()
    subscription = account.bought(5)
    assert account.change(subscription["id"], 4).status_code == 200
    own_sandbox.http.post("/sandbox/clock", json={"advance_seconds": 8 * 86_400})
    refused = account.change(subscription["id"], 3)
    assert refused.status_code == 400
    assert "7 days" in refused.json()["message"]
    assert account.change(subscription["id"], 6).status_code == 200
    cancel = {
        "type": "cancellation",
        "customerId": account.customer_id,
        "subscriptionId": subscription["id"],
    }
    assert account.call("POST", "/orders", json=cancel).status_code == 400
    reseller = account.resellers[0]["id"]
    rules = {"vendor_rules": "error_later"}
    own_sandbox.http.patch(f"/sandbox/resellers/{reseller}", json=rules)
    order = account.call("POST", "/orders", json=cancel).json()
    assert account.get(f"/orders/{order['id']}")["status"] == "error"
    assert account.get(f"/subscriptions/{subscription['id']}")["status"] == "active"


def test_a_cancellation_in_time_ends_the_subscription_and_shows_no_products(account: Any) -> None:
    subscription = account.bought(5)
    cancel = {
        "type": "cancellation",
        "customerId": account.customer_id,
        "subscriptionId": subscription["id"],
        "products": [{"subscriptionId": subscription["id"]}],
    }
    order = account.call("POST", "/orders", json=cancel).json()
    assert not {"products", "details"} & set(account.get(f"/orders/{order['id']}"))
    assert account.get(f"/subscriptions/{subscription['id']}")["status"] == "terminated"


def test_only_renewal_status_and_attributes_of_a_subscription_can_be_set(account: Any) -> None:
    subscription = account.bought(5)
    change = {"renewalStatus": False, "quantity": 1, "status": "terminated"}
    answer = account.call("PATCH", f"/subscriptions/{subscription['id']}", json=change).json()
    assert answer["renewalStatus"] is False
    assert (answer["status"], answer["products"][0]["quantity"]) == ("active", 5)


def test_a_yearly_term_renews_with_the_planned_seats_and_the_inherited_po(
    own_sandbox: Any,
) -> None:
    account = own_sandbox.account()
    subscription = account.bought(5, poNumber="PO-Y")
    planned = account.change(subscription["id"], 3, scheduledOn="renewal").json()
    own_sandbox.http.post("/sandbox/clock", json={"advance_seconds": 366 * 86_400})
    renewed = account.get(f"/subscriptions/{subscription['id']}")
    assert renewed["status"] == "active"
    assert renewed["products"][0]["quantity"] == 3
    assert renewed["renewalDate"] > subscription["renewalDate"]
    assert account.get(f"/orders/{planned['id']}")["status"] == "completed"
    newest = account.get("/orders")["data"][0]
    assert (newest["type"], newest["orderNumber"][:2]) == ("renewal", "RN")
    detail = account.get(f"/orders/{newest['id']}")
    assert detail["poNumber"] == "PO-Y"
    assert not {"products", "details"} & set(detail)


def test_a_monthly_term_gets_a_new_subscription_and_without_renewal_it_ends(
    own_sandbox: Any,
) -> None:
    account = own_sandbox.account()
    line = {"mpn": "SIMBS:0001_P1M:M", "quantity": 2}
    order = account.call("POST", "/orders", json=account.order_body(products=[line])).json()
    old = account.completed(order["id"])["subscriptionId"]
    own_sandbox.http.post("/sandbox/clock", json={"advance_seconds": 32 * 86_400})
    assert account.get(f"/subscriptions/{old}")["status"] == "removed"
    (active,) = account.get("/subscriptions", status="active")["data"]
    assert active["id"] != old
    off = {"renewalStatus": False}
    account.call("PATCH", f"/subscriptions/{active['id']}", json=off)
    own_sandbox.http.post("/sandbox/clock", json={"advance_seconds": 32 * 86_400})
    assert account.get(f"/subscriptions/{active['id']}")["status"] == "terminated"
    assert account.get("/subscriptions", status="active")["data"] == []


def test_parameters_are_validated_against_the_customer_tenants(account: Any) -> None:
    domain = account.customer["entra_tenants"][0]["domain"]
    body = account.order_body()

    def results(value: str) -> dict[str, str]:
        body["products"][0]["parameters"] = [{"name": "microsoft_domain", "value": value}]
        answer = account.call("POST", "/validation/parameters", json=body).json()
        return {row["name"]: row["result"] for row in answer["data"][0]["parameters"]}

    assert results(domain) == {"microsoft_domain": "success"}
    assert results("nowhere.example") == {"microsoft_domain": "error"}


def test_orders_are_filtered_as_the_contract_names_it(account: Any) -> None:
    subscription = account.bought(5)
    order = account.get("/orders")["data"][0]
    assert account.get("/orders", orderNumber=order["orderNumber"])["pagination"]["total"] == 1
    assert account.get("/orders", subscriptionId=subscription["id"])["pagination"]["total"] == 1
    assert account.get("/orders", status="error")["data"] == []
    moment = order["creationDate"]
    inside = {"creationTimeFrom": moment, "creationTimeTo": moment}
    assert account.get("/orders", **inside)["pagination"]["total"] == 1
    assert account.get("/orders", creationTimeFrom="2099-01-01T00:00:00Z")["data"] == []
    assert account.call("GET", "/orders", params={"creationTimeFrom": "x"}).status_code == 400
