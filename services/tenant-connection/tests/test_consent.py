"""Consent, from the request through Microsoft and back, and the module that needs it."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import REGISTRY

from purser_common.testing import records


async def revocations(deployment: Any, tenant: dict[str, Any]) -> list[dict[str, Any]]:
    """The facts that say that the tenant's consent is not there, once there is one."""

    def told(read: list[Any]) -> list[dict[str, Any]]:
        facts = [json.loads(record.value) for record in read]
        return [fact for fact in facts if fact["tenantid"] == tenant["id"]]

    return told(await records(deployment.kafka, "tenant.consent-revoked", until=told))


async def test_the_administrator_is_sent_to_microsoft_with_what_is_asked_for(
    service: Any, deployment: Any
) -> None:
    tenant = await service.registered()
    asked = await service.ask_consent(tenant)
    assert asked.status_code == 201
    assert asked.headers["purser-subject"] == f"tenant/{tenant['id']}"
    assert asked.headers["etag"] == '"2"'
    body = asked.json()
    assert body["tenant"]["consent"]["status"] == "requested"
    assert body["permissions"] == ["LicenseAssignment.Read.All", "Organization.Read.All"]
    left = datetime.fromisoformat(body["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    url = urlsplit(body["authorization_url"])
    assert url.path == f"/login/{tenant['entra_tenant_id']}/v2.0/adminconsent"
    assert parse_qs(url.query)["client_id"] == [deployment.microsoft()["client_id"]]


async def test_an_accepted_consent_is_granted_and_says_so_on_a_page(
    service: Any, sandbox: Any
) -> None:
    tenant = await service.registered()
    returned = await sandbox.answer(await service.consent_url(tenant))
    page = await service.callback(returned)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "The app was authorised" in page.text
    assert page.headers["cache-control"] == "no-store"
    after = await service.read(tenant["id"])
    assert after["consent"]["status"] == "granted"
    assert after["consent"]["permissions"] == [
        "LicenseAssignment.Read.All",
        "Organization.Read.All",
    ]
    assert after["etag"] == '"3"'


async def test_the_page_does_not_run_what_a_name_contains(service: Any, sandbox: Any) -> None:
    made = await service.register(await service.customer(), name="<script>alert(1)</script>")
    page = await service.callback(await sandbox.answer(await service.consent_url(made.json())))
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_a_state_is_used_once(service: Any, sandbox: Any) -> None:
    tenant = await service.registered()
    returned = await sandbox.answer(await service.consent_url(tenant))
    answers = await asyncio.gather(
        *(service.callback(returned, "application/json") for _ in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    again = await service.callback(returned, "application/json")
    assert (again.status_code, again.json()["code"]) == (409, "consent_state_used")
    assert again.json()["missing_step"] == f"POST /v1/tenants/{tenant['id']}/consent-requests"
    assert (await service.read(tenant["id"]))["etag"] == '"3"'


async def test_a_newer_request_replaces_an_older_one(service: Any, sandbox: Any) -> None:
    tenant = await service.registered()
    older = await sandbox.answer(await service.consent_url(tenant))
    newer = await sandbox.answer(await service.consent_url(tenant))
    assert (await service.callback(older)).status_code == 409
    assert (await service.callback(newer)).status_code == 200


@pytest.mark.parametrize("how", ["missing", "cut", "changed", "swapped", "unsigned"])
async def test_a_forged_state_is_refused(service: Any, sandbox: Any, how: str) -> None:
    tenant = await service.registered()
    returned = await sandbox.answer(await service.consent_url(tenant))
    body, _, mac = returned["state"].partition(".")
    forged = {
        "missing": "",
        "cut": body,
        "changed": f"{body[:-1]}{'A' if body[-1] != 'A' else 'B'}.{mac}",
        "swapped": f"{body}.{mac[::-1]}",
        "unsigned": f"{body}.",
    }[how]
    answer = await service.callback({**returned, "state": forged}, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "consent_state_invalid")
    declined = {"state": forged, "error": "access_denied"}
    answer = await service.callback(declined, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "consent_state_invalid")
    page = await service.callback({**returned, "state": forged})
    assert page.status_code == 400
    assert page.headers["content-type"].startswith("text/html")
    assert (await service.read(tenant["id"]))["consent"]["status"] == "requested"
    assert (await service.callback(returned)).status_code == 200


async def test_a_state_of_another_deployment_is_refused(
    service: Any, sandbox: Any, deployment: Any, tmp_path: Any
) -> None:
    (tmp_path / "hmac.key").write_bytes(b"k" * 32)
    tenant = await service.registered()
    returned = await sandbox.answer(await service.consent_url(tenant))
    async with deployment.start(hmac_key_file=tmp_path / "hmac.key") as (elsewhere, _):
        answer = await elsewhere.callback(returned, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "consent_state_invalid")


async def test_a_state_expires_after_fifteen_minutes_of_business_time(
    service: Any, sandbox: Any, deployment: Any
) -> None:
    tenant = await service.registered()
    returned = await sandbox.answer(await service.consent_url(tenant))
    async with deployment.start() as (later, app):
        app.state.process.clock.advance_to(15 * 60)
        answer = await later.callback(returned, "application/json")
        assert (answer.status_code, answer.json()["code"]) == (400, "consent_state_expired")
        assert "longer" in answer.json()["detail"]
        fresh = await sandbox.answer(await later.consent_url(tenant))
        assert (await later.callback(fresh)).status_code == 200


async def test_an_answer_for_another_tenant_is_refused(service: Any, sandbox: Any) -> None:
    mine, other = await service.registered(), await service.registered()
    returned = await sandbox.answer(await service.consent_url(mine))
    foreign = await sandbox.answer(await service.consent_url(other))
    crossed = {**returned, "tenant": foreign["tenant"]}
    answer = await service.callback(crossed, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "consent_tenant_mismatch")
    answer = await service.callback({**crossed, "state": foreign["state"], "tenant": ""})
    assert answer.status_code == 400
    statuses = [(await service.read(t["id"]))["consent"]["status"] for t in (mine, other)]
    assert statuses == ["requested", "requested"]


async def test_a_declined_consent_uses_up_the_state_and_grants_nothing(
    service: Any, sandbox: Any, deployment: Any
) -> None:
    tenant = await service.registered()
    url = await service.consent_url(tenant)
    page = await service.callback(await sandbox.answer(url, "decline"))
    assert page.status_code == 403
    assert "not authorised" in page.text
    assert "AADSTS65004" in page.text
    later = await service.callback(await sandbox.answer(url), "application/json")
    assert (later.status_code, later.json()["code"]) == (409, "consent_state_used")
    after = await service.read(tenant["id"])
    assert after["consent"] == {"status": "missing", "permissions": [], "granted_at": None}
    (fact,) = await revocations(deployment, tenant)
    assert fact["data"]["state"]["consent"]["status"] == "missing"
    assert fact["data"]["changes"][0]["before"]["status"] == "requested"
    assert after["etag"] == f'"{fact["sequence"]}"'


async def test_declining_a_renewal_leaves_the_consent_that_stands(
    service: Any, sandbox: Any
) -> None:
    tenant = await service.consented()
    url = await service.consent_url(tenant)
    asked = await service.read(tenant["id"])
    await service.callback(await sandbox.answer(url, "decline"))
    assert await service.read(tenant["id"]) == asked
    assert asked["consent"]["status"] == "granted"
    assert (await service.add(tenant)).status_code == 200


async def test_a_claimed_consent_is_not_believed_without_proof(service: Any) -> None:
    tenant = await service.registered()
    asked = parse_qs(urlsplit(await service.consent_url(tenant)).query)
    claim = {"state": asked["state"][0], "tenant": tenant["entra_tenant_id"]}
    answer = await service.callback({**claim, "admin_consent": "True"}, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "consent_not_confirmed")
    assert (await service.read(tenant["id"]))["consent"]["status"] == "requested"
    answer = await service.callback(claim)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "where", ["POST /login/{}/oauth2/v2.0/token", "GET /graph/v1.0/organization"]
)
@pytest.mark.parametrize("kind", [{"kind": "status", "status": 503}, {"kind": "bad_json"}])
async def test_while_microsoft_is_away_the_state_stays_good(
    service: Any, sandbox: Any, where: str, kind: dict[str, Any]
) -> None:
    tenant = await service.registered()
    returned = await sandbox.answer(await service.consent_url(tenant))
    await sandbox.fault(where.replace("{}", tenant["entra_tenant_id"]), **kind)
    answer = await service.callback(returned, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (503, "microsoft_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert (await service.callback(returned)).status_code == 200


async def test_a_wrong_secret_is_our_trouble_and_is_never_shown(
    service: Any,
    sandbox: Any,
    deployment: Any,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "secret").write_text("canary-of-a-secret")
    tenant = await service.registered()
    returned = await sandbox.answer(await service.consent_url(tenant))
    async with deployment.start(microsoft=deployment.microsoft(tmp_path / "secret")) as (wrong, _):
        answer = await wrong.callback(returned, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (503, "microsoft_unavailable")
    assert "AADSTS7000215" in answer.text
    assert "canary" not in answer.text + "".join(capfd.readouterr())
    why = {"why": "the login answered 401 AADSTS7000215"}
    assert (REGISTRY.get_sample_value("microsoft_unsure_total", why) or 0) >= 1


async def test_the_same_key_gives_the_same_address_until_it_is_answered(
    service: Any, sandbox: Any
) -> None:
    tenant = await service.registered()
    same = {"key": uuid.uuid4().hex, "digest": "d1"}
    first, again = await asyncio.gather(*(service.ask_consent(tenant, **same) for _ in range(2)))
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first.headers["etag"] == again.headers["etag"] == '"2"'
    other = await service.ask_consent(tenant, **{**same, "digest": "d2"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    await service.callback(await sandbox.answer(first.json()["authorization_url"]))
    late = await service.ask_consent(tenant, **same)
    assert (late.status_code, late.json()["code"]) == (409, "consent_state_used")


async def test_adding_needs_consent(service: Any) -> None:
    tenant = await service.registered()
    answer = await service.add(tenant)
    assert (await service.read(tenant["id"]))["etag"] == tenant["etag"]
    assert (answer.status_code, answer.json()["code"]) == (409, "consent_required")
    assert answer.json()["missing_step"] == f"POST /v1/tenants/{tenant['id']}/consent-requests"
    assert (await service.read(tenant["id"]))["marketplaces"] == []


async def test_a_consented_tenant_is_added_once(service: Any) -> None:
    tenant = await service.consented()
    added = await service.add(tenant)
    assert added.status_code == 200
    assert added.json()["marketplaces"] == ["ingram-micro-xvantage"]
    again = await service.add(tenant)
    assert (again.status_code, again.json()) == (200, added.json())
    assert again.headers["etag"] == added.headers["etag"]


async def test_a_consent_that_was_taken_back_is_found_when_the_tenant_is_added(
    service: Any, sandbox: Any, deployment: Any
) -> None:
    tenant = await service.consented()
    await sandbox.revoke(tenant["entra_tenant_id"])
    for _ in range(2):  # told once, refused every time
        answer = await service.add(tenant)
        assert (answer.status_code, answer.json()["code"]) == (409, "consent_required")
        after = await service.read(tenant["id"])
        assert after["marketplaces"] == []
        assert after["consent"] == {"status": "revoked", "permissions": [], "granted_at": None}
        assert after["etag"] == '"4"'
    (fact,) = await revocations(deployment, tenant)
    assert (fact["sequence"], fact["actor"]) == (4, "user:tester")
    assert fact["data"]["changes"][0]["before"]["status"] == "granted"
    await service.callback(await sandbox.answer(await service.consent_url(tenant)))
    assert (await service.add(tenant)).status_code == 200


async def test_a_consent_that_microsoft_has_already_lets_the_tenant_be_added_at_once(
    service: Any, sandbox: Any
) -> None:
    tenant = await service.registered()
    await sandbox.answer(await service.consent_url(tenant))  # the way back is lost
    added = await service.add(tenant)
    assert added.status_code == 200
    assert added.json()["consent"]["status"] == "granted"
    assert added.headers["etag"] == '"4"'


async def test_adding_waits_for_microsoft_and_knows_one_marketplace(
    service: Any, sandbox: Any
) -> None:
    tenant = await service.consented()
    route = f"POST /login/{tenant['entra_tenant_id']}/oauth2/v2.0/token"
    await sandbox.fault(route, kind="reset")
    assert (await service.add(tenant)).status_code == 503
    other = await service.call("PUT", f"/v1/marketplaces/elsewhere/tenants/{tenant['id']}")
    assert other.status_code == 404
    assert "ingram-micro-xvantage" in other.json()["detail"]
    assert (await service.add(tenant)).status_code == 200


async def test_the_callback_is_for_the_gateway_alone(service: Any) -> None:
    path = "/v1/consent/callback"
    assert (await service.call("GET", path, roles=(), peer="order")).status_code == 403
    assert (await service.http.get(path)).status_code == 401
