"""Changing a reseller field by field: credentials as one proven set, region and choice while unconnected."""

import json
import uuid
from typing import Any

import pytest

from purser_common.testing import eventually, records

TENANTS = [{"id": "t1", "name": "Northwind"}, {"id": "t2", "name": "Fourth Coffee"}]
PARTS = ("subscription_key", "username", "password")


def login_of(account: dict[str, Any], *parts: str) -> dict[str, str]:
    return {part: account["login"][part] for part in parts or PARTS}


async def renewed_password(sandbox: Any, account: dict[str, Any]) -> str:
    """The password that the marketplace has from now on, instead of the one that was added."""
    password = f"renewed-{uuid.uuid4().hex}"
    await sandbox.ask("PATCH", f"/logins/{account['login']['id']}", json={"password": password})
    return password


async def facts_of(deployment: Any, topic: str, subject: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def told(read: Any) -> bool:
        events = [json.loads(record.value) for record in read]
        found[:] = [event for event in events if event["subject"] == subject]
        return bool(found)

    await records(deployment.kafka, topic, until=told)
    return found


async def test_a_new_password_is_proven_with_what_is_stored_and_used_from_then_on_everywhere(
    service: Any, sandbox: Any, deployment: Any
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    customers = f"/v1/resellers/{reseller['id']}/customers"
    async with deployment.start() as (replica, _):
        assert (await service.call("GET", customers)).status_code == 200
        assert (await replica.call("GET", customers)).status_code == 200
        password = await renewed_password(sandbox, account)
        changed = await service.change(
            reseller, credentials={"password": password, "subscription_key": "", "username": ""}
        )
        assert changed.status_code == 200, changed.text
        assert changed.json()["credentials_set_at"] > reseller["credentials_set_at"]
        assert changed.headers["etag"] != reseller["etag"]
        assert password not in changed.text
        before = len(await sandbox.calls(account, "POST", "/token"))
        assert (await service.call("GET", customers)).status_code == 200
        assert (await replica.call("GET", customers)).status_code == 200
        # each has a token of its own for the new set: the old one's still lives and is not used
        assert len(await sandbox.calls(account, "POST", "/token")) == before + 2
    (fact,) = await facts_of(deployment, "reseller.updated", f"reseller/{reseller['id']}")
    told = {"pointer": "/credentials", "before": "set", "after": "set"}
    assert fact["data"]["changes"] == [told]
    assert password not in json.dumps(fact)


@pytest.mark.parametrize("part", PARTS)
async def test_a_set_that_the_marketplace_refuses_is_not_stored(
    service: Any, sandbox: Any, part: str
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    refused = await service.change(reseller, credentials={part: "canary-of-this-test"})
    assert (refused.status_code, refused.json()["code"]) == (422, "credentials_refused")
    pointers = {error["pointer"] for error in refused.json()["errors"]}
    assert pointers == {f"/credentials/{one}" for one in PARTS}
    assert "canary" not in refused.text
    assert (await service.read(reseller))["etag"] == reseller["etag"]
    again = await service.call("GET", f"/v1/resellers/{reseller['id']}/customers")
    assert again.status_code == 200


async def test_credentials_of_somebody_else_are_not_stored(service: Any, sandbox: Any) -> None:
    account, other = await sandbox.account(), await sandbox.account()
    reseller = await service.add(account)
    refused = await service.change(reseller, credentials=login_of(other))
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_marketplace_reseller")
    assert refused.json()["errors"][0]["pointer"] == "/credentials"
    assert (await service.read(reseller))["credentials_set_at"] == reseller["credentials_set_at"]


async def test_credentials_are_not_replaced_while_the_marketplace_is_away(
    service: Any, sandbox: Any
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    await sandbox.fault(account, route="GET /resellers", kind="status", status=503, times=None)
    refused = await service.change(reseller, credentials=login_of(account, "password"))
    assert (refused.status_code, refused.json()["code"]) == (503, "marketplace_unavailable")
    assert (await service.read(reseller))["etag"] == reseller["etag"]


async def test_blank_and_absent_credentials_keep_what_is_stored(service: Any, sandbox: Any) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    calls = len(await sandbox.calls(account, "POST", "/token"))
    for blank in ({}, {"password": ""}, dict.fromkeys(PARTS, "")):
        kept = await service.change(reseller, credentials=blank)
        assert (kept.status_code, kept.headers["etag"]) == (200, reseller["etag"])
    assert len(await sandbox.calls(account, "POST", "/token")) == calls


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"credentials": {"password": None}}, "/credentials/password"),
        ({"credentials": {"password": "x" * 257}}, "/credentials/password"),
        ({"credentials": {"username": "a:canary"}}, "/credentials/username"),
        ({"credentials": {"username": "x" * 257}}, "/credentials/username"),
        ({"credentials": {"subscription_key": "a canary"}}, "/credentials/subscription_key"),
        ({"credentials": {"subscription_key": 7}}, "/credentials/subscription_key"),
        ({"credentials": {"client_secret": "canary"}}, "/credentials/client_secret"),
        ({"credentials": "canary"}, "/credentials"),
        ({"credentials": None}, "/credentials"),
        ({"region": "moon"}, "/region"),
        ({"region": ""}, "/region"),
        ({"region": None}, "/region"),
        ({"region": "x" * 21}, "/region"),
        ({"marketplace_reseller_id": ""}, "/marketplace_reseller_id"),
        ({"marketplace_reseller_id": "x" * 101}, "/marketplace_reseller_id"),
        ({"marketplace_reseller_id": "0"}, "/marketplace_reseller_id"),
        ({"display_name": "x" * 101}, "/display_name"),
        ({"display_name": "\u0000"}, "/display_name"),
        ({"display_name": 7}, "/display_name"),
        ({"buying_enabled": "perhaps"}, "/buying_enabled"),
        ({"po_suffix": 3}, "/po_suffix"),
        ({"status": "deleted"}, "/status"),
        ({"marketplace": "other"}, "/marketplace"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_kept(
    service: Any, sandbox: Any, fields: dict[str, Any], pointer: str
) -> None:
    reseller = await service.add(await sandbox.account())
    good = f"Good {uuid.uuid4().hex[:8]}"
    refused = await service.change(reseller, **{"display_name": good, **fields})
    assert refused.status_code == 422
    assert pointer in {error["pointer"] for error in refused.json()["errors"]}
    assert "canary" not in refused.text
    assert (await service.read(reseller))["etag"] == reseller["etag"]


@pytest.mark.parametrize("field", ["verification_id", "display_name", "marketplace_reseller_id"])
@pytest.mark.parametrize("value", ["", "x" * 101, None, 7, ["x"]])
async def test_a_wrong_field_of_the_second_step_is_named(
    service: Any, sandbox: Any, field: str, value: Any
) -> None:
    body = {"verification_id": "v", "display_name": "N", "marketplace_reseller_id": "1"}
    refused = await service.call("POST", "/v1/resellers", json=body | {field: value})
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [f"/{field}"]


@pytest.mark.parametrize("field", ["region", *PARTS])
@pytest.mark.parametrize("value", ["x" * 257, None, 7, "\x7f"])
async def test_a_wrong_field_of_the_first_step_is_named_and_not_repeated(
    service: Any, field: str, value: Any
) -> None:
    body = {"region": "eu", "subscription_key": "k", "username": "u", "password": "p"}
    if field == "password" and value == "\x7f":
        value = ""  # a password may be anything but empty
    refused = await service.call("POST", "/v1/reseller-verifications", json=body | {field: value})
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [f"/{field}"]
    assert "xxxx" not in refused.text


async def test_who_may_change_what(service: Any, sandbox: Any) -> None:
    reseller = await service.add(await sandbox.account())
    credential_admin = ("credential_admin",)
    for fields in (
        {"credentials": {"password": "p"}},
        {"region": "na"},
        {"marketplace_reseller_id": "1"},
        {"display_name": "Other"},
    ):
        refused = await service.change(reseller, roles=("purchaser", "price_admin"), **fields)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    refused = await service.change(reseller, roles=credential_admin, buying_enabled=True)
    assert refused.status_code == 403
    assert (await service.delete(reseller, roles=("purchaser",))).status_code == 403
    viewer = await service.change(reseller, roles=("viewer",), credentials={})
    assert viewer.status_code == 403


async def test_the_chosen_reseller_changes_to_another_that_the_credentials_show(
    service: Any, sandbox: Any, others: Any, deployment: Any
) -> None:
    account = await sandbox.account(resellers=2)
    reseller = await service.add(account)
    chosen = account["resellers"][1]
    changed = await service.change(reseller, marketplace_reseller_id=chosen["id"])
    assert changed.status_code == 200, changed.text
    assert changed.json()["marketplace_reseller_name"] == chosen["name"]
    assert others.asked_by[reseller["id"]] == ["user:tester"]
    (fact,) = await facts_of(deployment, "reseller.updated", f"reseller/{reseller['id']}")
    pointers = [change["pointer"] for change in fact["data"]["changes"]]
    assert pointers == ["/marketplace_reseller_id", "/marketplace_reseller_name"]
    shown = await service.call("GET", f"/v1/resellers/{reseller['id']}/customers")
    names = {customer["id"] for customer in shown.json()["items"]}
    assert names == {customer["id"] for customer in chosen["customers"]}
    # the first one is free again
    assert (await service.add(account))["marketplace_reseller_id"] == account["resellers"][0]["id"]


async def test_one_marketplace_reseller_is_not_chosen_twice(service: Any, sandbox: Any) -> None:
    account = await sandbox.account(resellers=2)
    first = await service.add(account)
    account["resellers"].reverse()
    second = await service.add(account)
    refused = await service.change(second, marketplace_reseller_id=first["marketplace_reseller_id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "reseller_exists")
    assert refused.json()["reseller_id"] == first["id"]
    assert first["display_name"] in refused.json()["detail"]
    assert (await service.change(second, po_suffix=False)).status_code == 200, "left closing"


async def test_a_name_that_another_has_is_refused_naming_the_other(
    service: Any, sandbox: Any
) -> None:
    first = await service.add(await sandbox.account())
    second = await service.add(await sandbox.account())
    refused = await service.change(second, display_name=f"  {first['display_name'].upper()} ")
    assert (refused.status_code, refused.json()["code"]) == (409, "display_name_taken")
    assert refused.json()["reseller_id"] == first["id"]
    assert first["display_name"] in refused.json()["detail"]
    own = await service.change(first, display_name=first["display_name"].upper())
    assert own.status_code == 200


async def test_a_region_comes_with_credentials_that_fit_it(service: Any, sandbox: Any) -> None:
    here, there = await sandbox.account(region="eu"), await sandbox.account(region="na")
    reseller = await service.add(here)
    refused = await service.change(reseller, region="na")
    assert (refused.status_code, refused.json()["code"]) == (422, "credentials_refused")
    refused = await service.change(reseller, region="na", credentials=login_of(there))
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_marketplace_reseller")
    chosen = there["resellers"][0]
    listed = {"id": chosen["id"], "name": chosen["name"]}
    assert refused.json()["resellers"] == [listed]
    assert (await service.read(reseller))["etag"] == reseller["etag"]
    moved = await service.change(
        reseller,
        region="na",
        marketplace_reseller_id=chosen["id"],
        credentials=login_of(there),
        display_name=f"Moved {reseller['id'][:8]}",
    )
    assert moved.status_code == 200, moved.text
    assert (moved.json()["region"], moved.json()["marketplace_reseller_id"]) == ("na", chosen["id"])
    shown = await service.call("GET", f"/v1/resellers/{reseller['id']}/customers")
    assert [c["id"] for c in shown.json()["items"]] == [chosen["customers"][0]["id"]]


@pytest.mark.parametrize("how", ["region", "choice"])
async def test_what_tenants_are_connected_to_does_not_change(
    service: Any, sandbox: Any, others: Any, how: str
) -> None:
    account = await sandbox.account(resellers=2)
    reseller = await service.add(account)
    others.connected[reseller["id"]] = TENANTS
    fields: dict[str, Any] = {"marketplace_reseller_id": account["resellers"][1]["id"]}
    if how == "region":
        there = await sandbox.account(region="na")
        fields = {
            "region": "na",
            "marketplace_reseller_id": there["resellers"][0]["id"],
            "credentials": login_of(there),
        }
    refused = await service.change(reseller, **fields)
    assert (refused.status_code, refused.json()["code"]) == (409, "reseller_in_use")
    assert (refused.json()["tenants"], refused.json()["tenant_count"]) == (TENANTS, 2)
    assert (await service.read(reseller))["etag"] == reseller["etag"]
    now = await service.call("GET", f"/internal/resellers/{reseller['id']}", peer="order")
    assert now.json()["closing"] is False
    # the credentials of the same reseller may change all the same
    password = await renewed_password(sandbox, account)
    assert (await service.change(reseller, credentials={"password": password})).status_code == 200
    del others.connected[reseller["id"]]
    reseller = await service.read(reseller)
    assert (await service.change(reseller, **fields)).status_code == 200


async def test_two_that_change_at_once_do_not_overwrite_each_other(
    service: Any, sandbox: Any
) -> None:
    reseller = await service.add(await sandbox.account())
    assert (await service.change(reseller, po_suffix=False)).status_code == 200
    stale = await service.change(reseller, credentials={"password": "other"})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale")


async def test_a_leaf_keeps_its_reseller_with_new_credentials(service: Any, sandbox: Any) -> None:
    account = await sandbox.account(kind="leaf", customers=1)
    reseller = await service.add(account)
    password = await renewed_password(sandbox, account)
    changed = await service.change(reseller, credentials={"password": password})
    assert changed.status_code == 200, changed.text
    assert changed.json()["account_kind"] == "leaf"

    async def reads() -> bool:
        path = f"/v1/resellers/{reseller['id']}/products?limit=1"
        return bool((await service.call("GET", path)).status_code == 200)

    await eventually(reads)
