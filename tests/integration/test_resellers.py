"""Resellers, as a person with a script configures them: from the first step to the deletion."""

import json
import uuid
from typing import Any

import pytest
from integration.conftest import MARKETPLACE, Shop, System

from purser_common.testing import eventually

Json = dict[str, Any]
VERIFICATIONS = "/v1/reseller-verifications"


def account(system: System, **wanted: Any) -> Json:
    """An account at the marketplace that nobody else uses."""
    asked = {"customers": 1, "resellers": 1, **wanted}
    made: Json = system.sandbox.post("/sandbox/accounts", json=asked).raise_for_status().json()
    return made


def refused(answer: Any, status: int, code: str) -> Json:
    body: Json = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    return body


def pointers(body: Json) -> set[str]:
    return {error["pointer"] for error in body["errors"]}


def choice(verification: Json, **changed: Any) -> Json:
    return {
        "verification_id": verification["id"],
        "display_name": f"Contoso Cloud {uuid.uuid4().hex[:8]}",
        "marketplace_reseller_id": verification["resellers"][0]["id"],
        **changed,
    }


def opened(system: System, id: str) -> Json:
    """A reseller's details, its ETag under `etag`."""
    answer = system.call("GET", f"/v1/resellers/{id}")
    return {**answer.json(), "etag": answer.headers["etag"]}


def change(system: System, id: str, **fields: Any) -> Any:
    """A change that is decided on the state of this moment."""
    condition = {"If-Match": opened(system, id)["etag"]}
    return system.ask("PATCH", f"/v1/resellers/{id}", fields, headers=condition)


def delete(system: System, id: str, query: str = "?confirm=true") -> Any:
    condition = {"If-Match": opened(system, id)["etag"]}
    return system.ask("DELETE", f"/v1/resellers/{id}{query}", headers=condition)


def listed(system: System) -> list[Json]:
    """All resellers, page by page."""
    rows: list[Json] = []
    cursor: Json = {}
    while True:
        page = system.get("/v1/resellers", limit=7, **cursor)
        rows += page["items"]
        if page["next"] is None:
            return rows
        cursor = {"cursor": page["next"]}


async def audited(system: System, subject: str, type_: str) -> Json:
    """The audit record of a fact about a subject, once it is there."""

    def there() -> Json | None:
        found = system.get("/v1/audit-records", subject=subject, type=f"purser.{type_}.v1")
        items: list[Json] = found["items"]
        return items[0] if items else None

    found = await eventually(there, within=10, every=0.1)
    assert found is not None
    return found


@pytest.mark.requirement(
    "R1.a", "R5.a", "R6.a", "R10.a", "R11.a", "R13.a", "R17.a", "R18.a", "R19.a", "R20.a", "R21.a"
)
async def test_a_reseller_is_added_in_two_steps(system: System) -> None:
    path = f"/v1/marketplaces/{MARKETPLACE}"
    regions = {region["code"] for region in system.get(f"{path}/regions")["items"]}
    assert regions >= {"eu", "na"}
    parent = Shop(system, account(system, resellers=2, region="na"))
    proven = system.call("POST", VERIFICATIONS, parent.credentials).json()
    assert proven["account_kind"] == "parent"
    names = {one["id"]: one["name"] for one in parent.account["resellers"]}
    assert {one["id"]: one["name"] for one in proven["resellers"]} == names
    leaf = Shop(system, account(system, kind="leaf"))
    own = system.call("POST", VERIFICATIONS, leaf.credentials).json()
    assert (own["account_kind"], len(own["resellers"])) == ("leaf", 1)

    before = system.get(path)
    assert names.keys() & {one["marketplace_reseller_id"] for one in listed(system)} == set()
    chosen = parent.account["resellers"][1]["id"]
    body = choice(proven, marketplace_reseller_id=chosen)
    answer = system.call("POST", "/v1/resellers", body)
    added = answer.json()
    assert added["region"] == "na"
    assert added["marketplace_reseller_name"] == names[chosen]
    assert (added["marketplace"], added["status"]) == (MARKETPLACE, "active")

    rows = listed(system)
    row = next(row for row in rows if row["display_name"] == body["display_name"])
    assert [one["display_name"].casefold() for one in rows] == sorted(
        one["display_name"].casefold() for one in rows
    )
    after = system.get(path)
    assert after["resellers"] == before["resellers"] + 1 == len(rows)
    (module,) = system.get("/v1/marketplaces")["items"]
    assert module["name"] == "Ingram Micro Xvantage"
    details = system.call("GET", f"/v1/resellers/{row['id']}")
    assert details.json() == row
    assert details.json()["connection"]["state"] == "working"
    assert details.json()["credentials_set_at"] <= added["added_at"]
    told = await audited(system, f"reseller/{row['id']}", "reseller.added")
    assert told["reseller_id"] in (None, row["id"])
    trail = json.dumps(system.get("/v1/audit-records", limit=200))
    for secret in ("subscription_key", "password"):
        value = parent.credentials[secret]
        assert value not in answer.text + details.text + trail


@pytest.mark.requirement("R14.a", "R15.a", "R16.a", "R17.b", "R13.b")
@pytest.mark.parametrize("part", ["subscription_key", "username", "password"])
def test_every_part_of_the_credentials_is_required_and_must_be_right(
    system: System, market: Shop, part: str
) -> None:
    good = market.credentials
    without = {name: value for name, value in good.items() if name != part}
    assert pointers(refused(system.ask("POST", VERIFICATIONS, without), 422, "invalid")) == {
        f"/{part}"
    }
    blank = system.ask("POST", VERIFICATIONS, good | {part: ""})
    assert f"/{part}" in pointers(refused(blank, 422, "invalid"))
    wrong = system.ask("POST", VERIFICATIONS, good | {part: "not-the-right-one"})
    assert f"/{part}" in pointers(refused(wrong, 422, "credentials_refused"))
    for answer in (blank, wrong):
        assert "not-the-right-one" not in answer.text
        assert good["password"] not in answer.text
    moon = refused(
        system.ask("POST", VERIFICATIONS, good | {"region": "moon"}), 422, "unknown_region"
    )
    assert pointers(moon) == {"/region"}
    assert "eu" in moon["detail"]


@pytest.mark.requirement("R11.b", "R12.a", "R12.b", "R18.b", "R19.b", "R1.b")
def test_what_the_second_step_refuses(system: System, market: Shop) -> None:
    proven = system.call("POST", VERIFICATIONS, market.credentials).json()

    def add(**changed: Any) -> Any:
        return system.ask("POST", "/v1/resellers", choice(proven, **changed))

    for name in ("", "  ", "x" * 101, "a\u0007b", None):
        assert pointers(refused(add(display_name=name), 422, "invalid")) == {"/display_name"}
    unknown = refused(add(verification_id="nothing"), 422, "unknown_verification")
    assert pointers(unknown) == {"/verification_id"}
    foreign = refused(add(marketplace_reseller_id="1"), 422, "unknown_marketplace_reseller")
    assert pointers(foreign) == {"/marketplace_reseller_id"}
    twice = refused(add(), 409, "reseller_exists")
    assert twice["reseller_id"] == market.reseller["id"]
    assert market.reseller["display_name"] in twice["detail"]

    other = Shop(system, account(system))
    proven = system.call("POST", VERIFICATIONS, other.credentials).json()
    taken = add(display_name=market.reseller["display_name"].upper())
    assert refused(taken, 409, "display_name_taken")["reseller_id"] == market.reseller["id"]
    refused(system.ask("GET", "/v1/marketplaces/another"), 404, "not_found")
    refused(system.ask("GET", "/v1/marketplaces/another/regions"), 404, "not_found")
    assert opened(system, market.reseller["id"])["marketplace"] == MARKETPLACE


@pytest.mark.requirement("R2.c", "R4.a", "R19.c", "R8.b", "R9.a", "R22.c", "R7.a", "R22.a", "R22.b")
async def test_a_reseller_with_a_tenant(system: System) -> None:
    shop = Shop(system, account(system, resellers=2))
    proven = system.call("POST", VERIFICATIONS, shop.credentials).json()
    shop.account["resellers"].sort(key=lambda one: one["id"] != proven["resellers"][0]["id"])
    shop.register_tenant()
    shop.consent()
    id = shop.tenant["id"]
    added = system.call("PUT", f"/v1/marketplaces/{MARKETPLACE}/tenants/{id}")
    body = {"reseller_id": "no-such-reseller", "marketplace_customer_id": shop.customer["id"]}
    condition = {"If-Match": added.headers["etag"]}
    answer = system.ask("PUT", f"/v1/tenants/{id}/connection", body, headers=condition)
    missing = refused(answer, 409, "reseller_required")
    assert missing["missing_step"] == "POST /v1/resellers"

    shop.add_reseller()
    shop.connect()
    shop.map_license()
    assert shop.tenant["connection"]["reseller_id"] == shop.reseller["id"]
    readonly = system.ask("POST", "/v1/license-change-requests", shop.want())
    refused(readonly, 409, "buying_disabled")
    shop.enable_buying()
    await system.request(shop.buy()["id"], "completed")

    key, stale = shop.reseller["id"], opened(system, shop.reseller["id"])
    renamed = change(system, key, display_name=f"Renamed {key[:8]}")
    assert renamed.status_code == 200, renamed.text
    now = opened(system, key)
    differing = {name for name in now if now[name] != stale[name]}
    assert differing == {"display_name", "etag"}
    late = {"If-Match": stale["etag"]}
    answer = system.ask("PATCH", f"/v1/resellers/{key}", {"po_suffix": False}, headers=late)
    refused(answer, 412, "stale")
    told = await audited(system, f"reseller/{key}", "reseller.updated")
    before = {"pointer": "/display_name", "before": stale["display_name"]}
    assert told["changes"] == [{**before, "after": now["display_name"]}]
    assert told["actor"].startswith("user:")

    another = shop.account["resellers"][1]["id"]
    in_use = refused(change(system, key, marketplace_reseller_id=another), 409, "reseller_in_use")
    named = {"id": id, "name": shop.tenant["name"]}
    assert in_use["tenants"] == [named]
    refused(delete(system, key, ""), 422, "confirmation_required")
    assert refused(delete(system, key), 409, "reseller_in_use")["tenants"] == [named]
    assert opened(system, key) == now


@pytest.mark.requirement("R8.c")
async def test_a_reseller_with_an_order_under_way_stays(system: System, shop: Shop) -> None:
    shop.fault(kind="stuck")
    request = shop.buy()
    await system.request(request["id"], "placed", "placing")
    unsettled = refused(delete(system, shop.reseller["id"]), 409, "orders_unsettled")
    assert [one["id"] for one in unsettled["requests"]] == [request["id"]]


@pytest.mark.requirement("R8.a", "R22.d")
async def test_a_reseller_without_tenants_moves_and_is_deleted_and_comes_again(
    system: System,
) -> None:
    here, there = account(system, resellers=2), account(system, region="na")
    shop = Shop(system, here)
    shop.add_reseller()
    id = shop.reseller["id"]
    other = next(
        one["id"]
        for one in here["resellers"]
        if one["id"] != shop.reseller["marketplace_reseller_id"]
    )
    chosen = change(system, id, marketplace_reseller_id=other)
    assert chosen.json()["marketplace_reseller_id"] == other, chosen.text
    refused(change(system, id, region="na"), 422, "credentials_refused")
    elsewhere = Shop(system, there).credentials
    moved = change(
        system,
        id,
        region=elsewhere.pop("region"),
        marketplace_reseller_id=there["resellers"][0]["id"],
        credentials=elsewhere,
    )
    assert moved.status_code == 200, moved.text
    assert moved.json()["region"] == "na"
    customers = system.get(f"/v1/resellers/{id}/customers")["items"]
    assert [one["id"] for one in customers] == [there["resellers"][0]["customers"][0]["id"]]

    gone = delete(system, id)
    assert (gone.status_code, gone.json()["status"]) == (200, "deleted")
    refused(system.ask("GET", f"/v1/resellers/{id}"), 404, "not_found")
    assert id not in {one["id"] for one in listed(system)}
    assert id not in {one["id"] for one in system.get("/v1/overview")["resellers"]}
    await audited(system, f"reseller/{id}", "reseller.deleted")
    again = Shop(system, there)
    again.add_reseller()
    assert again.reseller["id"] != id


@pytest.mark.requirement("R20.b", "R20.c", "R20.d", "R21.b")
async def test_credentials_are_replaced_when_the_marketplace_refuses_them(system: System) -> None:
    shop = Shop(system, account(system))
    shop.add_reseller()
    id, login = shop.reseller["id"], shop.account["login"]
    customers = f"/v1/resellers/{id}/customers"
    assert system.get(customers)["items"]
    password = f"renewed-{uuid.uuid4().hex}"
    renewed = {"password": password, "expire_tokens": True}
    system.sandbox.patch(f"/sandbox/logins/{login['id']}", json=renewed).raise_for_status()
    assert system.ask("GET", customers).status_code == 503
    seen = opened(system, id)["connection"]
    assert (seen["state"], seen["reason"]) == ("broken", "credentials_refused")
    assert seen["since"] > shop.reseller["credentials_set_at"]

    wrong = change(system, id, credentials={"password": "not-the-right-one"})
    body = refused(wrong, 422, "credentials_refused")
    assert "/credentials/password" in pointers(body)
    assert "not-the-right-one" not in wrong.text
    before = opened(system, id)
    assert before["credentials_set_at"] == shop.reseller["credentials_set_at"]
    blank = change(system, id, credentials={"password": "", "username": ""})
    assert blank.headers["etag"] == before["etag"]
    done = change(system, id, credentials={"password": password, "subscription_key": ""})
    assert done.status_code == 200, done.text
    after = opened(system, id)
    assert after["credentials_set_at"] > before["credentials_set_at"]
    assert after["connection"]["state"] == "working"
    assert system.get(customers)["items"]
    told = await audited(system, f"reseller/{id}", "reseller.updated")
    assert told["changes"] == [{"pointer": "/credentials", "before": "set", "after": "set"}]
    assert password not in json.dumps(told)
    await audited(system, f"reseller-account/{id}", "reseller.account-broken")
    await audited(system, f"reseller-account/{id}", "reseller.account-recovered")
