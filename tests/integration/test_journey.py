"""From credentials to a purchased licence, through the gateway and seen by an outside consumer."""

import json
from typing import Any

import pytest
from program_settings import SERVICES

from purser_common import mongo, settings
from purser_common.testing import eventually, records
from purser_events.topics import TOPICS

PRICE = {"currency": "USD", "amount": "23.42"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


KEPT = {
    "purser_reseller": "resellers",
    "purser_tenant_connection": "tenants",
    "purser_subscription": "subscriptions",
    "purser_order": "license_change_requests",
    "purser_audit": "records",
}
"""Database of each service, and the collection in which it alone keeps what it owns."""


async def facts_of(system: Any, correlation_id: str, last: str) -> list[dict[str, Any]]:
    def caused(read: list[Any]) -> list[dict[str, Any]]:
        envelopes = [{**json.loads(record.value), "key": record.key} for record in read]
        return [one for one in envelopes if one.get("correlationid") == correlation_id]

    def enough(read: list[Any]) -> bool:
        return any(one["type"] == last for one in caused(read))

    topics = [topic.name for topic in TOPICS]
    return caused(await records(system.kafka, *topics, until=enough, within=20))


@pytest.mark.requirement("R78.a", "R80.a", "R80.b")
async def test_a_purchase_is_seen_by_an_outside_consumer_under_one_trace(
    system: Any, shop: Any
) -> None:
    correlation = f"journey-{shop.reseller['id'][:8]}"
    headers = {
        "Purser-Correlation-Id": correlation,
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    }
    asked = shop.buy(headers=headers)
    done = await shop.assert_bought_once(asked)
    facts = await facts_of(system, correlation, "purser.license.purchased.v1")
    types = {one["type"] for one in facts}
    expected = ("license.change-requested", "order.placed", "order.completed", "license.purchased")
    assert {f"purser.{name}.v1" for name in expected} <= types
    assert {one["traceparent"].split("-")[1] for one in facts} == {TRACE}

    def heard() -> set[str]:
        found = system.get("/v1/audit-records", request_id=done["id"])["items"]
        return {one["trace_id"] for one in found if one["type"] == "purser.license.purchased.v1"}

    await eventually(lambda: heard() == {TRACE}, within=20)
    bought = next(one for one in facts if one["type"] == "purser.license.purchased.v1")
    assert bought["tenantid"] == shop.tenant["id"]
    licences = [one for one in facts if one["type"].startswith("purser.license.")]
    assert {one["key"] for one in licences} == {shop.tenant["id"].encode()}
    assert bought["data"]["state"]["customer_id"] == shop.tenant["customer_id"]
    assert bought["data"]["quantity_before"] == 0
    assert bought["data"]["quantity_after"] == asked["quantity"]
    assert bought["data"]["marketplace_subscription_id"] == done["marketplace_subscription_id"]
    # what the customer pays, through a parent's credentials; the reseller pays less
    assert bought["data"]["unit_price"] == PRICE


@pytest.mark.requirement("R78.b", "R79.a")
async def test_a_purchase_shows_as_subscription_with_seats_and_in_the_overview(
    system: Any, shop: Any
) -> None:
    preview = {name: shop.want()[name] for name in ("tenant_id", "product", "quantity")}
    priced = system.call("POST", "/v1/purchase-previews", preview).json()
    assert priced["mapped"]
    assert float(priced["total"]["amount"]) > 0
    done = await shop.assert_bought_once(shop.buy())
    wanted = done["marketplace_subscription_id"]

    def subscribed(found: list[dict[str, Any]]) -> dict[str, Any] | None:
        ours = [one for one in found if one["marketplace_subscription_id"] == wanted]
        return ours[0] if ours and ours[0]["status"] == "active" else None

    path = f"/v1/tenants/{shop.tenant['id']}/subscriptions"
    one = await eventually(lambda: subscribed(system.get(path)["items"]), within=20)
    assert one is not None
    assert sum(option["quantity"] for option in one["options"]) == done["quantity"]
    await eventually(lambda: subscribed(system.get("/v1/overview")["subscriptions"]), within=20)
    overview = system.get("/v1/overview")
    assert shop.reseller["id"] in [r["id"] for r in overview["resellers"]]
    assert shop.tenant["id"] in [t["id"] for t in overview["tenants"]]
    requests = {r["id"]: r["status"] for r in overview["requests"]}
    assert requests[done["id"]] == "completed"


async def test_an_order_given_to_the_marketplace_without_us_is_observed_for_its_tenant(
    system: Any, shop: Any
) -> None:
    line = {"mpn": "SIMBS:0001_P1Y:M", "vendor": "SIMMICROSOFT", "quantity": 2}
    placed = shop.order_at_the_panel(poNumber="PANEL-1", products=[line])
    done = await shop.assert_bought_once(shop.buy())

    def shown() -> dict[str, Any] | None:
        found = system.get(f"/v1/tenants/{shop.tenant['id']}/orders")["items"]
        assert done["order"]["id"] not in [one["id"] for one in found]
        return next((one for one in found if one["id"] == placed["id"]), None)

    observed = await eventually(shown, within=20)
    assert observed is not None
    assert (observed["po_number"], observed["type"]) == ("PANEL-1", "sales")
    assert observed["tenant_id"] == shop.tenant["id"]
    assert observed["customer_id"] == shop.tenant["customer_id"]


async def test_the_trail_names_who_asked_and_what_followed(system: Any, shop: Any) -> None:
    done = await shop.assert_bought_once(shop.buy())

    def told() -> dict[str, Any] | None:
        found = system.get("/v1/audit-records", request_id=done["id"])["items"]
        trail = {record["type"]: record for record in found}
        return trail if "purser.license.purchased.v1" in trail else None

    trail = await eventually(told, within=20)
    assert trail is not None
    asked = trail["purser.license.change-requested.v1"]
    bought = trail["purser.license.purchased.v1"]
    assert asked["actor"] == done["requested_by"]
    assert asked["actor"].startswith("user:")
    assert bought["actor"] == "service:order"
    assert asked["correlation_id"] == bought["correlation_id"]
    assert bought["trace_id"]


async def test_no_service_asks_its_database_what_no_index_serves(system: Any, shop: Any) -> None:
    await shop.assert_bought_once(shop.buy())
    for path in (
        "/v1/marketplaces",
        f"/v1/marketplaces/{shop.reseller['marketplace']}/regions",
        "/v1/resellers",
        f"/v1/resellers/{shop.reseller['id']}/customers",
        f"/v1/resellers/{shop.reseller['id']}/license-mappings",
        "/v1/customers",
        f"/v1/customers/{shop.tenant['customer_id']}/tenants",
        "/v1/tenants",
        f"/v1/tenants/{shop.tenant['id']}/subscriptions",
        f"/v1/tenants/{shop.tenant['id']}/orders",
        "/v1/license-change-requests",
        "/v1/review-items",
        "/v1/audit-records",
        "/v1/role-assignments",
        "/v1/overview",
    ):
        system.get(path)
    system.get("/v1/license-change-requests", tenant_id=shop.tenant["id"])
    unserved = {}
    for service in SERVICES:
        with system.outside(service) as peer:
            ready = peer.get("/health/ready").raise_for_status().json()
        if ready["unindexed_queries"]:
            unserved[service] = ready["unindexed_queries"]
    assert unserved == {}


@pytest.mark.requirement("R77.a")
async def test_what_a_purchase_changes_is_kept_by_its_owners_each_in_a_database_of_its_own(
    system: Any, shop: Any
) -> None:
    subscription = await shop.bought()
    requests = system.get("/v1/license-change-requests", tenant_id=shop.tenant["id"])["items"]
    trail = system.get("/v1/audit-records", tenant_id=shop.tenant["id"], limit=1)["items"]
    ids = (shop.reseller["id"], shop.tenant["id"], subscription["id"], requests[0]["id"])
    wanted = zip(KEPT.items(), (*ids, trail[0]["id"]), strict=True)
    client = mongo.connect(settings.Mongo(url=system.stack.mongo_url, database="any"))
    try:
        for (owner, collection), id in wanted:
            holders = [
                name for name in KEPT if await client[name][collection].find_one({"_id": id})
            ]
            assert holders == [owner], (collection, holders)
    finally:
        await mongo.close(client)
