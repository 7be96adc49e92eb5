"""Changing, taking back and leaving: closing first, then asked, then finished or reopened."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from purser_common.testing import eventually, records


async def fact_of(deployment: Any, topic: str, tenant: dict[str, Any]) -> dict[str, Any]:
    """The fact of this topic about a tenant."""
    found: list[dict[str, Any]] = []

    def told(read: list[Any]) -> bool:
        facts = [json.loads(record.value) for record in read]
        found[:] = [fact for fact in facts if fact["subject"] == f"tenant/{tenant['id']}"]
        return bool(found)

    await records(deployment.kafka, topic, until=told)
    return found[-1]


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_connection_is_changed_and_the_fact_has_old_and_new(
    service: Any, resellers: Any, deployment: Any
) -> None:
    first, second = resellers.add(c1="A", c2="B"), resellers.add(c3="C")
    tenant = await service.connected(first, "c1")
    moved = await service.change(tenant, reseller_id=second, marketplace_customer_id="c3")
    assert moved.status_code == 200, moved.text
    tie = moved.json()["connection"]
    assert (tie["reseller_id"], tie["marketplace_customer_name"]) == (second, "C")
    fact = await fact_of(deployment, "tenant.connection-changed", tenant)
    (change,) = fact["data"]["changes"]
    assert (change["pointer"], change["before"]) == ("/connection", tenant["connection"])
    assert change["after"] == tie
    assert await service.references(first) == []
    assert await service.references(second) == [tenant["id"]]
    again = await service.change(tenant, reseller_id=second)  # a repeated call has an old ETag
    assert (again.status_code, again.headers["etag"]) == (200, moved.headers["etag"])


async def test_a_change_names_what_is_wrong_and_leaves_the_connection(
    service: Any, resellers: Any
) -> None:
    reseller = resellers.add(c1="A")
    tenant = await service.connected(reseller, "c1")
    refused(await service.change(tenant, reseller_id="nobody"), 409, "reseller_required")
    other = await service.change(tenant, marketplace_customer_id="c9")
    body = refused(other, 422, "unknown_marketplace_customer")
    assert body["errors"][0]["pointer"] == "/marketplace_customer_id"
    for fields in ({}, {"reseller_id": None}, {"reseller_id": ""}, {"colour": "blue"}):
        assert (await service.change(tenant, **fields)).status_code == 422, fields
    stale = await service.change({**tenant, "etag": '"1"'}, marketplace_customer_id="c9")
    refused(stale, 412, "stale")
    after = await service.read(tenant["id"])
    assert (after["connection"], after["etag"]) == (tenant["connection"], tenant["etag"])
    assert not await service.pending(tenant["id"])
    assert not await service.closing(tenant["id"])


async def test_what_is_not_connected_is_not_changed(service: Any, resellers: Any) -> None:
    tenant = await service.added()
    body = refused(
        await service.change(tenant, reseller_id=resellers.add()), 409, "tenant_not_connected"
    )
    assert body["missing_step"] == f"PUT /v1/tenants/{tenant['id']}/connection"


async def test_disconnecting_needs_a_confirmation_and_keeps_the_tenant(
    service: Any, resellers: Any, deployment: Any
) -> None:
    reseller = resellers.add(c1="A")
    tenant = await service.connected(reseller, "c1")
    for without in ("", "?confirm=false"):
        body = refused(await service.disconnect(tenant, without), 422, "confirmation_required")
        assert body["errors"][0]["pointer"] == "#/query/confirm"
    refused(await service.disconnect(tenant, etag=None), 428, "if_match_required")
    gone = await service.disconnect(tenant)
    assert gone.status_code == 200, gone.text
    assert gone.json()["connection"] is None
    assert gone.json()["marketplaces"] == tenant["marketplaces"]
    fact = await fact_of(deployment, "tenant.disconnected", tenant)
    assert fact["data"]["changes"][0]["before"] == tenant["connection"]
    again = await service.disconnect(tenant)
    assert (again.status_code, again.headers["etag"]) == (200, gone.headers["etag"])
    back = await service.connect({**gone.json(), "etag": gone.headers["etag"]}, reseller, "c1")
    assert back.status_code == 200


@pytest.mark.parametrize("how", ["change", "disconnect", "remove"])
async def test_open_purchases_block_with_their_names(
    service: Any, resellers: Any, orders: Any, how: str
) -> None:
    reseller = resellers.add(c1="A", c2="B")
    tenant = await service.connected(reseller, "c1")
    id = orders.open_request(tenant["id"], status="needs_review")
    if how == "change":
        answer = await service.change(tenant, marketplace_customer_id="c2")
    elif how == "disconnect":
        answer = await service.disconnect(tenant)
    else:
        answer = await service.remove(tenant)
    body = refused(answer, 409, "purchases_open")
    assert body["requests"] == [{"id": id, "status": "needs_review"}]
    after = await service.read(tenant["id"])
    assert (after["connection"], after["etag"]) == (tenant["connection"], tenant["etag"])
    assert not await service.closing(tenant["id"])
    assert not await service.pending(tenant["id"])


async def test_what_was_never_sent_blocks_a_disconnection_and_no_removal(
    service: Any, resellers: Any, orders: Any
) -> None:
    tenant = await service.connected(resellers.add(c1="A"), "c1")
    orders.open_request(tenant["id"], sent=False, status="placing")
    refused(await service.disconnect(tenant), 409, "purchases_open")
    assert (await service.remove(tenant)).status_code == 200


async def test_while_the_order_service_is_asked_everything_else_waits(
    service: Any, resellers: Any, orders: Any
) -> None:
    reseller = resellers.add(c1="A", c2="B")
    tenant = await service.connected(reseller, "c1")
    go = orders.hold(tenant["id"])
    call = asyncio.create_task(service.disconnect(tenant))
    await eventually(lambda: orders.asked_by.get(tenant["id"]))
    assert await service.closing(tenant["id"])
    assert await service.references(reseller) == [tenant["id"]]
    for answer in (
        await service.change(tenant, marketplace_customer_id="c2"),
        await service.remove(tenant),
        await service.connect(tenant, reseller, "c1"),
    ):
        refused(answer, 409, "tenant_closing")
        assert int(answer.headers["retry-after"]) >= 1
    go.set()
    assert (await call).status_code == 200
    assert not await service.closing(tenant["id"])


@pytest.mark.parametrize("how", ["disconnect", "remove"])
async def test_an_absent_order_service_leaves_everything_as_it_was(
    service: Any, resellers: Any, orders: Any, how: str
) -> None:
    tenant = await service.connected(resellers.add(c1="A"), "c1")
    orders.broken.add(tenant["id"])
    refused(await getattr(service, how)(tenant), 503, "order_unavailable")
    after = await service.read(tenant["id"])
    assert (after["connection"], after["etag"]) == (tenant["connection"], tenant["etag"])
    assert not await service.closing(tenant["id"])
    orders.broken.remove(tenant["id"])
    assert (await getattr(service, how)(tenant)).status_code == 200


@pytest.mark.parametrize("found", ["nothing open", "a purchase"])
@pytest.mark.parametrize("how", ["disconnect", "remove"])
async def test_what_a_crash_leaves_closing_is_settled_by_asking_again(
    service: Any,
    resellers: Any,
    orders: Any,
    deployment: Any,
    tmp_path: Path,
    how: str,
    found: str,
) -> None:
    tenant = await service.connected(resellers.add(c1="A"), "c1")
    go = orders.hold(tenant["id"])
    api_only = {"ROLE": "api", "SETTLE_AFTER_SECONDS": "0.5"}
    async with deployment.process(tmp_path / "log", **api_only) as (doomed, process):
        call = asyncio.create_task(getattr(doomed, how)(tenant))
        await eventually(lambda: orders.asked_by.get(tenant["id"]))
        process.kill()
        with pytest.raises(httpx.TransportError):
            await call
    assert await service.closing(tenant["id"])
    if found == "a purchase":
        orders.open_request(tenant["id"])
    go.set()

    async def settled() -> bool:
        return not await service.closing(tenant["id"])

    async with deployment.start(settle_after_seconds=0.5):
        await eventually(settled, within=15)
    after = await service.read(tenant["id"])
    if found == "a purchase":
        assert (after["connection"], after["etag"]) == (tenant["connection"], tenant["etag"])
    else:
        assert after["connection"] is None
        assert after["status"] == ("removed" if how == "remove" else "registered")
        assert orders.asked_by[tenant["id"]][-1] == "service:tenant-connection"


@pytest.mark.parametrize("typed", ["yes", "YES", "Yes ", " Yes", "", "Y", "Ja", "true"])
async def test_removal_takes_the_word_and_nothing_else(service: Any, typed: str) -> None:
    tenant = await service.registered()
    body = refused(await service.remove(tenant, typed), 422, "confirmation_required")
    assert body["errors"][0]["pointer"] == "/confirmation"
    assert (await service.read(tenant["id"]))["etag"] == tenant["etag"]


async def test_a_removed_tenant_is_gone_and_comes_back_as_the_same_one(
    service: Any, resellers: Any, deployment: Any, sandbox: Any
) -> None:
    reseller = resellers.add(c1="A")
    tenant = await service.connected(reseller, "c1")
    same = {"key": "removal-of-" + tenant["id"], "digest": "d1"}
    gone = await service.remove(tenant, **same)
    assert gone.status_code == 200, gone.text
    state = gone.json()
    assert (state["status"], state["connection"], state["marketplaces"]) == ("removed", None, [])
    fact = await fact_of(deployment, "tenant.removed", tenant)
    assert {change["pointer"] for change in fact["data"]["changes"]} == {"/marketplaces", "/status"}
    assert (await fact_of(deployment, "tenant.disconnected", tenant))["sequence"] == (
        fact["sequence"] - 1
    )
    assert await service.references(reseller) == []
    again = await service.remove(tenant, **same)
    assert (again.status_code, again.headers["etag"]) == (200, gone.headers["etag"])
    for answer in (
        await service.ask_consent(tenant),
        await service.add(tenant),
        await service.connect(tenant, reseller, "c1"),
    ):
        body = refused(answer, 409, "tenant_removed")
        assert body["missing_step"] == f"POST /v1/customers/{tenant['customer_id']}/tenants"
    listed = (await service.call("GET", f"/v1/customers/{tenant['customer_id']}/tenants")).json()
    assert listed["items"] == []

    entra = {"id": tenant["entra_tenant_id"], "domain": tenant["domain"]}
    back = await service.register(tenant["customer_id"], entra, name="Back again")
    assert back.status_code == 201
    assert (back.json()["id"], back.json()["name"]) == (tenant["id"], "Back again")
    assert int(back.headers["etag"].strip('"')) == int(gone.headers["etag"].strip('"')) + 1
    assert (await service.add(back.json())).status_code == 200
    refused(await service.register(await service.customer(), entra), 409, "tenant_exists")


async def test_a_removed_tenant_may_be_registered_by_another_customer(service: Any) -> None:
    tenant = await service.registered()
    assert (await service.remove(tenant)).status_code == 200
    entra = {"id": tenant["entra_tenant_id"], "domain": tenant["domain"]}
    other = await service.register(await service.customer(), entra)
    assert other.status_code == 201
    assert other.json()["id"] != tenant["id"]
    body = refused(await service.register(tenant["customer_id"], entra), 409, "tenant_exists")
    assert body["tenant_id"] == other.json()["id"]


async def test_a_keyed_return_is_the_same_however_often_it_comes(service: Any) -> None:
    tenant = await service.registered()
    await service.remove(tenant)
    entra = {"id": tenant["entra_tenant_id"], "domain": tenant["domain"], "name": "A"}
    body = {"entra_tenant_id": entra["id"], "name": "A", "domain": entra["domain"]}
    path = f"/v1/customers/{tenant['customer_id']}/tenants"
    same = {"json": body, "key": "back-" + tenant["id"], "digest": "d1"}
    answers = await asyncio.gather(*(service.call("POST", path, **same) for _ in range(3)))
    assert {answer.status_code for answer in answers} == {201}, [a.text for a in answers]
    assert {answer.json()["id"] for answer in answers} == {tenant["id"]}
    assert len({answer.headers["etag"] for answer in answers}) == 1


async def test_a_marketplace_customer_serves_tenants_of_one_customer(
    service: Any, resellers: Any
) -> None:
    reseller = resellers.add(c1="A")
    first = await service.connected(reseller, "c1")
    stranger = await service.added()
    body = refused(
        await service.connect(stranger, reseller, "c1"), 409, "marketplace_customer_taken"
    )
    assert (body["tenant_id"], body["customer_id"]) == (first["id"], first["customer_id"])
    sister = (await service.register(first["customer_id"])).json()
    back = await service.consent_of(sister)
    assert (await service.add(sister)).status_code == 200
    joined = await service.connect(await service.read(back["id"]), reseller, "c1")
    assert joined.status_code == 200, joined.text
    assert set(await service.references(reseller)) == {first["id"], sister["id"]}


async def test_of_two_customers_at_once_on_a_marketplace_customer_not_both_win(
    service: Any, resellers: Any
) -> None:
    reseller = resellers.add(c1="A")
    tenants = [await service.added() for _ in range(2)]
    answers = await asyncio.gather(*(service.connect(one, reseller, "c1") for one in tenants))
    assert sum(answer.status_code == 200 for answer in answers) <= 1
    assert {a.json()["code"] for a in answers if a.status_code != 200} == {
        "marketplace_customer_taken"
    }


async def test_connecting_finds_a_consent_that_was_taken_back(
    service: Any, resellers: Any, sandbox: Any
) -> None:
    tenant, reseller = await service.added(), resellers.add(c1="A")
    await sandbox.revoke(tenant["entra_tenant_id"])
    refused(await service.connect(tenant, reseller, "c1"), 409, "consent_required")
    after = await service.read(tenant["id"])
    assert (after["consent"]["status"], after["connection"]) == ("revoked", None)
    assert await service.references(reseller) == []
    await service.consent_of(tenant)
    after = await service.read(tenant["id"])
    assert (await service.connect(after, reseller, "c1")).status_code == 200
