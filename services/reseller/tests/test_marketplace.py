"""What is read at the marketplace: live lists, reads for other services, and the pass-through."""

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, Response

from purser_common.testing import eventually


async def forward(
    service: Any, reseller: dict[str, Any], path: str, method: str = "GET", **more: Any
) -> Any:
    path = f"/internal/marketplace/{reseller['id']}/{path}"
    return await service.call(method, path, peer="subscription", **more)


async def test_the_catalogue_is_paged_and_filtered(service: Any, sandbox: Any) -> None:
    reseller = await service.add(await sandbox.account(kind="leaf"))
    path = f"/v1/resellers/{reseller['id']}/products"
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await service.call("GET", path, params={"limit": "10", **cursor})).json()
        seen += [str(item["product"]) for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len(seen) == len(set(seen)) > 20
    found = (await service.call("GET", path, params={"q": "PREMIUM business"})).json()
    assert {item["name"] for item in found["items"]} == {"Microsoft 365 Business Premium"}
    one = (await service.call("GET", path, params={"mpn": "SIMBP:0001_P1M:M"})).json()["items"]
    assert [price["money"] for price in one[0]["prices"]] == [
        {"currency": "USD", "amount": "26.76"}
    ]


async def test_costs_are_for_price_admins_only(service: Any, sandbox: Any) -> None:
    reseller = await service.add(await sandbox.account(kind="leaf"))
    path = f"/v1/resellers/{reseller['id']}/products?mpn=SIMBP:0001_P1M:M"
    seen = (await service.call("GET", path, roles=("price_admin",))).json()["items"][0]
    assert seen["costs"][0]["money"]["amount"] == "22.48"
    seen = (await service.call("GET", path, roles=("viewer",))).json()["items"][0]
    assert seen["costs"] is None


async def test_what_a_parent_charges_its_resellers_is_shown_to_nobody(
    service: Any, sandbox: Any
) -> None:
    reseller = await service.add(await sandbox.account())
    path = f"/v1/resellers/{reseller['id']}/products?mpn=SIMBP:0001_P1M:M"
    (seen,) = (await service.call("GET", path)).json()["items"]
    assert (seen["prices"], seen["costs"]) == ([], None)


@pytest.mark.parametrize("kind", ["parent", "leaf"])
async def test_the_customers_of_the_reseller_are_shown_and_nobody_elses(
    service: Any, sandbox: Any, kind: str
) -> None:
    account = await sandbox.account(kind=kind, resellers=2, customers=3)
    reseller = await service.add(account)
    path = f"/v1/resellers/{reseller['id']}/customers"
    own = {c["id"]: c["name"] for c in account["resellers"][0]["customers"]}
    shown = (await service.call("GET", path)).json()["items"]
    assert {one["id"]: one["name"] for one in shown} == own
    name = next(iter(own.values()))
    found = (await service.call("GET", path, params={"name": name})).json()["items"]
    assert [one["name"] for one in found] == [name]


async def test_a_customer_of_another_reseller_is_not_found(service: Any, sandbox: Any) -> None:
    account = await sandbox.account(resellers=2)
    reseller = await service.add(account)
    own, foreign = (r["customers"][0] for r in account["resellers"])
    path = f"/internal/resellers/{reseller['id']}/marketplace-customers"
    found = await service.call("GET", f"{path}/{own['id']}", peer="tenant-connection")
    assert found.json() == {"id": own["id"], "name": own["name"]}
    missing = await service.call("GET", f"{path}/{foreign['id']}", peer="tenant-connection")
    assert missing.status_code == 404
    nobody = await service.call("GET", f"{path}/0", peer="tenant-connection")
    assert nobody.status_code == 404


async def test_peers_read_a_reseller_and_never_its_credentials(service: Any, sandbox: Any) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    answer = await service.call("GET", f"/internal/resellers/{reseller['id']}", peer="order")
    assert answer.json()["id"] == reseller["id"]
    assert account["login"]["password"] not in answer.text
    assert (await service.call("GET", "/internal/resellers/x", peer="order")).status_code == 404


async def test_twenty_parallel_reads_share_one_token(service: Any, sandbox: Any) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    before = len(await sandbox.calls(account, "POST", "/token"))
    answers = await asyncio.gather(*(forward(service, reseller, "customers") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(await sandbox.calls(account, "POST", "/token")) == before + 1


@pytest.mark.parametrize("status", [401, 403])
async def test_an_expired_token_is_renewed_once_whatever_the_marketplace_calls_it(
    service: Any, sandbox: Any, status: int
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    assert (await forward(service, reseller, "customers")).status_code == 200
    change = {"expire_tokens": True, "expired_bearer": status}
    await sandbox.ask("PATCH", f"/logins/{account['login']['id']}", json=change)
    before = len(await sandbox.calls(account, "POST", "/token"))
    assert (await forward(service, reseller, "customers")).status_code == 200
    assert len(await sandbox.calls(account, "POST", "/token")) == before + 1


async def test_a_refusal_that_a_new_token_does_not_cure_is_passed_on(
    service: Any, sandbox: Any
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    await sandbox.fault(account, route="GET /orders", kind="status", status=403, times=None)
    answer = await forward(service, reseller, "orders")
    assert answer.status_code == 403
    assert len(await sandbox.calls(account, "GET", "/orders")) == 2


async def test_answers_pass_as_they_are(service: Any, sandbox: Any) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    missing = await forward(service, reseller, "orders/0")
    assert missing.status_code == 404
    assert missing.headers["x-correlation-id"]
    page = await forward(service, reseller, "customers?limit=1&name=nothing")
    assert page.json()["pagination"]["limit"] == 1
    await sandbox.fault(account, route="GET /orders", kind="status", status=504, family="html")
    broken = await forward(service, reseller, "orders")
    assert (broken.status_code, broken.headers["content-type"][:9]) == (504, "text/html")


async def test_an_estimate_passes_and_orders_nothing(
    service: Any, sandbox: Any, order_of: Callable[[Any], Any]
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    answer = await forward(service, reseller, "orders/estimate", "POST", json=order_of(account))
    assert answer.status_code == 200
    assert answer.json()["total"]["amount"]
    assert await sandbox.journal(account) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "orders", 403),
        ("POST", "token", 404),
        ("GET", "token", 404),
        ("GET", "orders/../token", 404),
        ("GET", "orders//1", 404),
        ("POST", "customers", 404),
        ("PATCH", "unknown/1", 404),
        ("DELETE", "customers/1", 405),
    ],
)
async def test_nothing_else_passes(
    service: Any, sandbox: Any, method: str, path: str, status: int
) -> None:
    reseller = await service.add(await sandbox.account())
    headers = {"Purser-Attempt": "r/1", "Purser-Send-By": "2030-01-01T00:00:00Z"}
    body = {} if method == "DELETE" else {"json": {}}
    answer = await forward(service, reseller, path, method, headers=headers, **body)
    assert answer.status_code == status


async def test_only_peers_may_pass(service: Any, sandbox: Any) -> None:
    reseller = await service.add(await sandbox.account())
    path = f"/internal/marketplace/{reseller['id']}/customers"
    assert (await service.call("GET", path, peer="gateway")).status_code == 403


async def test_a_429_pauses_the_whole_account_for_as_long_as_it_says(
    service: Any, sandbox: Any
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    path = f"/internal/accounts/{reseller['id']}"
    assert (await service.call("GET", path, peer="order")).json()["sending_allowed"] is True
    await sandbox.fault(account, route="GET /customers", kind="rate_limit", retry_after=30)
    assert (await forward(service, reseller, "customers")).status_code == 429
    made = len(await sandbox.calls(account, "GET", "/orders"))
    refused = await forward(service, reseller, "orders")
    assert (refused.status_code, refused.json()["code"]) == (503, "account_paused")
    assert 20 <= int(refused.headers["retry-after"]) <= 30
    assert len(await sandbox.calls(account, "GET", "/orders")) == made
    permission = (await service.call("GET", path, peer="order")).json()
    assert (permission["sending_allowed"], permission["reason"]) == (False, "account_paused")
    assert 20 <= permission["retry_after_seconds"] <= 30
    products = await service.call("GET", f"/v1/resellers/{reseller['id']}/products")
    assert (products.status_code, products.json()["code"]) == (503, "account_paused")


async def test_a_429_on_a_live_list_pauses_too_and_the_pause_ends(
    service: Any, sandbox: Any
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    await sandbox.fault(account, route="GET /products", kind="rate_limit", retry_after=2)
    path = f"/v1/resellers/{reseller['id']}/products"
    assert (await service.call("GET", path)).status_code == 503
    paused = await forward(service, reseller, "customers")
    assert (paused.status_code, paused.json()["code"]) == (503, "account_paused")

    async def reads_again() -> bool:
        return bool((await service.call("GET", path)).status_code == 200)

    await eventually(reads_again)


async def test_a_429_that_names_no_time_pauses_longer_each_time(
    service: Any, sandbox: Any, database: Any
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    await sandbox.fault(account, route="GET /customers", kind="rate_limit", times=None)
    rests: list[float] = []
    for _ in range(2):
        assert (await forward(service, reseller, "customers")).status_code == 429
        paused = await forward(service, reseller, "orders")
        assert (paused.status_code, paused.json()["code"]) == (503, "account_paused")
        rests.append(float(paused.headers["retry-after"]))
        over = {"$currentDate": {"paused_until": True}}  # the rest is over
        await database["accounts"].update_one({"_id": reseller["id"]}, over)
    assert 4 <= rests[0] <= 7
    assert 9 <= rests[1] <= 13


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"kind": "bad_json"}, 502, "marketplace_answer_unusable"),
        ({"kind": "redirect"}, 502, "marketplace_answer_unusable"),
        ({"kind": "reset"}, 503, "marketplace_unavailable"),
        ({"kind": "status", "status": 200, "family": "html"}, 502, "marketplace_answer_unusable"),
        ({"kind": "status", "status": 504, "family": "html"}, 503, "marketplace_unavailable"),
        ({"kind": "status", "status": 500, "family": "spring"}, 503, "marketplace_unavailable"),
        ({"kind": "status", "status": 403}, 503, "marketplace_forbids"),
        ({"kind": "status", "status": 401, "family": "gateway"}, 503, "marketplace_credentials_refused"),
        ({"kind": "status", "status": 409}, 409, "refused_by_marketplace"),
    ],
)  # fmt: skip
async def test_what_a_live_list_cannot_use_is_a_clear_problem(
    service: Any, sandbox: Any, fault: dict[str, Any], status: int, code: str
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    await sandbox.fault(account, route="GET /customers", times=2, **fault)
    answer = await service.call("GET", f"/v1/resellers/{reseller['id']}/customers")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"].startswith("application/problem+json")
    await sandbox.ask("DELETE", "/faults")
    again = await service.call("GET", f"/v1/resellers/{reseller['id']}/customers")
    assert again.status_code == 200


@pytest.mark.parametrize(
    ("kind", "rows"), [("empty_list", False), ("missing_page", False), ("backwards", True)]
)
async def test_a_list_that_shrinks_or_turns_around_ends(
    service: Any, sandbox: Any, kind: str, rows: bool
) -> None:
    account = await sandbox.account(kind="leaf", customers=3)
    reseller = await service.add(account)
    await sandbox.fault(account, route="GET /customers", kind=kind)
    page = await service.call("GET", f"/v1/resellers/{reseller['id']}/customers")
    assert (page.status_code, page.json()["next"]) == (200, None)
    assert bool(page.json()["items"]) is rows


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_an_estimate_and_a_setting_renew_the_token_once_too(
    service: Any, sandbox: Any, order_of: Callable[[Any], Any], method: str, status: int
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    sent = await service.send(reseller, order_of(account), f"{uuid.uuid4()}/1")
    order = (
        await forward(service, reseller, f"orders/{json.loads(sent.json()['body'])['id']}")
    ).json()
    change = {"expire_tokens": True, "expired_bearer": status}
    await sandbox.ask("PATCH", f"/logins/{account['login']['id']}", json=change)
    id = order.get("subscriptionId") or order["products"][0]["subscriptionId"]
    path, body = f"subscriptions/{id}", {"renewalStatus": False}
    if method == "POST":
        path, body = "orders/estimate", order_of(account)
    answer = await forward(service, reseller, path, method, json=body)
    assert answer.status_code == 200, answer.text
    shown = {"GET": 0, "POST": 0, "PATCH": 0}
    for one in await sandbox.calls(account, method, f"/{path}"):
        shown[one["method"]] += 1
    assert shown[method] == 2


async def test_an_answer_over_two_mebibytes_is_cut_off(
    service: Any, serve: Callable[[FastAPI], Any]
) -> None:
    marketplace = FastAPI()

    @marketplace.post("/token")
    async def token() -> dict[str, Any]:
        return {"token": "opaque", "expiresInSeconds": 1500}

    @marketplace.get("/resellers")
    async def resellers() -> dict[str, Any]:
        rows = [{"id": f"huge-{n}", "name": f"Huge {n}"} for n in (1, 2)]
        return {"data": rows, "pagination": {"offset": 0, "limit": 100, "total": 2}}

    @marketplace.get("/orders")
    async def orders() -> Response:
        return Response(b"x" * (2 * 1024 * 1024 + 1), media_type="text/plain")

    await serve(marketplace)
    login = {"region": "stub", "subscription_key": "k", "username": "u", "password": "p"}
    reseller = await service.add({"login": login, "resellers": [{"id": "huge-1"}]})
    answer = await forward(service, reseller, "orders")
    assert (answer.status_code, answer.json()["code"]) == (502, "marketplace_answer_unusable")
