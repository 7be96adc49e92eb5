"""Customers and tenants over HTTP: who may, what is refused, what is listed, what is told."""

import asyncio
import json
import uuid
from typing import Any

import pytest

from purser_common.testing import records
from purser_events.tenant import Tenant

NOBODY = ("there is no such object, or it is not yours to see", "not_found")


async def facts_of(deployment: Any, subject: str, *topics: str) -> list[dict[str, Any]]:
    """The facts about a subject, once there is one on each topic."""
    own: list[dict[str, Any]] = []

    def enough(read: Any) -> bool:
        events = [json.loads(record.value) for record in read]
        own[:] = [event for event in events if event["subject"] == subject]
        return {event["type"] for event in own} == {f"purser.{topic}.v1" for topic in topics}

    await records(deployment.kafka, *topics, until=enough)
    return own


async def test_a_customer_and_its_tenant_are_kept_and_told(service: Any, deployment: Any) -> None:
    made = await service.call("POST", "/v1/customers", json={"name": "  Northwind   Traders "})
    assert made.status_code == 201
    customer = made.json()
    assert customer["name"] == "Northwind Traders"
    assert made.headers["location"] == f"/v1/customers/{customer['id']}"
    assert made.headers["purser-subject"] == f"customer/{customer['id']}"
    assert made.headers["etag"] == '"1"'
    tenant = (await service.register(customer["id"])).json()
    assert tenant["consent"]["status"] == "missing"
    assert tenant["marketplaces"] == []
    assert (await service.read(tenant["id"]))["customer_id"] == customer["id"]
    told = await facts_of(deployment, f"tenant/{tenant['id']}", "tenant.registered")
    state = Tenant.model_validate(told[0]["data"]["state"])
    assert state == Tenant.model_validate(tenant)
    assert told[0]["actor"] == "user:tester"
    assert told[0]["tenantid"] == tenant["id"]


@pytest.mark.parametrize("roles", [("viewer",), ("purchaser",), ("auditor",)])
async def test_other_roles_may_look_and_not_touch(service: Any, roles: tuple[str, ...]) -> None:
    tenant = await service.registered()
    seen = await service.call("GET", f"/v1/tenants/{tenant['id']}", roles=roles)
    assert seen.status_code == 200
    body = {"name": "Adventure Works"}
    refused = [
        await service.call("POST", "/v1/customers", json=body, roles=roles),
        await service.ask_consent(tenant, roles=roles),
        await service.add(tenant, roles=roles),
        await service.connect(tenant, "r", "c", roles=roles),
    ]
    assert [answer.status_code for answer in refused] == [403] * 4


async def test_a_steward_of_one_customer_only_may_not_manage(service: Any) -> None:
    tenant = await service.registered()
    scope = f"customer/{tenant['customer_id']}"
    assert (await service.ask_consent(tenant, scope=scope)).status_code == 403
    assert (await service.connect(tenant, "r", "c", scope=scope)).status_code == 403


async def test_a_foreign_tenant_is_as_absent_as_one_that_never_was(service: Any) -> None:
    tenant = await service.registered()
    mine = {"scope": f"customer/{await service.customer()}"}
    never = {"id": uuid.uuid4().hex, "customer_id": uuid.uuid4().hex, "etag": '"1"'}
    for other in (tenant, never):
        answers = [
            await service.call("GET", f"/v1/tenants/{other['id']}", **mine),
            await service.call("GET", f"/v1/customers/{other['customer_id']}", **mine),
            await service.call("GET", f"/v1/customers/{other['customer_id']}/tenants", **mine),
            await service.register(other["customer_id"]),
            await service.ask_consent(other, **mine),
            await service.add(other, **mine),
            await service.connect(other, "r", "c", **mine),
        ]
        if other is tenant:
            del answers[3]
        assert {(a.status_code, a.json()["detail"], a.json()["code"]) for a in answers} == {
            (404, *NOBODY)
        }


async def test_an_entra_tenant_is_registered_once(service: Any, sandbox: Any) -> None:
    entra = await sandbox.entra_tenant()
    customer = await service.customer()
    first = await service.register(customer, entra)
    shouted = {"id": entra["id"].upper(), "domain": entra["domain"].upper()}
    again = await service.register(await service.customer(), shouted)
    assert again.status_code == 409
    assert again.json()["code"] == "tenant_exists"
    assert again.json()["tenant_id"] == first.json()["id"]


async def test_of_two_registrations_at_once_one_wins(service: Any, sandbox: Any) -> None:
    entra, customer = await sandbox.entra_tenant(), await service.customer()
    answers = await asyncio.gather(*(service.register(customer, entra) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


@pytest.mark.parametrize(
    "wrong", ["", "not-a-guid", "b7d9c2e4", "{0f8fad5b-d9cb-469f-a165-70867728950e}", "0" * 32]
)
async def test_an_invalid_entra_tenant_id_is_refused_naming_the_field(
    service: Any, wrong: str
) -> None:
    answer = await service.register(await service.customer(), entra_tenant_id=wrong)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/entra_tenant_id"]
    assert "GUID" in answer.json()["errors"][0]["detail"]


async def test_every_wrong_field_is_named_at_once(service: Any) -> None:
    wrong = {"entra_tenant_id": "x", "name": " ", "domain": "no domain"}
    answer = await service.register(await service.customer(), **wrong)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == {f"/{f}" for f in wrong}


async def test_an_unknown_field_is_refused_by_name(service: Any) -> None:
    answer = await service.call("POST", "/v1/customers", json={"name": "A", "nmae": "B"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/nmae"


async def test_posting_without_an_idempotency_key_is_refused(service: Any) -> None:
    tenant = await service.registered()
    path = f"/v1/customers/{tenant['customer_id']}/tenants"
    body = {"entra_tenant_id": tenant["entra_tenant_id"], "name": "A", "domain": "a.example.com"}
    answers = [
        await service.call("POST", "/v1/customers", json={"name": "A"}, key=""),
        await service.call("POST", path, json=body, key=""),
        await service.ask_consent(tenant, key=""),
    ]
    assert {(a.status_code, a.json()["code"]) for a in answers} == {
        (400, "idempotency_key_required")
    }


async def test_the_same_key_gives_the_same_customer_and_refuses_another_body(service: Any) -> None:
    same = {"key": uuid.uuid4().hex, "digest": "d1"}
    first = await service.call("POST", "/v1/customers", json={"name": "A"}, **same)
    again = await service.call("POST", "/v1/customers", json={"name": "A"}, **same)
    assert (again.status_code, again.json()) == (201, first.json())
    other = await service.call(
        "POST", "/v1/customers", json={"name": "B"}, **{**same, "digest": "d2"}
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_the_same_key_gives_the_same_tenant_and_refuses_another_body(
    service: Any, sandbox: Any
) -> None:
    entra = await sandbox.entra_tenant()
    path = f"/v1/customers/{await service.customer()}/tenants"
    body = {"entra_tenant_id": entra["id"], "name": "Head office", "domain": entra["domain"]}
    key = uuid.uuid4().hex
    first = await service.call("POST", path, json=body, key=key, digest="d1")
    again = await service.call("POST", path, json=body, key=key, digest="d1")
    assert (again.status_code, again.json()) == (201, first.json())
    other = await service.call("POST", path, json=body | {"name": "B"}, key=key, digest="d2")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_customers_tenants_are_for_whom_it_is_in_scope_newest_first(service: Any) -> None:
    mine, other = await service.customer("Mine"), await service.customer("Other")
    ids = [(await service.register(mine)).json()["id"] for _ in range(3)]
    await service.register(other)
    path = f"/v1/customers/{mine}/tenants"
    seen: list[str] = []
    cursor = ""
    grants = {"roles": ("viewer",), "scope": f"customer/{mine}"}
    while True:
        page = (await service.call("GET", f"{path}?limit=2{cursor}", **grants)).json()
        seen += [tenant["id"] for tenant in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == ids[::-1]
    one = {"roles": ("viewer",), "scope": f"tenant/{ids[0]}"}
    assert (await service.call("GET", path, **one)).status_code == 404


async def test_a_cursor_of_another_making_is_refused(service: Any) -> None:
    path = f"/v1/customers/{await service.customer()}/tenants"
    answer = await service.call("GET", f"{path}?cursor=bm90IG9uZQ")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_cursor")


async def test_internal_reads_are_for_the_services_that_may_ask(service: Any) -> None:
    tenant = await service.registered()
    path = f"/internal/tenants/{tenant['id']}"
    found = await service.call("GET", path, roles=(), peer="order")
    public = {name: value for name, value in tenant.items() if name != "etag"}
    assert found.json() == {"state": public, "closing": False, "pending": False}
    assert (await service.call("GET", path, roles=())).status_code == 403
    for stranger in ("audit", "subscription"):
        assert (await service.call("GET", path, roles=(), peer=stranger)).status_code == 401
    missing = await service.call("GET", "/internal/tenants/none", roles=(), peer="order")
    assert missing.status_code == 404
    described = (await service.http.get("/openapi.json")).json()["paths"]
    assert not [path for path in described if path.startswith("/internal")]
