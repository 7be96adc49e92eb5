"""The hop that sends: an attempt leaves at most once, and what became of it is told truly."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

Order = Callable[[dict[str, Any]], dict[str, Any]]


def attempt() -> str:
    return f"{uuid.uuid4()}/1"


async def test_an_order_is_sent_and_its_answer_is_passed_inside(
    service: Any, sandbox: Any, order_of: Order
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    order, id = order_of(account), attempt()
    answer = await service.send(reseller, order, id)
    assert answer.status_code == 200, answer.text
    assert answer.headers["purser-sent"] == "yes"
    outcome = answer.json()
    assert (outcome["sent"], outcome["status"], outcome["fenced"]) == ("yes", 200, False)
    (executed,) = await sandbox.journal(account)
    assert executed["poNumber"] == order["poNumber"]
    closed = await service.close(id)
    assert closed.json() == outcome


async def test_of_two_equal_calls_one_is_sent(service: Any, sandbox: Any, order_of: Order) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    order, id = order_of(account), attempt()
    answers = await asyncio.gather(*(service.send(reseller, order, id) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    again = await service.send(reseller, order, id)
    assert (again.status_code, again.json()["code"]) == (409, "attempt_exists")
    assert len(await sandbox.journal(account)) == 1


async def test_an_attempt_whose_time_is_over_is_not_sent(
    service: Any, sandbox: Any, order_of: Order
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    id = attempt()
    late = await service.send(reseller, order_of(account), id, within=-1)
    assert (late.json()["sent"], late.json()["reason"]) == ("no", "too_late")
    assert (await service.send(reseller, order_of(account), id)).status_code == 409
    assert (await service.close(id)).json()["sent"] == "no"
    assert await sandbox.journal(account) == []


async def test_a_closed_attempt_can_never_be_sent(
    service: Any, sandbox: Any, order_of: Order
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    id = attempt()
    closed = await service.close(id)
    assert (closed.json()["sent"], closed.json()["closed"]) == ("no", True)
    late = await service.send(reseller, order_of(account), id)
    assert (late.status_code, late.json()["code"]) == (409, "attempt_exists")
    assert await sandbox.journal(account) == []
    assert (await service.close(id)).json() == closed.json()


async def test_closing_and_sending_at_once_leaves_no_doubt(
    service: Any, sandbox: Any, order_of: Order
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    for _ in range(5):
        id, before = attempt(), len(await sandbox.journal(account))
        sent, closed = await asyncio.gather(
            service.send(reseller, order_of(account), id), service.close(id)
        )
        executed = len(await sandbox.journal(account)) - before
        if closed.json()["sent"] == "no":
            assert (sent.status_code, executed) == (409, 0)
        else:
            assert (sent.status_code, executed) == (200, 1)


async def test_nothing_is_sent_while_buying_is_off(
    service: Any, sandbox: Any, order_of: Order
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    answer = await service.send(reseller, order_of(account), attempt())
    assert (answer.json()["sent"], answer.json()["reason"]) == ("no", "buying_disabled")
    assert await sandbox.journal(account) == []


async def test_a_429_for_an_order_is_an_answer_and_pauses_the_account(
    service: Any, sandbox: Any, order_of: Order
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    await sandbox.fault(account, route="POST /orders", kind="rate_limit", retry_after=30)
    first = await service.send(reseller, order_of(account), attempt())
    assert (first.json()["sent"], first.json()["status"]) == ("yes", 429)
    second = await service.send(reseller, order_of(account), attempt())
    assert (second.json()["sent"], second.json()["reason"]) == ("no", "account_paused")
    assert len(await sandbox.calls(account, "POST", "/orders")) == 1


async def test_an_answer_lost_after_execution_is_unknown_and_kept(
    service: Any, sandbox: Any, order_of: Order
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    id = attempt()
    then = {"kind": "reset"}
    await sandbox.fault(account, route="POST /orders", kind="execute_then", then=then)
    answer = await service.send(reseller, order_of(account), id)
    assert (answer.json()["sent"], answer.headers["purser-sent"]) == ("unknown", "unknown")
    assert (await service.close(id)).json() == answer.json()
    assert (await service.send(reseller, order_of(account), id)).status_code == 409
    assert len(await sandbox.journal(account)) == 1
    assert len(await sandbox.calls(account, "POST", "/orders")) == 1


@pytest.mark.parametrize("status", [500, 504, 307])
async def test_an_error_after_execution_is_passed_on_and_never_repeated(
    service: Any, sandbox: Any, order_of: Order, status: int
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    kind = "redirect" if status == 307 else "status"
    then = {"kind": kind, "status": status, "location": "/marketplace/eu/orders"}
    await sandbox.fault(account, route="POST /orders", kind="execute_then", then=then)
    answer = await service.send(reseller, order_of(account), attempt())
    assert (answer.json()["sent"], answer.json()["status"]) == ("yes", status)
    assert len(await sandbox.calls(account, "POST", "/orders")) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_refused_for_an_order_is_replaced_for_the_next_one_and_nothing_is_resent(
    service: Any, sandbox: Any, order_of: Order, status: int
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    path = f"/internal/marketplace/{reseller['id']}/customers"
    assert (await service.call("GET", path, peer="order")).status_code == 200
    change = {"expire_tokens": True, "expired_bearer": status}
    await sandbox.ask("PATCH", f"/logins/{account['login']['id']}", json=change)
    first = await service.send(reseller, order_of(account), attempt())
    assert (first.json()["sent"], first.json()["status"]) == ("yes", status)
    assert len(await sandbox.calls(account, "POST", "/orders")) == 1
    second = await service.send(reseller, order_of(account), attempt())
    assert second.json()["status"] == 200


async def test_without_a_token_nothing_is_sent(service: Any, sandbox: Any, order_of: Order) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    change = {"password": "changed"}
    await sandbox.ask("PATCH", f"/logins/{account['login']['id']}", json=change)
    answer = await service.send(reseller, order_of(account), attempt())
    assert answer.json()["sent"] == "no"
    assert answer.json()["reason"] == "no_token: marketplace_credentials_refused"
    assert await sandbox.calls(account, "POST", "/orders") == []


async def test_a_refused_connection_is_definitely_not_sent(
    service: Any, serve: Callable[[FastAPI], Any]
) -> None:
    marketplace, name = FastAPI(), f"gone-{uuid.uuid4().hex[:6]}"

    @marketplace.post("/token")
    async def token() -> dict[str, Any]:
        return {"token": "opaque", "expiresInSeconds": 1500}

    @marketplace.get("/resellers")
    async def resellers() -> dict[str, Any]:
        rows = [{"id": name, "name": name}, {"id": f"{name}-2", "name": name}]
        return {"data": rows, "pagination": {"total": 2}}

    @marketplace.get("/customers")
    async def customers() -> dict[str, Any]:
        return {"data": [], "pagination": {"total": 0}}

    stop = await serve(marketplace)
    login = {"region": "stub", "subscription_key": "k", "username": "u", "password": "p"}
    reseller = await service.add({"login": login, "resellers": [{"id": name}]}, buying=True)
    path = f"/internal/marketplace/{reseller['id']}/customers"
    assert (await service.call("GET", path, peer="order")).status_code == 200
    await stop()
    answer = await service.send(reseller, {"type": "sales"}, attempt())
    assert (answer.json()["sent"], answer.json()["reason"]) == ("no", "ConnectError")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Purser-Attempt": "no-number"}, 400),
        ({"Purser-Attempt": "r/0"}, 400),
        ({"Purser-Send-By": "soon"}, 400),
        ({"Purser-Send-By": "2030-01-01T00:00:00"}, 400),
    ],
)
async def test_an_attempt_that_is_not_named_well_is_refused(
    service: Any, headers: dict[str, str], status: int
) -> None:
    named = {"Purser-Attempt": "r/1", "Purser-Send-By": "2030-01-01T00:00:00Z"}
    answer = await service.call(
        "POST",
        "/internal/marketplace/any/orders",
        peer="order",
        headers={**named, **headers},
        json={},
    )
    assert answer.status_code == status


async def test_a_body_that_is_no_json_object_is_refused_before_anything_is_noted(
    service: Any, sandbox: Any
) -> None:
    reseller = await service.add(await sandbox.account(), buying=True)
    id = attempt()
    headers = {"Purser-Attempt": id, "Purser-Send-By": "2030-01-01T00:00:00Z"}
    path = f"/internal/marketplace/{reseller['id']}/orders"
    answer = await service.call("POST", path, peer="order", headers=headers, content=b"{")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")
    assert (await service.close(id)).json()["closed"] is True


async def test_only_the_order_service_sends_and_closes(service: Any) -> None:
    headers = {"Purser-Attempt": "r/1", "Purser-Send-By": "2030-01-01T00:00:00Z"}
    path = "/internal/marketplace/any/orders"
    sent = await service.call("POST", path, peer="subscription", headers=headers, json={})
    assert sent.status_code == 403
    closed = await service.call("POST", "/internal/attempts/r/1/closure", peer="subscription")
    assert closed.status_code == 403
