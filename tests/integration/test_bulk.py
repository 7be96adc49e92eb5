"""Twenty customers at once: imported, their tenants proposed, connected after one review."""

import uuid
from typing import Any

import httpx
import pytest

MODULE = "ingram-micro-xvantage"
LINE = {
    "mpn": "SIMBP:0001_P1Y:M",
    "vendor": "SIMMICROSOFT",
    "subscriptionPeriod": {"type": "year", "duration": 1},
    "billingPeriod": {"type": "month", "duration": 1},
    "quantity": 3,
}
Json = dict[str, Any]


def reseller(system: Any, login: Json) -> Json:
    """The account's reseller, added."""
    names = ("region", "subscription_key", "username", "password")
    proven = system.call("POST", "/v1/reseller-verifications", {n: login[n] for n in names}).json()
    body = {
        "verification_id": proven["id"],
        "display_name": f"Contoso {uuid.uuid4().hex[:8]}",
        "marketplace_reseller_id": proven["resellers"][0]["id"],
    }
    added: Json = system.call("POST", "/v1/resellers", body).json()
    return added


def order(system: Any, login: Json, customer: Json) -> None:
    """Licences that somebody bought at the marketplace itself."""
    base, key = f"/marketplace/{login['region']}", {"X-Subscription-Key": login["subscription_key"]}
    token = system.sandbox.post(
        f"{base}/token",
        json={"marketplace": login["marketplace"]},
        auth=(login["username"], login["password"]),
        headers=key,
    ).raise_for_status()
    headers = {**key, "Authorization": f"Bearer {token.json()['token']}"}
    body = {"type": "sales", "customerId": customer["id"], "products": [LINE]}
    system.sandbox.post(f"{base}/orders", json=body, headers=headers).raise_for_status()


def consent(system: Any, tenant_id: str) -> None:
    """The tenant's administrator accepts."""
    asked = system.call("POST", f"/v1/tenants/{tenant_id}/consent-requests", {}).json()
    url = f"{asked['authorization_url']}&sandbox_auto=accept"
    httpx.get(url, follow_redirects=True, timeout=30).raise_for_status()


@pytest.mark.requirement("R34.b", "R34.c", "R36.c", "R47.b")
def test_twenty_customers_come_in_at_once(system: Any) -> None:
    asked = {"customers": 20, "resellers": 1}
    account = system.sandbox.post("/sandbox/accounts", json=asked).raise_for_status().json()
    login, customers = account["login"], account["resellers"][0]["customers"]
    seller = reseller(system, login)
    bought, plain = customers[:3], customers[3]
    for customer in bought:
        order(system, login, customer)

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

    rows = [
        {
            "marketplace_customer_id": one["id"],
            "tenant": {
                "entra_tenant_id": one["entra_tenants"][0]["id"],
                "domain": one["entra_tenants"][0]["domain"],
                "name": one["name"],
            },
        }
        for one in customers
    ]
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
        consent(system, tenant_id)
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
