"""Connecting a tenant to a marketplace customer: asked first, confirmed or withdrawn, settled after a crash."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from purser_common.testing import eventually, records
from purser_events.tenant import Tenant


async def test_a_tenant_is_connected_and_the_fact_says_what_changed(
    service: Any, resellers: Any, deployment: Any
) -> None:
    tenant, reseller = await service.added(), resellers.add(c1="Northwind Traders")
    answer = await service.connect(tenant, reseller, "c1")
    assert answer.status_code == 200
    connection = answer.json()["connection"]
    assert connection["marketplace"] == "ingram-micro-xvantage"
    assert connection["marketplace_customer_name"] == "Northwind Traders"
    assert answer.headers["etag"] != tenant["etag"]
    assert await service.references(reseller) == [tenant["id"]]
    assert resellers.asked_by[reseller] == ["user:tester"]
    found: list[dict[str, Any]] = []

    def told(read: Any) -> bool:
        events = [json.loads(record.value) for record in read]
        found[:] = [event for event in events if event["subject"] == f"tenant/{tenant['id']}"]
        return bool(found)

    await records(deployment.kafka, "tenant.connected", until=told)
    state = Tenant.model_validate(found[0]["data"]["state"])
    assert state == Tenant.model_validate(answer.json())
    assert found[0]["data"]["changes"][0]["pointer"] == "/connection"
    assert found[0]["data"]["changes"][0]["after"] == connection
    assert answer.headers["etag"] == f'"{found[0]["sequence"]}"'


async def test_the_same_connection_again_changes_nothing(service: Any, resellers: Any) -> None:
    tenant, reseller = await service.added(), resellers.add(c1="A")
    first = await service.connect(tenant, reseller, "c1")
    again = await service.connect(tenant, reseller, "c1")  # with the ETag of before
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["etag"] == first.headers["etag"]


async def test_a_connected_tenant_is_not_connected_elsewhere(service: Any, resellers: Any) -> None:
    tenant, reseller = await service.added(), resellers.add(c1="A", c2="B")
    await service.connect(tenant, reseller, "c1")
    answer = await service.connect(await service.read(tenant["id"]), reseller, "c2")
    assert (answer.status_code, answer.json()["code"]) == (409, "already_connected")
    assert answer.json()["marketplace_customer_id"] == "c1"


async def test_connecting_needs_the_tenant_in_the_module(service: Any, resellers: Any) -> None:
    tenant = await service.consented()
    answer = await service.connect(tenant, resellers.add(c1="A"), "c1")
    assert (answer.status_code, answer.json()["code"]) == (409, "tenant_not_added")
    step = f"PUT /v1/marketplaces/ingram-micro-xvantage/tenants/{tenant['id']}"
    assert answer.json()["missing_step"] == step


@pytest.mark.parametrize("reseller", ["nobody", "deleted", ".."])
async def test_connecting_needs_a_reseller(service: Any, resellers: Any, reseller: str) -> None:
    resellers.statuses["deleted"] = "deleted"
    tenant = await service.added()
    answer = await service.connect(tenant, reseller, "c1")
    assert (answer.status_code, answer.json()["code"]) == (409, "reseller_required")
    assert answer.json()["missing_step"] == "POST /v1/resellers"
    assert not await service.pending(tenant["id"])
    assert await service.references(reseller) == []


async def test_a_reseller_that_is_being_deleted_takes_no_tenant(
    service: Any, resellers: Any
) -> None:
    tenant, reseller = await service.added(), resellers.add(c1="A")
    resellers.closing.add(reseller)
    answer = await service.connect(tenant, reseller, "c1")
    assert (answer.status_code, answer.json()["code"]) == (409, "reseller_closing")
    assert answer.json()["errors"][0]["pointer"] == "/reseller_id"
    assert await service.references(reseller) == []
    resellers.closing.remove(reseller)
    assert (await service.connect(tenant, reseller, "c1")).status_code == 200


@pytest.mark.parametrize("customer", ["c9", "..", "a/b", "c1?x=y"])
async def test_an_unknown_marketplace_customer_is_refused_naming_the_field(
    service: Any, resellers: Any, customer: str
) -> None:
    tenant, reseller = await service.added(), resellers.add(c1="A")
    answer = await service.connect(tenant, reseller, customer)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_marketplace_customer")
    assert answer.json()["errors"][0]["pointer"] == "/marketplace_customer_id"
    assert await service.references(reseller) == []
    assert (await service.connect(tenant, reseller, "c1")).status_code == 200


async def test_connecting_says_which_state_it_was_decided_on(service: Any, resellers: Any) -> None:
    tenant, reseller = await service.added(), resellers.add(c1="A")
    without = await service.connect(tenant, reseller, "c1", etag=None)
    assert (without.status_code, without.json()["code"]) == (428, "if_match_required")
    await service.ask_consent(tenant)
    stale = await service.connect(tenant, reseller, "c1")
    assert (stale.status_code, stale.json()["code"]) == (412, "stale")
    assert await service.references(reseller) == []
    assert (await service.read(tenant["id"]))["connection"] is None


async def test_an_absent_reseller_service_leaves_nothing_pending(
    service: Any, resellers: Any
) -> None:
    tenant, reseller = await service.added(), resellers.add(c1="A")
    resellers.broken.add(reseller)
    answer = await service.connect(tenant, reseller, "c1")
    assert (answer.status_code, answer.json()["code"]) == (503, "reseller_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert await service.references(reseller) == []
    resellers.broken.remove(reseller)
    assert (await service.connect(tenant, reseller, "c1")).status_code == 200


async def test_while_the_reseller_is_asked_the_reference_counts(
    service: Any, resellers: Any
) -> None:
    tenant, reseller = await service.added(), resellers.add(c1="A")
    go = resellers.hold(reseller)
    call = asyncio.create_task(service.connect(tenant, reseller, "c1"))
    await eventually(lambda: resellers.asked_by.get(reseller))
    assert await service.pending(tenant["id"])
    assert await service.references(reseller) == [tenant["id"]]
    assert (await service.read(tenant["id"]))["etag"] == tenant["etag"]
    resellers.statuses[reseller] = "deleted"  # the deletion came first
    go.set()
    assert (await call).json()["code"] == "reseller_required"
    assert await service.references(reseller) == []


async def test_of_two_connections_at_once_to_different_customers_one_wins(
    service: Any, resellers: Any
) -> None:
    tenant, first, second = await service.added(), resellers.add(c1="A"), resellers.add(c2="B")
    go = resellers.hold(first)
    slow = asyncio.create_task(service.connect(tenant, first, "c1"))
    await eventually(lambda: service.pending(tenant["id"]))
    refused = await service.connect(tenant, second, "c2")
    assert (refused.status_code, refused.json()["code"]) == (409, "connection_pending")
    assert int(refused.headers["retry-after"]) >= 1
    go.set()
    assert (await slow).status_code == 200
    assert await service.references(second) == []
    assert await service.references(first) == [tenant["id"]]


async def test_the_same_connection_made_many_times_at_once_is_made_once(
    service: Any, resellers: Any
) -> None:
    tenant, reseller = await service.added(), resellers.add(c1="A")
    go = resellers.hold(reseller)
    calls = [asyncio.create_task(service.connect(tenant, reseller, "c1")) for _ in range(3)]
    await eventually(lambda: len(resellers.asked_by.get(reseller, [])) == 3)
    go.set()
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["etag"] for answer in answers}) == 1
    assert len({answer.json()["connection"]["connected_at"] for answer in answers}) == 1


async def test_what_changes_meanwhile_does_not_undo_a_connection(
    service: Any, resellers: Any
) -> None:
    tenant, reseller = await service.added(), resellers.add(c1="A")
    go = resellers.hold(reseller)
    call = asyncio.create_task(service.connect(tenant, reseller, "c1"))
    await eventually(lambda: resellers.asked_by.get(reseller))
    assert (await service.ask_consent(tenant)).status_code == 201
    go.set()
    assert (await call).status_code == 200
    assert await service.references(reseller) == [tenant["id"]]


@pytest.mark.parametrize("found", ["still there", "deleted"])
async def test_what_a_crash_leaves_pending_is_settled_by_asking_again(
    service: Any, resellers: Any, deployment: Any, tmp_path: Path, found: str
) -> None:
    tenant, reseller = await service.added(), resellers.add(c1="A")
    go = resellers.hold(reseller)
    api_only = {"ROLE": "api", "SETTLE_AFTER_SECONDS": "0.5"}
    async with deployment.process(tmp_path / "log", **api_only) as (doomed, process):
        call = asyncio.create_task(doomed.connect(tenant, reseller, "c1"))
        await eventually(lambda: resellers.asked_by.get(reseller))
        process.kill()
        with pytest.raises(httpx.TransportError):
            await call
    assert await service.pending(tenant["id"])
    assert await service.references(reseller) == [tenant["id"]]
    if found == "deleted":
        resellers.statuses[reseller] = "deleted"
    go.set()
    async with deployment.start(settle_after_seconds=0.5):
        await eventually(lambda: _settled(service, tenant["id"]), within=15)
    after = await service.read(tenant["id"])
    if found == "deleted":
        assert after["connection"] is None
        assert after["etag"] == tenant["etag"]
        assert await service.references(reseller) == []
    else:
        assert after["connection"]["marketplace_customer_id"] == "c1"
        assert resellers.asked_by[reseller][-1] == "service:tenant-connection"


async def _settled(service: Any, id: str) -> bool:
    return not await service.pending(id)
