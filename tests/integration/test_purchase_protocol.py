"""Answers get lost and processes die: the journal never shows a second order, none stays unlinked."""

from typing import Any

import pytest

from purser_common.testing import eventually

EXECUTED = "execute_then"
OUTCOMES = (
    pytest.param({"kind": "status", "status": 500}, id="500"),
    pytest.param({"kind": "status", "status": 504, "family": "html"}, id="504-html"),
    pytest.param({"kind": "reset"}, id="reset"),
    pytest.param({"kind": "reset", "mid_body": True}, id="reset-mid-body"),
    pytest.param({"kind": "bad_json"}, id="bad-json"),
    pytest.param({"kind": "no_id"}, id="no-id"),
)


@pytest.mark.parametrize("then", OUTCOMES)
async def test_an_order_whose_answer_is_lost_is_found_and_never_sent_again(
    shop: Any, then: dict[str, Any]
) -> None:
    shop.fault(kind=EXECUTED, then=then)
    done = await shop.assert_bought_once(shop.buy())
    assert len(done["execution"]["attempts"]) == 1


async def test_the_reseller_service_killed_while_sending_leaves_one_order(
    system: Any, shop: Any
) -> None:
    shop.fault(kind=EXECUTED, then={"kind": "hang"})
    asked = shop.buy()
    await shop.executed(asked)
    system.stack.kill("reseller")
    try:
        done = await shop.assert_bought_once(asked, within=30)
        assert len(done["execution"]["attempts"]) == 1
    finally:
        system.stack.await_ready(("reseller",), within=20)


async def test_the_order_service_killed_while_the_answer_is_pending_leaves_one_order(
    system: Any, shop: Any
) -> None:
    shop.fault(kind=EXECUTED, then={"kind": "delay", "seconds": 2})
    asked = shop.buy()
    await shop.executed(asked)
    killed = system.stack.kill("order")
    await eventually(lambda: system.stack.pid("order") not in (0, killed))
    system.stack.await_ready(("order",), within=20)
    # longer than the lease of the sweep that the kill may have hit
    done = await shop.assert_bought_once(asked, within=80)
    assert len(done["execution"]["attempts"]) == 1


async def test_the_order_service_killed_before_the_marketplace_executes_leaves_one_order(
    system: Any, shop: Any
) -> None:
    fault = shop.fault(kind="delay", seconds=1.5)
    asked = shop.buy()

    def struck() -> bool:
        shown = system.sandbox.get("/sandbox/faults").json()
        return any(one["id"] == fault["id"] and one["hits"] for one in shown)

    await eventually(struck, every=0.01)
    assert shop.orders(asked) == []
    killed = system.stack.kill("order")
    await eventually(lambda: system.stack.pid("order") not in (0, killed))
    system.stack.await_ready(("order",), within=20)
    await shop.assert_bought_once(asked, within=80)


def known_orders(system: Any, shop: Any) -> list[dict[str, Any]]:
    """Without an order that is known to be there, an empty list would prove nothing."""
    return list(system.journal(shop.customer["id"]))


async def in_review(system: Any, shop: Any) -> dict[str, Any]:
    """A request whose order was not executed while the answer could mean that it was."""
    if not known_orders(system, shop):
        shop.order_at_the_panel(poNumber="by hand", quantity=1)
    shop.fault(kind="status", status=504, family="html")
    asked = shop.buy()
    found: dict[str, Any] = await system.request(asked["id"], "needs_review", within=20)
    assert shop.orders(asked) == []
    assert found["execution"]["attempts"][0]["fenced"]
    return found


def settle(system: Any, request: dict[str, Any], **answer: Any) -> Any:
    path = f"/v1/review-items/{request['id']}/settlements"
    return system.ask("POST", path, {"reason": "looked at the marketplace's panel", **answer})


async def test_not_placed_is_refused_until_it_is_safe_and_then_places_one_order(
    system: Any, shop: Any
) -> None:
    request = await in_review(system, shop)
    assert request["id"] in [one["id"] for one in system.get("/v1/review-items")["items"]]
    early = settle(system, request, answer="not_placed")
    assert (early.status_code, early.json()["code"]) == (409, "too_early")
    assert early.json()["not_before"]

    def accepted() -> bool:
        answer = settle(system, request, answer="not_placed")
        assert answer.status_code < 400, answer.text
        return True

    await eventually(accepted, within=20, every=0.2)
    done = await shop.assert_bought_once(request)
    assert len(done["execution"]["attempts"]) == 2
    late = settle(system, request, answer="give_up")
    assert (late.status_code, late.json()["code"]) == (409, "not_in_review")


async def test_an_empty_list_of_an_account_without_orders_proves_nothing(
    system: Any, shop: Any
) -> None:
    shop.fault(kind="status", status=504, family="html")
    asked = shop.buy()
    await system.request(asked["id"], "needs_review", within=20)

    def told() -> bool:
        refused = settle(system, asked, answer="not_placed").json()
        return bool(refused["code"] == "absence_not_shown")

    await eventually(told, within=20, every=0.2)


async def test_an_order_placed_by_hand_with_our_number_is_flagged_as_a_second_one(
    system: Any, shop: Any
) -> None:
    done = await shop.assert_bought_once(shop.buy())
    suspected = 'events_published_total{topic="order.duplicate-suspected"}'
    with system.outside("order") as order:
        before = metric(order, suspected)
        shop.order_at_the_panel(poNumber=done["po_number_sent"], quantity=done["quantity"])
        shop.fault(kind="execute_then", then={"kind": "reset"})
        await shop.assert_bought_once(shop.buy(), within=30)
        flagged = await system.request(done["id"], "duplicate_suspected", within=30)
        assert len(flagged["execution"]["evidence"]) == 2
        await eventually(lambda: metric(order, suspected) > before, within=20)


async def test_without_a_suffix_a_lost_order_is_found_by_what_it_says(
    system: Any, shop: Any
) -> None:
    shop.change_reseller(po_suffix=False)
    shop.order_at_the_panel(poNumber="PO-2", quantity=5)
    shop.order_at_the_panel(poNumber="PO-1", quantity=6)
    shop.fault(kind=EXECUTED, then={"kind": "reset"})
    asked = system.call("POST", "/v1/license-change-requests", shop.want(po_number="PO-1")).json()
    assert asked["po_number_sent"] == "PO-1"
    done = await system.request(asked["id"], "completed", within=30)
    (evidence,) = done["execution"]["evidence"]
    sent = [
        order
        for order in system.journal(shop.customer["id"])
        if (order["poNumber"], order["products"][0]["quantity"]) == ("PO-1", "5")
    ]
    assert [order["id"] for order in sent] == [evidence["order_id"]]
    assert evidence["source"] == "fingerprint"


async def test_without_a_suffix_two_orders_that_fit_are_a_persons_to_settle(
    system: Any, shop: Any
) -> None:
    shop.change_reseller(po_suffix=False)
    other = shop.order_at_the_panel(poNumber="PO-1", quantity=5)
    shop.fault(kind=EXECUTED, then={"kind": "reset"})
    asked = system.call("POST", "/v1/license-change-requests", shop.want(po_number="PO-1")).json()
    found = await system.request(asked["id"], "needs_review", within=30)
    assert found["execution"]["evidence"] == []
    (sent,) = (order for order in shop.orders(asked) if order["id"] != other["id"])

    def of_others() -> set[str]:
        return {one["id"] for one in system.get(f"/v1/tenants/{shop.tenant['id']}/orders")["items"]}

    await eventually(lambda: of_others() == {other["id"], sent["id"]}, within=20)
    linked = settle(system, asked, answer="link", order_id=sent["id"])
    assert linked.status_code < 400, linked.text
    done = await system.request(asked["id"], "completed", within=30)
    assert [one["source"] for one in done["execution"]["evidence"]] == ["human"]
    assert of_others() == {other["id"]}


async def test_giving_up_ends_the_request_and_frees_the_product(system: Any, shop: Any) -> None:
    request = await in_review(system, shop)
    taken = system.ask("POST", "/v1/license-change-requests", shop.want())
    assert taken.status_code == 409
    assert settle(system, request, answer="give_up").status_code < 400
    assert (await system.request(request["id"], "cancelled"))["status"] == "cancelled"
    await shop.assert_bought_once(shop.buy())
    assert shop.orders(request) == []


async def test_an_order_of_another_request_cannot_be_linked(system: Any, shop: Any) -> None:
    first = await shop.assert_bought_once(shop.buy())
    request = await in_review(system, shop)
    other = settle(system, request, answer="link", order_id=first["order"]["id"])
    assert (other.status_code, other.json()["code"]) == (409, "order_linked")
    assert other.json()["request_id"] == first["id"]
    unknown = settle(system, request, answer="link", order_id="999999999")
    assert unknown.status_code == 404
    unnamed = settle(system, request, answer="link")
    assert unnamed.json()["errors"][0]["pointer"] == "/order_id"
    assert (await system.request(request["id"], "needs_review"))["order"] is None


async def test_a_refused_order_fails_the_request(system: Any, shop: Any) -> None:
    shop.fault(kind="status", status=400, message="The product is not orderable")
    asked = shop.buy()
    failed = await system.request(asked["id"], "failed")
    assert failed["failure"]["code"] == "refused_by_marketplace"
    assert "not orderable" in failed["failure"]["detail"]
    assert shop.orders(asked) == []


async def test_an_order_that_meets_the_rate_limit_is_sent_again_once(shop: Any) -> None:
    shop.fault(kind="rate_limit", retry_after=1)
    done = await shop.assert_bought_once(shop.buy())
    assert [a["outcome"] for a in done["execution"]["attempts"]] == ["refused", None]


def metric(service: Any, series: str) -> float:
    lines = service.get("/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(series)), 0.0)


@pytest.mark.parametrize("everything", [True, False], ids=["all", "one reseller"])
async def test_a_purchase_waits_while_buying_is_stopped_and_is_sent_once_it_is_resumed(
    system: Any, shop: Any, everything: bool
) -> None:
    scope = "all" if everything else shop.reseller["id"]
    body = {"scope": scope, "reason": "a customer was charged twice"}
    stopped = system.call("POST", "/v1/buying-stops", body)
    try:
        shown = system.get("/v1/overview")["buying_stops"]
        assert [one["reason"] for one in shown if one["id"] == scope] == [body["reason"]]
        asked = shop.buy()
        refused = 'sends_refused_total{reason="buying_stopped"}'
        with system.outside("reseller") as reseller:
            before = metric(reseller, refused)
            await eventually(lambda: metric(reseller, refused) > before, within=20)
        waiting = system.get(f"/v1/license-change-requests/{asked['id']}")
        assert waiting["execution"]["attempts"] == []
        assert shop.orders(asked) == []
    finally:
        headers = {"If-Match": stopped.headers["etag"]}
        system.call("DELETE", f"/v1/buying-stops/{scope}?confirm=true", headers=headers)
    done = await shop.assert_bought_once(asked)
    assert [attempt["n"] for attempt in done["execution"]["attempts"]] == [1]
    assert system.get("/v1/overview")["buying_stops"] == []
