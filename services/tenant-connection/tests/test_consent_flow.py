"""What was chosen before the consent is kept, and gone on with after it."""

import uuid
from typing import Any

import httpx
import pytest

MODULE = "ingram-micro-xvantage"


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    body: dict[str, Any] = answer.json()
    return body


async def flow(service: Any, id: str, **options: Any) -> dict[str, Any]:
    found = await service.call("GET", f"/v1/consent-requests/{id}", **options)
    assert found.status_code == 200, found.text
    shown: dict[str, Any] = found.json()
    return shown


async def complete(service: Any, id: str, **options: Any) -> httpx.Response:
    path = f"/v1/consent-requests/{id}/completion"
    answer: httpx.Response = await service.call("POST", path, json={}, **options)
    return answer


async def test_the_choices_survive_the_way_to_microsoft(
    service: Any, sandbox: Any, resellers: Any
) -> None:
    tenant, reseller = await service.registered(), resellers.add(c1="A")
    connect = {"reseller_id": reseller, "marketplace_customer_id": "c1"}
    asked = await service.ask_consent(tenant, {"add_to": MODULE, "connect": connect})
    assert asked.status_code == 201, asked.text
    id = asked.json()["id"]
    assert asked.headers["location"] == f"/v1/consent-requests/{id}"
    waiting = await flow(service, id)
    assert (waiting["status"], waiting["add_to"], waiting["connect"]) == (
        "waiting",
        MODULE,
        connect,
    )
    assert waiting["authorization_url"] == asked.json()["authorization_url"]
    assert reseller not in waiting["authorization_url"]
    refused(await complete(service, id), 409, "consent_waiting")
    page = await service.callback(await sandbox.answer(waiting["authorization_url"]))
    assert id in page.text
    done = await flow(service, id)
    assert (done["status"], done["authorization_url"]) == ("accepted", None)
    ended = await complete(service, id)
    assert ended.status_code == 200, ended.text
    assert ended.json()["marketplaces"] == [MODULE]
    assert ended.json()["connection"]["marketplace_customer_id"] == "c1"
    again = await complete(service, id)
    assert (again.json(), again.headers["etag"]) == (ended.json(), ended.headers["etag"])


async def test_a_refused_connection_leaves_the_tenant_added_and_may_be_tried_again(
    service: Any, sandbox: Any, resellers: Any
) -> None:
    tenant, reseller = await service.registered(), resellers.add()
    connect = {"reseller_id": reseller, "marketplace_customer_id": "c1"}
    asked = (await service.ask_consent(tenant, {"add_to": MODULE, "connect": connect})).json()
    await service.callback(await sandbox.answer(asked["authorization_url"]))
    refused(await complete(service, asked["id"]), 422, "unknown_marketplace_customer")
    assert (await service.read(tenant["id"]))["marketplaces"] == [MODULE]
    resellers.customers[reseller, "c1"] = "A"
    assert (await complete(service, asked["id"])).status_code == 200


async def test_what_was_declined_expired_or_revoked_does_not_go_on(
    service: Any, sandbox: Any, deployment: Any
) -> None:
    tenant = await service.registered()
    asked = (await service.ask_consent(tenant, {"add_to": MODULE})).json()
    page = await service.callback(await sandbox.answer(asked["authorization_url"], "decline"))
    assert asked["id"] in page.text
    assert (await flow(service, asked["id"]))["status"] == "declined"
    refused(await complete(service, asked["id"]), 409, "consent_declined")

    anew = (await service.ask_consent(tenant, {"add_to": MODULE})).json()
    refused(await service.call("GET", f"/v1/consent-requests/{asked['id']}"), 404, "not_found")
    refused(await complete(service, asked["id"]), 404, "not_found")
    async with deployment.start() as (later, app):
        app.state.process.clock.advance_to(15 * 60)
        assert (await flow(later, anew["id"]))["status"] == "expired"
        refused(await complete(later, anew["id"]), 409, "consent_expired")

    await service.callback(await sandbox.answer(anew["authorization_url"]))
    await sandbox.revoke(tenant["entra_tenant_id"])
    refused(await complete(service, anew["id"]), 409, "consent_required")


async def test_a_request_without_choices_says_so(service: Any, sandbox: Any) -> None:
    tenant = await service.registered()
    asked = (await service.ask_consent(tenant)).json()
    await service.callback(await sandbox.answer(asked["authorization_url"]))
    body = refused(await complete(service, asked["id"]), 409, "consent_without_choices")
    assert tenant["id"] in body["missing_step"]


@pytest.mark.parametrize(
    ("choices", "pointer"),
    [
        ({"add_to": "elsewhere"}, "/add_to"),
        ({"connect": {"reseller_id": "r", "marketplace_customer_id": "c"}}, "/add_to"),
        ({"add_to": MODULE, "connect": {"reseller_id": "r"}}, "/connect/marketplace_customer_id"),
        (
            {"add_to": MODULE, "connect": {"reseller_id": "", "marketplace_customer_id": "c"}},
            "/connect/reseller_id",
        ),
        ({"then": "x"}, "/then"),
    ],
)
async def test_choices_that_cannot_be_done_are_refused_before_anybody_leaves(
    service: Any, choices: dict[str, Any], pointer: str
) -> None:
    tenant = await service.registered()
    answer = await service.ask_consent(tenant, choices)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await service.read(tenant["id"]))["etag"] == tenant["etag"]


async def test_a_foreign_consent_request_is_not_there(service: Any) -> None:
    tenant = await service.registered()
    id = (await service.ask_consent(tenant, {"add_to": MODULE})).json()["id"]
    mine = {"roles": ("viewer",), "scope": f"customer/{tenant['customer_id']}"}
    assert (await flow(service, id, **mine))["id"] == id
    refused(await complete(service, id, **mine), 403, "forbidden")
    other = {"scope": "customer/another"}
    refused(await service.call("GET", f"/v1/consent-requests/{id}", **other), 404, "not_found")
    refused(await complete(service, id, **other), 404, "not_found")
    never = f"/v1/consent-requests/{uuid.uuid4()}"
    refused(await service.call("GET", never), 404, "not_found")


async def test_the_permissions_are_readable_before_anything_is_asked(service: Any) -> None:
    found = await service.call("GET", f"/v1/marketplaces/{MODULE}/permissions", roles=("viewer",))
    names = [one["name"] for one in found.json()["items"]]
    assert names == ["LicenseAssignment.Read.All", "Organization.Read.All"]
    assert all(one["purpose"] for one in found.json()["items"])
    other = await service.call("GET", "/v1/marketplaces/elsewhere/permissions")
    refused(other, 404, "not_found")
