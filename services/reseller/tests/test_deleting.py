"""Deleting a reseller: closed first, then asked about, then finished or reopened, settled after a crash."""

import asyncio
from typing import Any

import httpx
import pytest

from purser_common import mongo
from purser_common.testing import eventually, records

TENANTS = [{"id": "t1", "name": "Northwind"}]
REQUESTS = [{"id": "q1", "status": "uncertain", "tenant_id": "t9"}]


async def closing(service: Any, reseller: dict[str, Any]) -> bool:
    path = f"/internal/resellers/{reseller['id']}"
    found = await service.call("GET", path, peer="tenant-connection")
    return bool(found.json()["closing"])


async def terms(service: Any, reseller: dict[str, Any], product: dict[str, Any]) -> dict[str, Any]:
    params = {"mpn": product["mpn"], "vendor": product["vendor"]}
    for period in ("subscription", "billing"):
        params |= {f"{period}_{key}": v for key, v in product[f"{period}_period"].items()}
    path = f"/internal/resellers/{reseller['id']}/purchase-terms"
    found = await service.call("GET", path, peer="order", params=params)
    assert found.status_code == 200, found.text
    body: dict[str, Any] = found.json()
    return body


async def test_a_deleted_reseller_is_gone_with_its_credentials_and_can_be_added_again(
    service: Any, sandbox: Any, others: Any, database: mongo.Database, deployment: Any
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    gone = await service.delete(reseller)
    assert gone.status_code == 200, gone.text
    assert (gone.json()["status"], gone.json()["buying_enabled"]) == ("deleted", False)
    assert gone.headers["purser-subject"] == f"reseller/{reseller['id']}"
    assert others.asked_by[reseller["id"]] == ["user:tester", "user:tester"]
    path = f"/v1/resellers/{reseller['id']}"
    for method, at in (
        ("GET", path),
        ("GET", f"{path}/customers"),
        ("GET", f"{path}/products"),
        ("GET", f"{path}/license-mappings"),
    ):
        missing = await service.call(method, at)
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found"), at
    assert (await service.delete(reseller)).status_code == 404
    assert (await service.change(reseller, po_suffix=False)).status_code == 404
    kept = await database["resellers"].find_one({"_id": reseller["id"]})
    assert kept is not None
    left = {"sealed", "display_name_key", "marketplace_key", "closing", "settle_at", "own_prices"}
    assert not left & kept.keys()
    tombstone = await service.call(
        "GET", f"/internal/resellers/{reseller['id']}", peer="tenant-connection"
    )
    assert tombstone.json()["status"] == "deleted"
    subject = f"reseller/{reseller['id']}".encode()
    await records(
        deployment.kafka,
        "reseller.deleted",
        until=lambda read: [r for r in read if r.value and subject in r.value],
    )
    verified = (await service.verify(account)).json()
    body = {
        "verification_id": verified["id"],
        "display_name": reseller["display_name"].lower(),
        "marketplace_reseller_id": reseller["marketplace_reseller_id"],
    }
    again = await service.call("POST", "/v1/resellers", json=body)
    assert again.status_code == 201, again.text
    assert again.json()["id"] != reseller["id"]


async def test_nothing_is_deleted_without_confirmation_or_on_another_state(
    service: Any, sandbox: Any, others: Any
) -> None:
    reseller = await service.add(await sandbox.account())
    for query in ("", "?confirm=false"):
        refused = await service.delete(reseller, query)
        assert (refused.status_code, refused.json()["code"]) == (422, "confirmation_required")
        assert refused.json()["errors"][0]["pointer"] == "#/query/confirm"
    without = await service.delete(reseller, etag=None)
    assert (without.status_code, without.json()["code"]) == (428, "if_match_required")
    stale = await service.delete(reseller, etag='"7"')
    assert (stale.status_code, stale.json()["code"]) == (412, "stale")
    assert (await service.read(reseller))["etag"] == reseller["etag"]
    assert reseller["id"] not in others.asked_by


@pytest.mark.parametrize(
    ("code", "member"), [("reseller_in_use", "tenants"), ("orders_unsettled", "requests")]
)
async def test_what_stands_in_the_way_is_named_and_the_reseller_stays_as_it_was(
    service: Any, sandbox: Any, others: Any, code: str, member: str
) -> None:
    reseller = await service.add(await sandbox.account(), buying=True)
    others.connected[reseller["id"]] = TENANTS
    if member == "requests":
        others.requests[reseller["id"]] = REQUESTS
    refused = await service.delete(reseller)
    assert (refused.status_code, refused.json()["code"]) == (409, code)
    assert refused.json()[member] == (TENANTS if member == "tenants" else REQUESTS)
    assert not await closing(service, reseller)
    assert (await service.read(reseller))["etag"] == reseller["etag"]
    assert (await service.change(reseller, po_suffix=False)).status_code == 200


async def test_many_tenants_in_the_way_are_counted_and_some_named(
    service: Any, sandbox: Any, others: Any
) -> None:
    reseller = await service.add(await sandbox.account())
    many = [{"id": f"t{n}", "name": f"Tenant {n}"} for n in range(140)]
    others.connected[reseller["id"]] = many
    refused = (await service.delete(reseller)).json()
    assert (len(refused["tenants"]), refused["tenant_count"]) == (100, 140)
    assert "Tenant 0, Tenant 1, Tenant 2 and 137 more" in refused["detail"]


async def test_whoever_cannot_be_asked_deletes_nothing(
    service: Any, sandbox: Any, others: Any
) -> None:
    reseller = await service.add(await sandbox.account())
    others.broken.add(reseller["id"])
    refused = await service.delete(reseller)
    assert (refused.status_code, refused.json()["code"]) == (503, "order_unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert not await closing(service, reseller)
    others.broken.remove(reseller["id"])
    assert (await service.delete(reseller)).status_code == 200


async def test_while_others_are_asked_nothing_may_refer_to_the_reseller_or_change_it(
    service: Any, sandbox: Any, others: Any, premium: dict[str, Any]
) -> None:
    reseller = await service.add(await sandbox.account())
    go = others.hold(reseller["id"])
    deletion = asyncio.create_task(service.delete(reseller))
    await eventually(lambda: others.asked_by.get(reseller["id"]))
    assert await closing(service, reseller)
    assert (await terms(service, reseller, premium))["reseller"]["closing"] is True
    assert (await service.read(reseller))["etag"] == reseller["etag"]
    for refused in (
        await service.delete(reseller),
        await service.change(reseller, po_suffix=False),
    ):
        assert (refused.status_code, refused.json()["code"]) == (409, "reseller_closing")
        assert int(refused.headers["retry-after"]) >= 1
    others.connected[reseller["id"]] = TENANTS  # a connection came first
    go.set()
    assert (await deletion).json()["code"] == "reseller_in_use"
    assert not await closing(service, reseller)


@pytest.mark.parametrize(
    ("begun", "connected", "ends"),
    [("deletion", False, "deleted"), ("deletion", True, "active"), ("move", False, "active")],
)
async def test_what_a_crash_leaves_closing_is_settled(
    own_process: Any,
    service: Any,
    sandbox: Any,
    others: Any,
    deployment: Any,
    begun: str,
    connected: bool,
    ends: str,
) -> None:
    account = await sandbox.account(resellers=2)
    reseller = await service.add(account)
    go = others.hold(reseller["id"])
    doomed = await own_process.start(ROLE="api", SETTLE_AFTER_SECONDS="0.5")
    choice = {"marketplace_reseller_id": account["resellers"][1]["id"]}
    began = doomed.delete(reseller) if begun == "deletion" else doomed.change(reseller, **choice)
    call = asyncio.create_task(began)
    await eventually(lambda: others.asked_by.get(reseller["id"]))
    own_process.process.kill()
    with pytest.raises(httpx.TransportError):
        await call
    assert await closing(service, reseller)
    if connected:
        others.connected[reseller["id"]] = TENANTS
    go.set()
    async with deployment.start(settle_after_seconds=0.5):

        async def settled() -> bool:
            return not await closing(service, reseller)

        await eventually(settled, within=15)
    now = await service.call("GET", f"/internal/resellers/{reseller['id']}", peer="order")
    assert now.json()["status"] == ends
    assert now.json()["marketplace_reseller_id"] == reseller["marketplace_reseller_id"]
    if begun == "deletion":
        assert others.asked_by[reseller["id"]][-1] == "service:reseller"
    if ends == "active":
        assert (await service.read(reseller))["etag"] == reseller["etag"]
