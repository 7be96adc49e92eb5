"""Defects of what is told, read and left behind: I6 to I8, I12, I13, I15, I16."""

import json

from chaos.defects.harmless import inject
from chaos.defects.registry import violates
from chaos.synthetic import SECRET, SyntheticRun, at, encoded


@violates("I6")
def a_fact_that_was_never_published(run: SyntheticRun) -> None:
    run.purchase()
    lost = next(r for r in reversed(run.kafka) if r["topic"] == "order.placed")
    run.kafka.remove(lost)
    del run.mongo["purser_audit"]["records"][lost["value"]["id"]]


@violates("I6")
def a_document_of_whose_facts_none_was_published(run: SyntheticRun) -> None:
    state = {"id": "order-5", "status": "completed"}
    run.mongo["purser_order"]["orders"]["order-5"] = {
        "_id": "order-5",
        "sequence": 1,
        "outbox": [],
        "state": state,
    }


@violates("I6")
def first_copies_out_of_order(run: SyntheticRun) -> None:
    run.request().lose().ask().settle("give_up")
    last, before = [r for r in reversed(run.kafka) if r["topic"] == "order.uncertain"][:2]
    last["offset"], before["offset"] = before["offset"], last["offset"]


@violates("I6")
def an_illegal_step(run: SyntheticRun) -> None:
    run.request().lose().step("order.failed", "failed")


@violates("I6")
def a_failed_request_that_is_placed_after_all(run: SyntheticRun) -> None:
    run.request().step("order.failed", "failed").place().complete()


@violates("I6")
def a_settlement_that_did_something_else(run: SyntheticRun) -> None:
    request = run.request().lose().ask()
    request.step("order.review-settled", "cancelled", answer="not_placed")


@violates("I6")
def a_fact_under_the_wrong_key(run: SyntheticRun) -> None:
    run.purchase()
    run.kafka[-1]["key"] = "somebody"


@violates("I6")
def two_copies_of_one_event_that_differ(run: SyntheticRun) -> None:
    run.purchase()
    record = run.kafka[-1]
    value = json.loads(json.dumps(record["value"]))
    value["time"] = at(900)
    run.append(record["topic"], record["key"], value, record["headers"])


@violates("I6")
def a_state_that_changed_without_a_fact(run: SyntheticRun) -> None:
    request = run.purchase()
    request.document["state"]["comment"] = "changed"
    run.mongo["purser_gateway"]["requests"][request.subject]["state"]["comment"] = "changed"


@violates("I7")
def a_stale_read_model(run: SyntheticRun) -> None:
    request = run.purchase()
    kept = run.mongo["purser_gateway"]["requests"][request.subject]
    kept |= {"sequence": 2, "state": {**kept["state"], "status": "placed"}}


@violates("I7")
def an_aggregate_that_the_read_model_lacks(run: SyntheticRun) -> None:
    del run.mongo["purser_gateway"]["requests"][run.purchase().subject]


@violates("I7")
def a_stale_copy_of_another_service(run: SyntheticRun) -> None:
    tenant = run.mongo["purser_tenant_connection"]["tenants"]["tenant-1"]
    run.mongo["purser_order"]["connections"]["tenant-1"] = {
        "_id": "tenant-1",
        "sequence": 1,
        "state": {**tenant["state"], "connection": None},
    }


@violates("I7")
def a_fact_that_audit_has_not_recorded(run: SyntheticRun) -> None:
    run.purchase()
    run.mongo["purser_audit"]["records"].popitem()


@violates("I7")
def a_record_of_no_event(run: SyntheticRun) -> None:
    run.mongo["purser_audit"]["records"]["nothing"] = {"_id": "nothing"}


@violates("I7")
def a_bought_subscription_that_is_not_mirrored(run: SyntheticRun) -> None:
    run.purchase()
    record = run.kafka.pop()
    assert record["topic"] == "subscription.activated"
    del run.mongo["purser_audit"]["records"][record["value"]["id"]]
    run.mongo["purser_subscription"]["subscriptions"].popitem()
    run.mongo["purser_gateway"]["subscriptions"].popitem()


@violates("I7")
def a_mirror_with_other_seats_than_the_marketplace(run: SyntheticRun) -> None:
    run.purchase()
    run.subscriptions[run.journal[-1]["subscriptionId"]]["lines"] = [{"quantity": 9}]


@violates("I8")
def a_fact_about_nothing(run: SyntheticRun) -> None:
    run.publish("order.observed", "order/order-8", 1, {"id": "order-8", "status": "completed"})


@violates("I8")
def a_fact_that_is_ahead_of_its_document(run: SyntheticRun) -> None:
    state = {"id": "order-9", "status": "completed"}
    run.say("order.observed", "order", state)
    run.publish("order.observed", "order/order-9", 2, state)


@violates("I12")
def a_request_that_is_still_uncertain(run: SyntheticRun) -> None:
    run.request().lose()


@violates("I12")
def a_placed_request_whose_order_is_completed(run: SyntheticRun) -> None:
    run.request().place()


@violates("I12")
def a_fact_that_still_waits(run: SyntheticRun) -> None:
    request = run.purchase()
    last = next(r for r in reversed(run.kafka) if r["topic"] == "license.purchased")
    value = encoded(json.dumps(last["value"]))
    request.document["outbox"] = [{"seq": 4, "topic": "license.purchased", "value": value}]


@violates("I12")
def a_group_that_lags(run: SyntheticRun) -> None:
    run.lag["audit.record", "order.placed"] = 1


@violates("I13")
def a_sound_fact_among_the_dead_letters(run: SyntheticRun) -> None:
    record = run.kafka[0]
    headers = {"dlq_topic": record["topic"], "dlq_partition": "0", "dlq_offset": "0"}
    run.append("audit.record.dlq", record["key"], record["value"], headers)


@violates("I13")
def poison_that_was_not_put_aside(run: SyntheticRun) -> None:
    inject(run)
    run.kafka.pop()


@violates("I13")
def nonsense_that_nobody_injected(run: SyntheticRun) -> None:
    run.append("order.placed", "tenant-1", encoded("{nonsense"), {})


@violates("I15")
def a_secret_in_a_log(run: SyntheticRun) -> None:
    run.logs["order"].append(json.dumps({"message": f"signed in with {SECRET}"}))


@violates("I15")
def a_secret_in_a_fact(run: SyntheticRun) -> None:
    request = run.purchase()
    request.document["state"]["comment"] = SECRET
    request.step("order.duplicate-suspected", "duplicate_suspected")
    request.document["state"].pop("comment")
    request.step("order.duplicate-suspected", "duplicate_suspected")


@violates("I15")
def a_secret_in_a_document(run: SyntheticRun) -> None:
    run.mongo["purser_reseller"]["resellers"]["1"] = {"_id": "1", "password": SECRET}


@violates("I15")
def a_secret_in_the_bytes_of_a_document(run: SyntheticRun) -> None:
    kept = {"_id": "1", "body": encoded(json.dumps({"key": SECRET.encode().hex()}))}
    run.mongo["purser_gateway"]["idempotency"]["1"] = kept


@violates("I15")
def a_secret_in_an_answer(run: SyntheticRun) -> None:
    run.call({"po_number": "PO-5"}, {"code": "invalid", "detail": SECRET}, 422)


@violates("I15")
def a_secret_in_a_failed_answer(run: SyntheticRun) -> None:
    run.run["outages"] = [{"what": "order", "from": at(0), "to": at(100)}]
    run.http.append({"t": at(50), "method": "GET", "path": "/", "status": 502, "body": SECRET})


@violates("I16")
def an_exception_that_nobody_handled(run: SyntheticRun) -> None:
    trace = "Traceback (most recent call last):\n  …\nKeyError: 'x'"
    run.logs["order"].append(json.dumps({"message": "job failed", "exception": trace}))


@violates("I16")
def a_traceback_in_the_open(run: SyntheticRun) -> None:
    run.logs["order"] += ["Traceback (most recent call last):", "KeyError: 'x'"]


@violates("I16")
def a_failed_answer_outside_the_outages(run: SyntheticRun) -> None:
    run.run["outages"] = [{"what": "order", "from": at(0), "to": at(100)}]
    run.http.append({"t": at(500), "method": "GET", "path": "/v1/me", "status": 503})


# -- what is no defect -----------------------------------------------------------------------------
