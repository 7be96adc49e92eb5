"""Customers renamed and removed; which of their tenants may be added; many at once."""

import asyncio
from typing import Any

import httpx
import pytest

MODULE = "ingram-micro-xvantage"


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    body: dict[str, Any] = answer.json()
    return body


async def rename(service: Any, id: str, name: Any, etag: str | None = '"1"') -> httpx.Response:
    answer: httpx.Response = await service.call(
        "PATCH", f"/v1/customers/{id}", json={"name": name}, etag=etag
    )
    return answer


async def remove(
    service: Any, id: str, confirm: str = "?confirm=true", etag: str | None = '"1"'
) -> httpx.Response:
    answer: httpx.Response = await service.call("DELETE", f"/v1/customers/{id}{confirm}", etag=etag)
    return answer


async def test_a_customer_is_renamed(service: Any) -> None:
    id = await service.customer("Before")
    after = await rename(service, id, " After  all ")
    assert (after.json()["name"], after.headers["etag"]) == ("After all", '"2"')
    same = await rename(service, id, "After all", after.headers["etag"])
    assert (same.status_code, same.headers["etag"]) == (200, '"2"')
    refused(await rename(service, id, "Later"), 412, "stale")
    refused(await rename(service, id, "Later", None), 428, "if_match_required")
    for wrong in ("", " ", "x" * 201, "a\nb\x00", 7, None):
        body = refused(await rename(service, id, wrong, '"2"'), 422, "invalid")
        assert body["errors"][0]["pointer"] == "/name", wrong


async def test_a_customer_with_tenants_is_kept_and_names_them(service: Any) -> None:
    tenant = await service.registered()
    id = tenant["customer_id"]
    body = refused(await remove(service, id), 409, "customer_has_tenants")
    assert body["tenants"] == [{"id": tenant["id"], "name": tenant["name"]}]
    assert body["missing_step"] == f"POST /v1/tenants/{tenant['id']}/removals"
    assert (await service.remove(tenant)).status_code == 200
    refused(await remove(service, id, ""), 422, "confirmation_required")
    gone = await remove(service, id)
    assert (gone.json()["status"], gone.headers["etag"]) == ("removed", '"2"')
    assert (await remove(service, id)).headers["etag"] == '"2"'
    refused(await rename(service, id, "Again", '"2"'), 409, "customer_removed")
    refused(await service.register(id), 409, "customer_removed")
    assert (await service.call("GET", f"/v1/customers/{id}")).json()["status"] == "removed"


async def test_a_customer_is_not_removed_under_a_tenant_that_comes_at_the_same_time(
    service: Any, sandbox: Any
) -> None:
    for _ in range(5):
        id, entra = await service.customer(), await sandbox.entra_tenant()
        registered, gone = await asyncio.gather(service.register(id, entra), remove(service, id))
        status = (await service.call("GET", f"/v1/customers/{id}")).json()["status"]
        left = (await service.call("GET", f"/v1/customers/{id}/tenants")).json()["items"]
        assert not (status == "removed" and left), (registered.text, gone.text)
        assert registered.status_code == 201 or not left


async def test_only_who_may_manage_renames_and_removes(service: Any) -> None:
    id = await service.customer()
    for scope, status in (("all", 403), (f"customer/{id}", 403), ("customer/other", 404)):
        grants = {"roles": ("purchaser",), "scope": scope, "etag": '"1"'}
        path = f"/v1/customers/{id}"
        for answer in (
            await service.call("PATCH", path, json={"name": "B"}, **grants),
            await service.call("DELETE", f"{path}?confirm=true", **grants),
        ):
            assert answer.status_code == status, (scope, answer.text)


async def test_the_choice_leaves_out_what_was_added_and_shows_each_consent(service: Any) -> None:
    customer = await service.customer()
    path = f"/v1/customers/{customer}/tenants?addable_to={MODULE}"
    empty = (await service.call("GET", path)).json()
    assert empty == {
        "items": [],
        "next": None,
        "missing_step": f"POST /v1/customers/{customer}/tenants",
    }
    tenants = [(await service.register(customer)).json() for _ in range(3)]
    await service.consent_of(tenants[0])
    await service.ask_consent(tenants[1])
    found = (await service.call("GET", path)).json()
    assert found["missing_step"] is None
    shown = {one["id"]: one["consent"]["status"] for one in found["items"]}
    expected = ("granted", "requested", "missing")
    assert shown == {one["id"]: how for one, how in zip(tenants, expected, strict=True)}
    assert (await service.add(tenants[0])).status_code == 200
    left = (await service.call("GET", path)).json()["items"]
    assert [one["id"] for one in left] == [tenants[2]["id"], tenants[1]["id"]]
    refused(
        await service.call("GET", f"/v1/customers/{customer}/tenants?addable_to=x"),
        404,
        "not_found",
    )


async def imported(service: Any, reseller: str, *rows: dict[str, Any], **more: Any) -> Any:
    body = {"reseller_id": reseller, "rows": list(rows)}
    answer = await service.call("POST", "/v1/customer-imports", json=body, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


async def test_a_row_that_fails_stops_no_other(service: Any, resellers: Any, sandbox: Any) -> None:
    reseller = resellers.add(c1="Alpine", c2="Bellows", c3="Coho")
    entra = [await sandbox.entra_tenant() for _ in range(2)]
    taken = await service.registered()
    mine = await service.customer()
    described = {"entra_tenant_id": entra[0]["id"], "domain": entra[0]["domain"], "name": "A"}
    rows = (
        {"marketplace_customer_id": "c1", "tenant": described},
        {"marketplace_customer_id": "c2", "tenant": {**described, "domain": "no domain"}},
        {"marketplace_customer_id": "c9"},
        {"marketplace_customer_id": "c3", "customer_id": mine},
        {"marketplace_customer_id": "c1", "tenant": described},
        {
            "marketplace_customer_id": "c3",
            "tenant": {**described, "entra_tenant_id": taken["entra_tenant_id"]},
        },
        {"marketplace_customer_id": "c3", "customer_id": "nobody"},
    )
    found = await imported(service, reseller, *rows)
    assert [one["outcome"] for one in found] == [
        *("created", "refused", "refused", "exists", "exists", "refused", "refused")
    ]
    assert found[0]["customer_id"] == found[4]["customer_id"]
    assert found[0]["tenant_id"] == found[4]["tenant_id"]
    assert found[1]["problem"]["errors"][0]["pointer"] == "/rows/1/tenant/domain"
    assert found[1]["customer_id"]
    assert found[2]["problem"]["code"] == "unknown_marketplace_customer"
    assert found[2]["problem"]["errors"][0]["pointer"] == "/rows/2/marketplace_customer_id"
    assert found[3]["customer_id"] == mine
    assert found[5]["problem"]["code"] == "tenant_exists"
    assert found[5]["problem"]["tenant_id"] == taken["id"]
    assert found[6]["problem"]["code"] == "not_found"
    again = await imported(service, reseller, {"marketplace_customer_id": "c1"})
    assert (again[0]["outcome"], again[0]["customer_id"]) == ("exists", found[0]["customer_id"])
    state = (await service.call("GET", f"/v1/customers/{found[0]['customer_id']}")).json()
    assert (state["name"], state["imported_from"]["marketplace_customer_id"]) == ("Alpine", "c1")


async def test_a_repeated_import_creates_nothing_twice(service: Any, resellers: Any) -> None:
    reseller = resellers.add(**{f"c{n}": f"Customer {n}" for n in range(10)})
    rows = [{"marketplace_customer_id": f"c{n}"} for n in range(10)]
    same = {"key": f"import-{reseller}", "digest": "d1"}
    several = await asyncio.gather(*(imported(service, reseller, *rows, **same) for _ in range(3)))
    ids = {tuple(one["customer_id"] for one in rows) for rows in several}
    assert len(ids) == 1
    assert {one["outcome"] for one in several[0]} == {"created"}
    other = await imported(service, reseller, *rows)
    assert {tuple(one["customer_id"] for one in other)} == ids
    assert {one["outcome"] for one in other} == {"exists"}


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/v1/customer-imports", {"rows": []}, "/rows"),
        ("/v1/customer-imports", {"rows": [{"marketplace_customer_id": "c"}] * 201}, "/rows"),
        ("/v1/customer-imports", {"rows": [{"marketplace_customer_id": ""}]}, None),
        ("/v1/customer-imports", {"rows": [{"customer": "x"}]}, None),
        ("/v1/connection-proposals", {"marketplace_customer_ids": []}, "/marketplace_customer_ids"),
        ("/v1/connection-proposals", {"marketplace_customer_ids": ["c"] * 26}, None),
        ("/v1/tenant-connections", {"rows": [{"tenant_id": "t"}]}, None),
        ("/v1/tenant-connections", {"rows": []}, "/rows"),
    ],
)
async def test_a_bulk_call_has_its_bounds(
    service: Any, path: str, body: dict[str, Any], pointer: str | None
) -> None:
    answer = await service.call("POST", path, json={"reseller_id": "r", **body})
    assert answer.status_code == 422, answer.text
    pointers = [error["pointer"] for error in answer.json()["errors"]]
    assert pointer is None or pointers == [pointer]
    assert all(one.startswith(("/rows", "/marketplace_customer_ids")) for one in pointers)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/customer-imports", {"rows": [{"marketplace_customer_id": "c1"}]}),
        ("/v1/connection-proposals", {"marketplace_customer_ids": ["c1"]}),
        ("/v1/tenant-connections", {"rows": [{"tenant_id": "t", "marketplace_customer_id": "c"}]}),
    ],
)
async def test_a_bulk_call_needs_the_role_and_a_reseller(
    service: Any, path: str, body: dict[str, Any]
) -> None:
    body = {"reseller_id": "nobody", **body}
    refused(await service.call("POST", path, json=body), 409, "reseller_required")
    refused(await service.call("POST", path, json=body, roles=("purchaser",)), 403, "forbidden")


async def test_reviewed_rows_are_connected_and_added_on_the_way(
    service: Any, resellers: Any
) -> None:
    reseller = resellers.add(c1="A", c2="B", c3="C")
    ready, added, missing = (
        await service.consented(),
        await service.added(),
        await service.registered(),
    )
    rows = [(ready, "c1"), (added, "c2"), (missing, "c3"), (added, "c3"), (ready, "c9")]
    body = {
        "reseller_id": reseller,
        "rows": [{"tenant_id": t["id"], "marketplace_customer_id": c} for t, c in rows],
    }
    answer = await service.call("POST", "/v1/tenant-connections", json=body)
    found = answer.json()["rows"]
    assert [one["outcome"] for one in found[:3]] == ["connected", "connected", "refused"]
    assert found[2]["problem"]["code"] == "consent_required"
    assert {one["outcome"] for one in found[3:]} == {"refused"}
    again = await service.call("POST", "/v1/tenant-connections", json=body)
    assert [one["outcome"] for one in again.json()["rows"][:2]] == ["exists", "exists"]
    tie = (await service.read(ready["id"]))["connection"]
    assert (tie["reseller_id"], tie["marketplace_customer_id"]) == (reseller, "c1")
