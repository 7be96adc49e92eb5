"""Key, Basic, bearer, visibility, and the three error families."""

from typing import Any

import pytest


def test_the_subscription_key_is_checked_before_anything_else(account: Any) -> None:
    bare = account.sandbox.http.get("/marketplace/eu/orders")
    assert bare.status_code == 401
    assert bare.json()["statusCode"] == 401
    assert "missing subscription key" in bare.json()["message"]
    foreign = account.sandbox.http.get(
        "/marketplace/eu/orders", headers={"X-Subscription-Key": "of nobody"}
    )
    assert "invalid subscription key" in foreign.json()["message"]


def test_a_wrong_password_gets_the_platform_error_and_no_secret_back(account: Any) -> None:
    account.login["password"] = "a-wrong-password"
    refused = account.token()
    assert refused.status_code == 401
    body = refused.json()
    assert set(body) == {"timeStamp", "status", "message", "path", "correlationId"}
    assert body["path"] == "/token"
    assert body["correlationId"] == refused.headers["X-Correlation-ID"]
    assert "a-wrong-password" not in refused.text


def test_a_token_needs_the_login_own_marketplace(account: Any) -> None:
    account.login["marketplace"] = "us"
    assert account.token().status_code == 401
    account.login["marketplace"] = ""
    assert account.token().status_code == 400


def test_an_unknown_region_is_answered_by_the_gateway(account: Any) -> None:
    account.login["region"] = "atlantis"
    assert account.token().json() == {"statusCode": 404, "message": "Resource not found"}


@pytest.mark.parametrize("status", [401, 403])
def test_an_expired_token_gets_401_or_403_by_switch(account: Any, status: int) -> None:
    assert account.call("GET", "/orders").status_code == 200
    change = {"expire_tokens": True, "expired_bearer": status}
    account.sandbox.http.patch(f"/sandbox/logins/{account.login['id']}", json=change)
    assert account.call("GET", "/orders").status_code == status
    account._token = ""
    assert account.call("GET", "/orders").status_code == 200


def test_a_tampered_token_is_refused(account: Any) -> None:
    token = account.token().json()["token"]
    account._token = token[:-1] + ("0" if token[-1] != "0" else "1")
    assert account.call("GET", "/orders").status_code == 401


def test_a_disabled_login_can_do_nothing(account: Any) -> None:
    account.get("/orders")
    account.sandbox.http.patch(f"/sandbox/logins/{account.login['id']}", json={"disabled": True})
    assert account.call("GET", "/orders").status_code == 401
    assert account.token().status_code == 401


def test_what_belongs_to_another_login_is_not_found(sandbox: Any, account: Any) -> None:
    other = sandbox.account()
    subscription = other.bought()
    order = other.sell().json()
    for path in (
        f"/customers/{other.customer_id}",
        f"/resellers/{other.resellers[0]['id']}",
        f"/resellers/{other.resellers[0]['id']}/customers",
        f"/orders/{order['id']}",
        f"/subscriptions/{subscription['id']}",
    ):
        assert account.call("GET", path).status_code == 404, path
    assert account.get("/orders", customerId=other.customer_id)["data"] == []
    assert account.get("/subscriptions", customerId=other.customer_id)["data"] == []
    body = account.order_body() | {"customerId": other.customer_id}
    refused = account.call("POST", "/orders", json=body)
    assert refused.status_code == 400
    assert "no entity" in refused.json()["message"]


def test_a_parent_lists_its_resellers_and_a_leaf_gets_what_is_switched_on(sandbox: Any) -> None:
    parent = sandbox.account(resellers=2)
    assert parent.get("/resellers")["pagination"]["total"] == 2
    leaf = sandbox.account(kind="leaf")
    own = leaf.resellers[0]["id"]
    assert leaf.get("/resellers")["data"] == []
    address = f"/sandbox/logins/{leaf.login['id']}"
    sandbox.http.patch(address, json={"reseller_list": "itself"})
    assert [row["id"] for row in leaf.get("/resellers")["data"]] == [own]
    sandbox.http.patch(address, json={"reseller_list": "403"})
    assert leaf.call("GET", "/resellers").status_code == 403
    assert leaf.get(f"/customers/{leaf.customer_id}")["resellerId"] == own


def test_costs_depend_on_the_caller(sandbox: Any, account: Any) -> None:
    leaf = sandbox.account(kind="leaf")
    query = {"mpn": "SIMBS:0001_P1Y:M"}
    (to_leaf,), (to_parent,) = (who.get("/products", **query)["data"] for who in (leaf, account))
    assert to_leaf["costs"][0]["amount"] == to_parent["prices"][0]["amount"] == "11.20"
    assert to_leaf["prices"][0]["amount"] == "13.34"
    assert to_parent["costs"][0]["amount"] == "10.30"


def test_broken_json_gets_the_framework_error(account: Any) -> None:
    refused = account.call("POST", "/orders", content=b'{"type":')
    assert refused.status_code == 400
    assert set(refused.json()) == {"timestamp", "status", "error", "path"}


def test_lists_page_newest_first_and_ignore_unknown_parameters(account: Any) -> None:
    placed = [account.sell(1).json()["id"] for _ in range(3)]
    first = account.get("/orders", limit=2, unheard_of="x")
    assert first["pagination"] == {"offset": 0, "limit": 2, "total": 3}
    second = account.get("/orders", limit=2, offset=2)
    ids = [row["id"] for row in first["data"] + second["data"]]
    assert ids == placed[::-1]
    assert account.get("/orders", offset=3)["data"] == []
    assert account.call("GET", "/orders", params={"limit": "0"}).status_code == 400


def test_lists_are_thinner_than_details(account: Any) -> None:
    order = account.sell(1, poNumber="PO-7").json()
    (row,) = account.get("/orders")["data"]
    assert not {"poNumber", "products", "details"} & set(row)
    assert account.get(f"/orders/{order['id']}")["poNumber"] == "PO-7"
    (row,) = account.get("/subscriptions")["data"]
    assert not {"products", "planId", "totalPrice"} & set(row)
    assert "address" not in account.get("/customers")["data"][0]


def test_strict_mode_refuses_what_the_marketplace_ignores(tmp_path: Any, sandbox: Any) -> None:
    strict = type(sandbox)(tmp_path, {"SANDBOX_STRICT": "true"})
    strict.start()
    caller = strict.account()
    assert caller.call("GET", "/orders", params={"sort": "x"}).status_code == 400
    assert caller.sell(1, orderParameters=[]).status_code == 400
    assert caller.sell(1).status_code == 200
    strict.stop()


def test_a_login_may_read_only_so_many_single_objects_in_a_minute(sandbox: Any) -> None:
    account, other = sandbox.account(reads_per_minute=3), sandbox.account(reads_per_minute=3)
    path = f"/customers/{account.customer_id}"
    assert [account.call("GET", path).status_code for _ in range(3)] == [200] * 3
    refused = account.call("GET", path)
    assert refused.status_code == 429
    assert "Rate limit is exceeded" in refused.json()["message"]
    assert 0 < int(refused.headers["retry-after"]) <= 60
    # lists, orders and other logins are not concerned
    account.get("/customers")
    assert account.sell(1).status_code == 200
    other.get(f"/customers/{other.customer_id}")
    address = f"/sandbox/logins/{account.login['id']}"
    sandbox.http.patch(address, json={"reads_per_minute": 4})
    assert [account.call("GET", path).status_code for _ in range(2)] == [200, 429]
    sandbox.http.patch(address, json={"reads_per_minute": 0})
    assert [account.call("GET", path).status_code for _ in range(5)] == [200] * 5
