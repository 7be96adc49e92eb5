"""Each fault as a caller meets it."""

import threading
import time
from typing import Any

import httpx
import pytest


def _fault(account: Any, kind: str, route: str = "POST /orders", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = account.sandbox.fault(
        route=route, kind=kind, login_id=account.login["id"], **more
    )
    return made


def _placed(account: Any) -> int:
    return len(account.sandbox.journal(account.customer_id))


@pytest.mark.parametrize("mid_body", [False, True])
def test_reset_drops_the_connection_and_executes_nothing(account: Any, mid_body: bool) -> None:
    _fault(account, "reset", mid_body=mid_body)
    account.get("/customers")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        account.sell(1)
    assert _placed(account) == 0
    assert account.sell(1).status_code == 200


def test_an_order_is_executed_and_its_answer_lost(account: Any) -> None:
    _fault(account, "execute_then", then={"kind": "reset"})
    with pytest.raises(httpx.ReadError):
        account.sell(1)
    assert _placed(account) == 1


@pytest.mark.parametrize(("status", "family"), [(500, "platform"), (504, "html"), (502, "html")])
def test_an_order_is_executed_and_answered_with_an_error(
    account: Any, status: int, family: str
) -> None:
    _fault(account, "execute_then", then={"kind": "status", "status": status, "family": family})
    answer = account.sell(1)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html") == (family == "html")
    assert _placed(account) == 1


@pytest.mark.parametrize(
    ("family", "field"),
    [("platform", "timeStamp"), ("spring", "error"), ("gateway", "statusCode")],
)
def test_a_status_comes_in_the_asked_family(account: Any, family: str, field: str) -> None:
    _fault(account, "status", "GET /orders/{id}", status=503, family=family, message="later")
    answer = account.call("GET", "/orders/1")
    assert answer.status_code == 503
    assert field in answer.json()
    assert answer.headers["X-Correlation-ID"]


@pytest.mark.parametrize("retry_after", [None, 7, "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_rate_limit_comes_with_or_without_retry_after(account: Any, retry_after: Any) -> None:
    _fault(account, "rate_limit", retry_after=retry_after)
    answer = account.sell(1)
    assert answer.status_code == 429
    expected = None if retry_after is None else str(retry_after)
    assert answer.headers.get("Retry-After") == expected
    assert _placed(account) == 0


def test_a_redirect_is_answered_with_a_location(account: Any) -> None:
    _fault(account, "redirect", location="http://127.0.0.1:1/elsewhere")
    answer = account.sell(1)
    assert answer.status_code == 307
    assert answer.headers["Location"] == "http://127.0.0.1:1/elsewhere"
    assert _placed(account) == 0


def test_bad_json_and_a_missing_id_come_after_the_order_was_executed(account: Any) -> None:
    _fault(account, "bad_json")
    answer = account.sell(1)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"."):
        answer.json()
    _fault(account, "no_id")
    body = account.sell(1).json()
    assert not {"id", "orderNumber"} & set(body)
    assert _placed(account) == 2


def test_a_hang_lasts_until_the_caller_goes(account: Any) -> None:
    _fault(account, "hang")
    with pytest.raises(httpx.ReadTimeout):
        account.call("POST", "/orders", json=account.order_body(1), timeout=0.3)
    assert _placed(account) == 0


def test_a_delayed_order_is_executed_after_its_caller_has_gone(account: Any) -> None:
    _fault(account, "delay", seconds=0.6)
    with pytest.raises(httpx.ReadTimeout):
        account.call("POST", "/orders", json=account.order_body(1), timeout=0.2)
    assert _placed(account) == 0
    until = time.monotonic() + 10
    while _placed(account) == 0:
        assert time.monotonic() < until


def test_an_order_is_listed_only_after_its_lag(own_sandbox: Any) -> None:
    account = own_sandbox.account()
    _fault(account, "list_lag", seconds=600)
    _fault(account, "execute_then", then={"kind": "status", "status": 504, "family": "html"})
    assert account.sell(1).status_code == 504
    assert account.get("/orders")["data"] == []
    own_sandbox.http.post("/sandbox/clock", json={"advance_seconds": 601})
    assert len(account.get("/orders")["data"]) == 1


def test_an_order_ends_as_its_fault_says(account: Any) -> None:
    _fault(account, "stuck")
    stuck = account.sell(1).json()["id"]
    _fault(account, "stuck", stuck_in="submitted")
    waiting = account.sell(1).json()["id"]
    _fault(account, "order_error")
    failed = account.sell(1).json()["id"]
    read = [account.get(f"/orders/{key}")["status"] for key in (stuck, waiting, failed)]
    assert read == ["processing", "submitted", "error"]


def test_a_completed_order_may_leave_other_seats_or_a_pending_subscription(account: Any) -> None:
    _fault(account, "other_quantity", quantity=2)
    assert account.bought(5)["products"][0]["quantity"] == 2
    _fault(account, "subscription_pending")
    assert account.bought(5)["status"] == "pending"


def test_a_fault_strikes_its_customer_after_so_many_calls_and_so_often(account: Any) -> None:
    first, second = (row["id"] for row in account.resellers[0]["customers"])
    account.sandbox.fault(route="POST /orders", kind="status", customer_id=first, after=1, times=2)
    other = account.call("POST", "/orders", json=account.order_body(1) | {"customerId": second})
    assert other.status_code == 200
    assert [account.sell(1).status_code for _ in range(4)] == [200, 500, 500, 200]


def test_a_fault_without_an_end_stays_until_it_is_removed(account: Any) -> None:
    made = _fault(account, "status", "GET /customers", times=None, status=503)
    read = [account.call("GET", "/customers").status_code for _ in range(3)]
    assert read == [503, 503, 503]
    shown = {row["id"]: row for row in account.sandbox.http.get("/sandbox/faults").json()}
    assert shown[made["id"]]["hits"] == 3
    account.sandbox.http.delete(f"/sandbox/faults/{made['id']}")
    assert account.call("GET", "/customers").status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"route": "orders", "kind": "hang"},
        {"route": "POST /orders", "kind": "explode"},
        {"route": "POST /orders", "kind": "execute_then"},
        {"route": "GET /orders", "kind": "stuck"},
        {"route": "POST /orders", "kind": "hang", "then": {"kind": "hang"}},
        {"route": "POST /orders", "kind": "execute_then", "then": {"kind": "stuck"}},
        {"route": "POST /orders", "kind": "hang", "unheard": 1},
        {"route": "POST /orders", "kind": "stale_list"},
        {"route": "GET /orders", "kind": "po_cut"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(sandbox: Any, wrong: dict[str, Any]) -> None:
    assert sandbox.http.post("/sandbox/faults", json=wrong).status_code == 422


def test_calls_are_recorded_without_secrets(account: Any) -> None:
    account.sell(1)
    query = {"login_id": account.login["id"]}
    answer = account.sandbox.http.get("/sandbox/calls", params=query)
    assert [(row["method"], row["path"], row["status"]) for row in answer.json()] == [
        ("POST", "/token", 200),
        ("POST", "/orders", 200),
    ]
    for secret in (account.login["password"], account.login["subscription_key"], account._token):
        assert secret not in answer.text


def test_other_calls_are_answered_while_one_hangs(account: Any) -> None:
    _fault(account, "hang")
    account.get("/customers")

    def hanging() -> None:
        with pytest.raises(httpx.ReadTimeout):
            account.call("POST", "/orders", json=account.order_body(1), timeout=1)

    waiting = threading.Thread(target=hanging)
    waiting.start()
    account.get("/customers")
    assert waiting.is_alive()
    waiting.join()


def test_a_conflict_names_the_order_that_the_call_made(account: Any) -> None:
    _fault(account, "execute_then", then={"kind": "conflict"})
    answer = account.sell(1)
    [made] = account.sandbox.journal(account.customer_id)
    assert answer.status_code == 500
    assert f"already has order #{made['number']} [" in answer.json()["message"]


def test_a_conflict_without_an_order_names_the_newest_one(account: Any) -> None:
    _fault(account, "conflict")
    assert "in the way" in account.sell(1).json()["message"]
    other = account.sell(1).json()["orderNumber"]
    _fault(account, "conflict")
    assert f"already has order #{other} [" in account.sell(1).json()["message"]
    assert _placed(account) == 1


def test_a_list_is_empty_or_a_page_of_it_is_missing(account: Any) -> None:
    for _ in range(3):
        account.sell(1)
    _fault(account, "empty_list", "GET /orders")
    empty = account.get("/orders")
    assert (empty["data"], empty["pagination"]["total"]) == ([], 0)
    _fault(account, "missing_page", "GET /orders", after=1)
    pages = [account.get("/orders", offset=offset, limit=1) for offset in range(3)]
    assert [len(page["data"]) for page in pages] == [1, 0, 1]
    assert {page["pagination"]["total"] for page in pages} == {3}


def test_a_stale_list_knows_only_what_is_old_enough(own_sandbox: Any) -> None:
    account = own_sandbox.account()
    old = account.sell(1).json()["id"]
    own_sandbox.http.post("/sandbox/clock", json={"advance_seconds": 60})
    account.sell(1)
    _fault(account, "stale_list", "GET /orders", seconds=30)
    stale = account.get("/orders")
    assert [row["id"] for row in stale["data"]] == [old]
    assert stale["pagination"]["total"] == 1
    assert len(account.get("/orders")["data"]) == 2


def test_an_order_goes_backwards_for_one_read(account: Any) -> None:
    order_id = account.sell(1).json()["id"]
    account.completed(order_id)
    _fault(account, "backwards", "GET /orders/{id}")
    read = [account.get(f"/orders/{order_id}")["status"] for _ in range(2)]
    assert read == ["submitted", "completed"]


@pytest.mark.parametrize(("length", "kept"), [(0, None), (6, "PO-123")])
def test_a_purchase_order_number_is_dropped_or_cut(
    account: Any, length: int, kept: str | None
) -> None:
    _fault(account, "po_cut", length=length)
    order = account.sell(1, poNumber="PO-12345").json()
    assert order.get("poNumber") == kept
    assert account.get(f"/orders/{order['id']}").get("poNumber") == kept
    assert account.sandbox.journal(account.customer_id)[0]["poNumber"] == "PO-12345"


def test_what_stands_at_the_marketplace_is_shown_whoever_made_it(account: Any) -> None:
    bought = account.bought(5)
    query = {"customer_id": account.customer_id}
    orders = account.sandbox.http.get("/sandbox/orders", params=query).json()
    subscriptions = account.sandbox.http.get("/sandbox/subscriptions", params=query).json()
    assert [(row["type"], row["status"]) for row in orders] == [("sales", "completed")]
    assert [(row["id"], row["lines"][0]["quantity"]) for row in subscriptions] == [
        (bought["id"], 5)
    ]
