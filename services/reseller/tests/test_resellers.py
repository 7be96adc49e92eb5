"""Proving credentials, adding resellers, changing them, over HTTP and against the sandbox."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest

from purser_common.testing import eventually, records


def choice(
    verification: dict[str, Any], reseller_id: str, name: str | None = None
) -> dict[str, Any]:
    return {
        "verification_id": verification["id"],
        "display_name": name or f"Reseller {uuid.uuid4().hex[:10]}",
        "marketplace_reseller_id": reseller_id,
    }


async def test_a_parent_login_lists_the_resellers_below_it(service: Any, sandbox: Any) -> None:
    account = await sandbox.account(resellers=2)
    answer = await service.verify(account)
    assert answer.status_code == 201
    assert answer.json()["account_kind"] == "parent"
    listed = {reseller["id"] for reseller in answer.json()["resellers"]}
    assert listed == {reseller["id"] for reseller in account["resellers"]}
    assert "purser-subject" not in answer.headers


@pytest.mark.parametrize("listing", ["empty", "itself", "403"])
async def test_the_reseller_of_a_leaf_login_is_derived_whatever_its_list_says(
    service: Any, sandbox: Any, listing: str
) -> None:
    account = await sandbox.account(kind="leaf")
    path = f"/logins/{account['login']['id']}"
    await sandbox.ask("PATCH", path, json={"reseller_list": listing})
    verification = (await service.verify(account)).json()
    assert verification["account_kind"] == "leaf"
    own = account["resellers"][0]
    assert verification["resellers"] == [{"id": own["id"], "name": own["name"]}]
    added = await service.call("POST", "/v1/resellers", json=choice(verification, own["id"]))
    assert added.status_code == 201
    assert added.json()["account_kind"] == "leaf"


@pytest.mark.parametrize("field", ["username", "password", "subscription_key"])
async def test_wrong_credentials_are_refused_naming_the_fields(
    service: Any, sandbox: Any, field: str
) -> None:
    account = await sandbox.account()
    answer = await service.verify(account, **{field: "canary-of-this-test"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "credentials_refused"
    assert {e["pointer"] for e in answer.json()["errors"]} >= {"/username", "/password"}
    assert "canary" not in answer.text


async def test_an_unknown_region_is_refused_naming_the_known_ones(
    service: Any, sandbox: Any
) -> None:
    answer = await service.verify(await sandbox.account(), region="moon")
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_region")
    assert answer.json()["errors"][0]["pointer"] == "/region"
    assert "eu" in answer.json()["detail"]


async def test_a_region_whose_marketplace_is_away_is_a_503(service: Any, sandbox: Any) -> None:
    answer = await service.verify(await sandbox.account(), region="stub")
    assert (answer.status_code, answer.json()["code"]) == (503, "marketplace_unavailable")
    assert answer.headers["retry-after"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("username", "has:colon"), ("subscription_key", "line\nbreak"), ("password", "")],
)
async def test_credentials_that_cannot_be_sent_are_refused_without_repeating_them(
    service: Any, sandbox: Any, field: str, value: str
) -> None:
    answer = await service.verify(await sandbox.account(), **{field: value})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"/{field}"
    assert "has:colon" not in answer.text


async def test_adding_takes_a_verified_reseller_with_buying_off(
    service: Any, sandbox: Any, deployment: Any
) -> None:
    account = await sandbox.account(resellers=2)
    verification = (await service.verify(account)).json()
    chosen = account["resellers"][1]
    answer = await service.call("POST", "/v1/resellers", json=choice(verification, chosen["id"]))
    assert answer.status_code == 201
    state = answer.json()
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["purser-subject"] == f"reseller/{state['id']}"
    assert answer.headers["location"] == f"/v1/resellers/{state['id']}"
    assert state["buying_enabled"] is False
    assert state["po_suffix"] is True
    assert state["marketplace_reseller_name"] == chosen["name"]
    seen = await service.call("GET", answer.headers["location"])
    proven = {"state": "working", "since": state["credentials_set_at"]}
    shown = {**state, "connection": {**proven, "reason": None, "detail": None}}
    assert (seen.json(), seen.headers["etag"]) == (shown, '"1"')
    subject = f"reseller/{state['id']}".encode()
    facts = await records(
        deployment.kafka,
        "reseller.added",
        until=lambda read: [r for r in read if r.value and subject in r.value],
    )
    assert facts


async def test_an_expired_verification_must_be_repeated(deployment: Any, sandbox: Any) -> None:
    account = await sandbox.account()
    async with deployment.start() as (service, app):
        verification = (await service.verify(account)).json()
        app.state.process.clock.advance_to(timedelta(minutes=15).total_seconds())
        reseller = account["resellers"][0]["id"]
        answer = await service.call("POST", "/v1/resellers", json=choice(verification, reseller))
    assert (answer.status_code, answer.json()["code"]) == (409, "verification_expired")
    assert answer.json()["missing_step"] == "POST /v1/reseller-verifications"


async def test_the_credentials_of_an_expired_verification_are_removed(
    deployment: Any, sandbox: Any, database: Any
) -> None:
    async with deployment.start() as (service, app):
        made = (await service.verify(await sandbox.account())).json()
        assert "sealed" in await database["reseller_verifications"].find_one({"_id": made["id"]})
    async with deployment.start() as (_, app):
        app.state.process.clock.advance_to(timedelta(minutes=16).total_seconds())
        job = next(j for j in app.state.process._jobs if j.name == "verifications.forget")
        job.nudge()

        async def forgotten() -> bool:
            kept = await database["reseller_verifications"].find_one({"_id": made["id"]})
            return "sealed" not in kept

        await eventually(forgotten)


async def test_only_a_listed_reseller_can_be_added(service: Any, sandbox: Any) -> None:
    mine, foreign = await sandbox.account(resellers=2), await sandbox.account()
    verification = (await service.verify(mine)).json()
    body = choice(verification, foreign["resellers"][0]["id"])
    answer = await service.call("POST", "/v1/resellers", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_marketplace_reseller")
    body = choice({"id": "nothing"}, mine["resellers"][0]["id"])
    answer = await service.call("POST", "/v1/resellers", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_verification")


async def test_one_marketplace_reseller_is_added_once(service: Any, sandbox: Any) -> None:
    account = await sandbox.account()
    added = await service.add(account)
    verification = (await service.verify(account)).json()
    body = choice(verification, account["resellers"][0]["id"])
    answer = await service.call("POST", "/v1/resellers", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "reseller_exists")
    assert answer.json()["reseller_id"] == added["id"]


async def test_one_verification_serves_for_several_of_its_resellers_and_each_once(
    service: Any, sandbox: Any
) -> None:
    account = await sandbox.account(resellers=2)
    verification = (await service.verify(account)).json()
    first, second = (reseller["id"] for reseller in account["resellers"])
    for chosen in (first, second):
        answer = await service.call("POST", "/v1/resellers", json=choice(verification, chosen))
        assert answer.status_code == 201
    again = await service.call("POST", "/v1/resellers", json=choice(verification, first))
    assert (again.status_code, again.json()["code"]) == (409, "reseller_exists")
    assert again.json()["errors"][0]["pointer"] == "/marketplace_reseller_id"


async def test_of_two_that_add_the_same_at_once_one_is_refused_naming_the_other(
    service: Any, sandbox: Any
) -> None:
    account = await sandbox.account()
    verification = (await service.verify(account)).json()
    body = [choice(verification, account["resellers"][0]["id"]) for _ in range(4)]
    answers = await asyncio.gather(
        *(service.call("POST", "/v1/resellers", json=one) for one in body)
    )
    (made,) = [answer.json() for answer in answers if answer.status_code == 201]
    refused = [answer.json() for answer in answers if answer.status_code != 201]
    assert {(r["code"], r["reseller_id"]) for r in refused} == {("reseller_exists", made["id"])}


async def test_display_names_are_unique_whatever_their_letter_case(
    service: Any, sandbox: Any
) -> None:
    first = await service.add(await sandbox.account())
    account = await sandbox.account()
    verification = (await service.verify(account)).json()
    name = first["display_name"].upper()
    body = choice(verification, account["resellers"][0]["id"], name)
    answer = await service.call("POST", "/v1/resellers", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "display_name_taken")
    assert answer.json()["reseller_id"] == first["id"]
    assert first["display_name"] in answer.json()["detail"]


async def test_a_repeated_call_gives_the_same_reseller_and_other_content_is_refused(
    service: Any, sandbox: Any
) -> None:
    account = await sandbox.account()
    verification = (await service.verify(account)).json()
    body, key = choice(verification, account["resellers"][0]["id"]), uuid.uuid4().hex
    first = await service.call("POST", "/v1/resellers", json=body, key=key, digest="a")
    again = await service.call("POST", "/v1/resellers", json=body, key=key, digest="a")
    other = await service.call("POST", "/v1/resellers", json=body, key=key, digest="b")
    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_repeated_verification_asks_the_marketplace_once(
    service: Any, sandbox: Any
) -> None:
    account = await sandbox.account()
    login, key = account["login"], uuid.uuid4().hex
    names = ("region", "subscription_key", "username", "password")
    body = {name: login[name] for name in names}
    path = "/v1/reseller-verifications"
    first = await service.call("POST", path, json=body, key=key, digest="a")
    again = await service.call("POST", path, json=body, key=key, digest="a")
    other = await service.call("POST", path, json=body, key=key, digest="b")
    assert first.json() == again.json()
    assert other.status_code == 422
    assert len(await sandbox.calls(account, "POST", "/token")) == 1


async def test_a_post_without_an_idempotency_key_is_refused(service: Any) -> None:
    answer = await service.call("POST", "/v1/resellers", json={}, key="")
    assert answer.status_code in (400, 422)
    body = {"verification_id": "x", "display_name": "x", "marketplace_reseller_id": "x"}
    answer = await service.call("POST", "/v1/resellers", json=body, key="")
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")


@pytest.mark.parametrize(("setting", "value"), [("buying_enabled", True), ("po_suffix", False)])
async def test_how_is_bought_is_set_by_a_purchaser_on_the_state_that_was_seen(
    service: Any, sandbox: Any, setting: str, value: bool
) -> None:
    reseller = await service.add(await sandbox.account())
    path, body = f"/v1/resellers/{reseller['id']}", {setting: value}
    without = await service.call("PATCH", path, json=body)
    assert without.status_code == 428
    refused = await service.call(
        "PATCH", path, json=body, etag=reseller["etag"], roles=("credential_admin",)
    )
    assert refused.status_code == 403
    done = await service.call("PATCH", path, json=body, etag=reseller["etag"], roles=("purchaser",))
    assert (done.status_code, done.json()[setting]) == (200, value)
    assert done.headers["etag"] == '"2"'
    stale = await service.call("PATCH", path, json=body, etag=reseller["etag"])
    assert stale.status_code == 412
    nothing = await service.call("PATCH", path, json=body, etag='"2"')
    assert (nothing.status_code, nothing.headers["etag"]) == (200, '"2"')


@pytest.mark.parametrize(
    "body", [{}, {"display_name": None}, {"display_name": " "}, {"po_suffix": None}, {"id": "x"}]
)
async def test_a_patch_without_a_good_field_is_refused(
    service: Any, sandbox: Any, body: dict[str, Any]
) -> None:
    reseller = await service.add(await sandbox.account())
    path = f"/v1/resellers/{reseller['id']}"
    answer = await service.call("PATCH", path, json=body, etag=reseller["etag"])
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_roles_decide_who_may_add_and_who_may_look(service: Any, sandbox: Any) -> None:
    reseller = await service.add(await sandbox.account())
    body = {"region": "eu", "subscription_key": "k", "username": "u", "password": "p"}
    refused = await service.call(
        "POST", "/v1/reseller-verifications", json=body, roles=("purchaser",)
    )
    assert refused.status_code == 403
    path = f"/v1/resellers/{reseller['id']}"
    viewer = await service.call("GET", path, roles=("viewer",), scope="customer/c1")
    assert viewer.status_code == 200
    assert (await service.call("GET", path, roles=())).status_code == 403
    scoped = await service.call("GET", f"{path}/customers", roles=("viewer",), scope="tenant/t1")
    assert scoped.status_code == 403


async def test_the_module_is_listed_with_its_counts_and_regions(service: Any, sandbox: Any) -> None:
    await service.add(await sandbox.account())
    (module,) = (await service.call("GET", "/v1/marketplaces")).json()["items"]
    assert module["id"] == "ingram-micro-xvantage"
    assert module["resellers"] >= 1
    regions = await service.call("GET", f"/v1/marketplaces/{module['id']}/regions")
    assert {"code": "eu", "name": "EU"} in regions.json()["items"]
    assert (await service.call("GET", "/v1/marketplaces/other/regions")).status_code == 404


async def test_calls_without_a_token_or_of_strangers_are_refused(service: Any) -> None:
    assert (await service.http.get("/v1/resellers/x")).status_code == 401
    assert (await service.call("GET", "/internal/resellers/x", peer="gateway")).status_code == 403
    shown = "/internal/resellers/x/prices-shown"
    assert (await service.call("GET", shown, peer="order")).status_code == 403
