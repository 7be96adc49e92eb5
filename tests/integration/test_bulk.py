"""Twenty customers at once: imported, their tenants proposed, connected after one review."""

from dataclasses import replace
from typing import Any

import pytest

PREMIUM = {
    "mpn": "SIMBP:0001_P1Y:M",
    "vendor": "SIMMICROSOFT",
    "subscription_period": {"type": "year", "duration": 1},
    "billing_period": {"type": "month", "duration": 1},
}
Json = dict[str, Any]


@pytest.mark.requirement("R34.b", "R34.c", "R36.c", "R47.b")
def test_twenty_customers_come_in_at_once(system: Any) -> None:
    shop = replace(system.seller(customers=20, resellers=1), product=PREMIUM)
    seller, customers = shop.reseller, shop.account["resellers"][0]["customers"]
    bought, plain = customers[:3], customers[3]
    for customer in bought:
        shop.order_at_the_panel(customerId=customer["id"])

    def proposed() -> dict[str, Json]:
        body = {
            "reseller_id": seller["id"],
            "marketplace_customer_ids": [one["id"] for one in (*bought, plain)],
        }
        rows = system.call("POST", "/v1/connection-proposals", body).json()["rows"]
        return {row["marketplace_customer_id"]: row for row in rows}

    before = proposed()
    assert before[plain["id"]]["reason"] == "no_subscription"
    for customer in bought:
        row = before[customer["id"]]
        assert row["reason"] == "tenant_not_registered"
        assert row["entra_tenant_id"] == customer["entra_tenants"][0]["id"]

    rows = shop.import_rows(customers)
    body = {"reseller_id": seller["id"], "rows": [*rows, {"marketplace_customer_id": "999999999"}]}
    results = system.call("POST", "/v1/customer-imports", body).json()["rows"]
    assert [one["outcome"] for one in results] == ["created"] * 20 + ["refused"]
    assert results[20]["problem"]["code"] == "unknown_marketplace_customer"
    assert results[20]["problem"]["errors"][0]["pointer"] == "/rows/20/marketplace_customer_id"
    again = system.call("POST", "/v1/customer-imports", body).json()["rows"]
    assert [one["outcome"] for one in again] == ["exists"] * 20 + ["refused"]
    ids = [(one["customer_id"], one["tenant_id"]) for one in results]
    assert [(one["customer_id"], one["tenant_id"]) for one in again] == ids
    named = system.get(f"/v1/customers/{ids[0][0]}")
    assert named["imported_from"]["marketplace_customer_id"] == customers[0]["id"]

    assert proposed()[bought[0]["id"]]["reason"] == "consent_required"
    for _, tenant_id in ids[:2]:
        replace(shop, tenant={"id": tenant_id}).consent()
    review = proposed()
    ready = [one for one in review.values() if one["reason"] is None]
    assert {one["tenant_id"] for one in ready} == {tenant_id for _, tenant_id in ids[:2]}
    pairs = [
        {
            "tenant_id": one["tenant_id"],
            "marketplace_customer_id": one["marketplace_customer_id"],
        }
        for one in (*ready, review[bought[2]["id"]])
    ]
    body = {"reseller_id": seller["id"], "rows": pairs}
    connected = system.call("POST", "/v1/tenant-connections", body).json()["rows"]
    assert [one["outcome"] for one in connected] == ["connected", "connected", "refused"]
    assert connected[2]["problem"]["code"] == "consent_required"
    for one in ready:
        tie = system.get(f"/v1/tenants/{one['tenant_id']}")["connection"]
        assert tie["marketplace_customer_id"] == one["marketplace_customer_id"]
    assert proposed()[bought[0]["id"]]["reason"] == "connected"
