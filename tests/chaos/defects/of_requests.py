"""Defects of what is bought and promised: I1 to I5, I9 to I11, I14."""

from chaos.defects.registry import violates
from chaos.synthetic import MARKETPLACE_CUSTOMER, RESELLER, SyntheticRun, at


@violates("I1")
def two_orders_for_one_request(run: SyntheticRun) -> None:
    request = run.purchase()
    order = request.executed()
    request.link(order)
    request.step("order.duplicate-suspected", "duplicate_suspected")


@violates("I1")
def a_second_order_under_the_number_of_its_attempt(run: SyntheticRun) -> None:
    request = run.purchase()
    request.link(request.executed(poNumber=f"{request.state['po_number_sent']}-2"))
    request.step("order.duplicate-suspected", "duplicate_suspected")


@violates("I2")
def an_executed_order_that_nobody_knows(run: SyntheticRun) -> None:
    run.request().lose().ask().settle("give_up").executed()


@violates("I2")
def an_order_of_a_request_that_is_shown_as_foreign(run: SyntheticRun) -> None:
    order = run.request().lose().ask().settle("give_up").executed()
    run.say("order.observed", "order", {"id": order["id"], "status": "completed"})


@violates("I2")
def a_hand_made_order_that_is_not_flagged(run: SyntheticRun) -> None:
    order = run.purchase().executed()
    run.run["portal_orders"] = [order["id"]]


@violates("I2")
def a_renewal_that_is_not_flagged(run: SyntheticRun) -> None:
    shown = {"id": "7", "type": "renewal", "status": "completed", "created_at": at(500)}
    run.orders["7"] = {**shown, "customer_id": MARKETPLACE_CUSTOMER}


@violates("I2")
def one_order_for_two_requests(run: SyntheticRun) -> None:
    first = run.purchase()
    second = run.request(product=first.state["product"])
    order = next(o for o in run.journal if o["id"] == first.document["order_ids"][0])
    second.place(order).complete()


@violates("I3")
def a_placed_request_without_an_order(run: SyntheticRun) -> None:
    request = run.purchase()
    [order] = [o for o in run.journal if o["id"] in request.document["order_ids"]]
    run.journal.remove(order)


@violates("I3")
def another_quantity_was_ordered(run: SyntheticRun) -> None:
    run.purchase()
    run.journal[-1]["products"][0]["quantity"] = "4"


@violates("I3")
def another_product_was_ordered(run: SyntheticRun) -> None:
    run.purchase()
    run.journal[-1]["products"][0]["billingPeriod"] = {"type": "year", "duration": 1}


@violates("I3")
def a_completed_request_whose_order_is_not(run: SyntheticRun) -> None:
    run.purchase()
    run.orders[run.journal[-1]["id"]]["status"] = "processing"


@violates("I4")
def an_acknowledged_request_that_is_not_there(run: SyntheticRun) -> None:
    run.call({"po_number": "PO-9"}, {"id": "request-9"})


@violates("I4")
def a_request_for_less_than_was_asked(run: SyntheticRun) -> None:
    run.purchase()
    asked = [line for line in run.history if line["type"] == "invoke"]
    asked[-1]["body"]["quantity"] = 6


@violates("I4")
def an_acknowledged_settlement_that_no_fact_tells(run: SyntheticRun) -> None:
    request = run.request().lose().ask().settle("give_up")
    path = f"/v1/review-items/{request.id}/settlements"
    run.call({"answer": "link"}, {}, 200, path=path, idempotency_key="other")


@violates("I5")
def two_requests_for_one_key(run: SyntheticRun) -> None:
    first = run.purchase().state
    run.purchase(product=first["product"], po_number=first["po_number"])


@violates("I5")
def a_request_for_a_call_that_was_refused(run: SyntheticRun) -> None:
    run.purchase()
    run.history[-1] |= {"type": "fail", "status": 409, "answer": {"code": "purchase_in_progress"}}


@violates("I5")
def a_repeated_call_that_is_refused_though_the_first_had_its_request(run: SyntheticRun) -> None:
    request = run.purchase()
    po_number = request.state["po_number"]
    asked = next(line for line in run.history if line.get("body", {}).get("po_number") == po_number)
    ended = next(line for line in run.history if line["op"] == asked["op"] and line["type"] == "ok")
    ended |= {"type": "info", "error": "ReadTimeout"}
    run.call(asked["body"], {"code": "purchase_in_progress"}, 409)


@violates("I9")
def an_approval_that_nobody_judges(run: SyntheticRun) -> None:
    request = run.request()
    run.kafka[-1]["value"]["data"]["state"]["status"] = "pending_approval"
    request.step("license.change-approved", "placing").place().complete()


@violates("I10")
def fewer_seats_than_are_in_use(run: SyntheticRun) -> None:
    change = run.request(kind="change_quantity", subscription_id="55")
    change.place(change.executed(type="change", subscription="55"))
    change.complete()
    run.run["assigned"] = {"55": 6}


@violates("I10")
def more_than_the_cap_was_spent(run: SyntheticRun) -> None:
    run.run["spend_caps"] = [{"reseller_id": RESELLER, "amount": "99"}]
    for _ in range(2):
        run.purchase(unit_price={"currency": "USD", "amount": "10"})


@violates("I10")
def a_price_that_no_cap_could_be_compared_with(run: SyntheticRun) -> None:
    run.run["spend_caps"] = [{"reseller_id": RESELLER, "amount": "99"}]
    run.purchase(unit_price=None)


@violates("I11")
def two_open_requests_in_one_slot(run: SyntheticRun) -> None:
    first = run.request().lose().ask()
    second = run.request(product=first.state["product"]).lose().ask()
    second.document["slot_buy"] = first.document["slot_buy"]
    first.document["absence_shown_at"] = first.document["attempts"][0]["started_at"]


@violates("I11")
def an_open_request_without_its_slot(run: SyntheticRun) -> None:
    del run.request().lose().ask().document["slot_buy"]


@violates("I11")
def a_purchase_that_was_sent_while_another_of_its_slot_was_open(run: SyntheticRun) -> None:
    first = run.request().lose()
    run.purchase(product=first.state["product"])
    run.now(5)
    first.place(first.executed(), "reference").complete()


@violates("I11")
def a_purchase_that_was_sent_while_another_of_its_slot_was_in_review(run: SyntheticRun) -> None:
    first = run.request().lose().ask()
    run.purchase(product=first.state["product"])
    first.document["absence_shown_at"] = run.now()
    first.settle("give_up")


@violates("I14")
def a_machine_that_sends_again(run: SyntheticRun) -> None:
    request = run.request().lose()
    request.send_again().place().complete()


@violates("I14")
def reviews_of_orders_that_the_marketplace_had(run: SyntheticRun) -> None:
    for _ in range(2):
        request = run.request().lose()
        order = request.executed()
        request.ask()
        request.place(order, "human").settle("link").complete()
