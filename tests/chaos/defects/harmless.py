"""What looks like a defect and is none."""

import json

from chaos.synthetic import SECRET, SyntheticRun, at, encoded


def inject(run: SyntheticRun) -> None:
    """Poison that the one group that reads the topic whole puts aside, twice."""
    run.run["poison"] = [{"topic": "customer.added", "key": "customer-1", "id": "poison-1"}]
    value = encoded("{not json: poison-1")
    record = run.append("customer.added", "customer-1", value, {})
    run.append("customer.added", "customer-1", {"subject": "customer/2", "id": "poison-1"}, {})
    headers = {"dlq_topic": "customer.added", "dlq_partition": "0", "dlq_offset": "0"}
    run.append("audit.record.dlq", "customer-1", record["value"], headers)


def injected_poison(run: SyntheticRun) -> None:
    inject(run)
    run.append("audit.record.dlq", "customer-1", run.kafka[-1]["value"], run.kafka[-1]["headers"])


def repeated_records(run: SyntheticRun) -> None:
    run.purchase()
    for record in run.kafka[-4:]:
        run.append(record["topic"], record["key"], record["value"], record["headers"])


def flagged_hand_made_order(run: SyntheticRun) -> None:
    order = run.purchase().executed()
    run.run["portal_orders"] = [order["id"]]
    run.say("order.observed", "order", {"id": order["id"], "status": "completed"})


def orders_of_a_customer_that_is_not_connected(run: SyntheticRun) -> None:
    run.purchase().executed(customerId="5", poNumber="somebody's")


def request_that_rests_in_review(run: SyntheticRun) -> None:
    run.request().lose().ask()


def order_that_the_marketplace_has_not_finished(run: SyntheticRun) -> None:
    request = run.request().place()
    run.orders[request.document["order_ids"][0]]["status"] = "processing"


def failed_answer_in_an_outage(run: SyntheticRun) -> None:
    run.run["outages"] = [{"what": "order", "from": at(0), "to": at(100)}]
    run.http.append({"t": at(120), "method": "GET", "path": "/v1/me", "status": 503})


def exception_of_poison_and_of_others(run: SyntheticRun) -> None:
    trace = "Traceback (most recent call last):\n  …\nKeyError: 'x'"
    run.logs["order"].append(json.dumps({"message": "record put aside", "exception": trace}))
    run.logs["kafka"].append(trace)


def secret_that_a_caller_sent(run: SyntheticRun) -> None:
    run.call({"password": SECRET}, {"id": "verification"}, 201, path="/v1/reseller-verifications")


def next_purchase_of_a_product(run: SyntheticRun) -> None:
    first = run.purchase()
    given_up = run.request(product=first.state["product"]).lose().ask().settle("give_up")
    run.purchase(product=first.state["product"])
    given_up.place(given_up.executed(), "reference").complete()


def change_of_quantity(run: SyntheticRun) -> None:
    change = run.request(kind="change_quantity", subscription_id="55")
    change.place(change.executed(type="change", subscription="55")).complete()
    run.run["assigned"] = {"55": 5}


HARMLESS = (
    injected_poison,
    repeated_records,
    flagged_hand_made_order,
    orders_of_a_customer_that_is_not_connected,
    request_that_rests_in_review,
    order_that_the_marketplace_has_not_finished,
    failed_answer_in_an_outage,
    exception_of_poison_and_of_others,
    secret_that_a_caller_sent,
    next_purchase_of_a_product,
    change_of_quantity,
)
