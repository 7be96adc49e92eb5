"""The switch that stops buying: put on and lifted by people, obeyed before and at the hop."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from purser_common.testing import eventually, records

Order = Callable[[dict[str, Any]], dict[str, Any]]


async def stop(service: Any, what: str, **options: Any) -> Any:
    body = {"scope": what, "reason": "two  customers were charged twice"}
    return await service.call("POST", "/v1/buying-stops", json=body, **options)


async def resume(service: Any, what: str, etag: str, **options: Any) -> Any:
    path = f"/v1/buying-stops/{what}?confirm=true"
    return await service.call("DELETE", path, etag=etag, **options)


async def struck(sandbox: Any, account: dict[str, Any]) -> bool:
    """Whether the account's fault has hit."""
    planted = await sandbox.ask("GET", "/faults")
    return any(f["hits"] for f in planted if f.get("login_id") == account["login"]["id"])


async def take(service: Any, reseller: dict[str, Any], attempt: str) -> dict[str, Any]:
    path = f"/internal/accounts/{reseller['id']}/sends/{attempt}"
    told: dict[str, Any] = (await service.call("PUT", path, peer="order")).json()
    return told


@pytest.fixture
async def account(sandbox: Any) -> dict[str, Any]:
    """An account of this test's own."""
    made: dict[str, Any] = await sandbox.account()
    return made


@pytest.fixture
async def reseller(service: Any, account: dict[str, Any]) -> dict[str, Any]:
    """A reseller that may buy."""
    added: dict[str, Any] = await service.add(account, buying=True)
    return added


@pytest.fixture
async def everything_resumed(service: Any) -> AsyncIterator[None]:
    """Lifts the stop of everything, which other tests would wait for."""
    yield
    seen = await service.call("GET", "/v1/buying-stops/all")
    if seen.status_code == 200:
        assert (await resume(service, "all", seen.headers["etag"])).status_code == 200


@pytest.mark.parametrize("everything", [True, False], ids=["all", "one reseller"])
@pytest.mark.usefixtures("everything_resumed")
async def test_nothing_is_sent_while_buying_is_stopped_and_what_waited_goes_on_after_it(
    service: Any,
    sandbox: Any,
    account: dict[str, Any],
    reseller: dict[str, Any],
    deployment: Any,
    order_of: Order,
    everything: bool,
) -> None:
    scope = "all" if everything else reseller["id"]
    early = f"{uuid.uuid4()}/1"
    assert (await take(service, reseller, early))["sending_allowed"]
    stopped = await stop(service, scope)
    assert stopped.status_code == 201, stopped.text
    async with deployment.start() as (second, _):
        for process in (service, second):
            refused = await take(process, reseller, f"{uuid.uuid4()}/1")
            assert (refused["sending_allowed"], refused["reason"]) == (False, "buying_stopped")
        # permitted before the stop, and still on its way to the marketplace
        late = await second.send(reseller, order_of(account), early)
        assert (late.json()["sent"], late.json()["reason"]) == ("no", "buying_stopped")
    assert await sandbox.calls(account, "POST", "/orders") == []
    assert (await resume(service, scope, stopped.headers["etag"])).status_code == 200
    again = early.replace("/1", "/2")
    assert (await take(service, reseller, again))["sending_allowed"]
    assert (await service.send(reseller, order_of(account), again)).json()["status"] == 200


async def test_a_stop_that_comes_while_the_token_is_fetched_still_holds_the_order_back(
    service: Any, sandbox: Any, account: dict[str, Any], reseller: dict[str, Any], order_of: Order
) -> None:
    await sandbox.fault(account, route="POST /token", kind="delay", seconds=1)
    change = {"expire_tokens": True}
    await sandbox.ask("PATCH", f"/logins/{account['login']['id']}", json=change)
    path = f"/internal/marketplace/{reseller['id']}/customers"
    reading = asyncio.create_task(service.call("GET", path, peer="order"))

    await eventually(lambda: struck(sandbox, account))
    sending = asyncio.create_task(service.send(reseller, order_of(account), f"{uuid.uuid4()}/1"))
    for _ in range(5):  # the send has asked for permission long before this ends
        await service.call("GET", f"/internal/accounts/{reseller['id']}", peer="order")
    assert (await stop(service, reseller["id"])).status_code == 201
    assert (await sending).json()["reason"] == "buying_stopped"
    await reading
    assert await sandbox.calls(account, "POST", "/orders") == []


async def test_a_stop_of_one_reseller_leaves_the_others_alone(
    service: Any, sandbox: Any, reseller: dict[str, Any]
) -> None:
    other = await service.add(await sandbox.account(), buying=True)
    assert (await stop(service, other["id"])).status_code == 201
    assert (await take(service, reseller, "free/1"))["sending_allowed"]


async def test_an_order_that_is_under_way_is_not_touched_by_a_stop(
    service: Any, sandbox: Any, account: dict[str, Any], reseller: dict[str, Any], order_of: Order
) -> None:
    await sandbox.fault(account, route="POST /orders", kind="delay", seconds=1)
    sending = asyncio.create_task(service.send(reseller, order_of(account), f"{uuid.uuid4()}/1"))

    await eventually(lambda: struck(sandbox, account))
    assert (await stop(service, reseller["id"])).status_code == 201
    assert (await sending).json()["sent"] == "yes"
    assert len(await sandbox.journal(account)) == 1


async def test_a_stop_is_shown_while_it_holds_with_who_and_why(
    service: Any, reseller: dict[str, Any]
) -> None:
    stopped = await stop(service, reseller["id"])
    state = stopped.json()
    assert (state["id"], state["reseller_id"], state["status"]) == (
        reseller["id"],
        reseller["id"],
        "stopped",
    )
    assert (state["reason"], state["stopped_by"]) == (
        "two customers were charged twice",
        "user:tester",
    )
    assert stopped.headers["purser-subject"] == f"buying-stop/{reseller['id']}"
    seen = await service.call("GET", stopped.headers["location"], roles=("viewer",))
    assert (seen.json(), seen.headers["etag"]) == (state, stopped.headers["etag"])
    listed = await service.call(
        "GET", "/v1/buying-stops?limit=200", roles=("viewer",), scope="tenant/t"
    )
    assert state in listed.json()["items"]
    lifted = await resume(service, reseller["id"], stopped.headers["etag"])
    assert (lifted.json()["status"], lifted.json()["resumed_by"]) == ("resumed", "user:tester")
    assert (await service.call("GET", stopped.headers["location"])).status_code == 404
    listed = await service.call("GET", "/v1/buying-stops?limit=200")
    assert reseller["id"] not in [stop["id"] for stop in listed.json()["items"]]


async def test_the_list_of_stops_comes_in_pages(service: Any, sandbox: Any) -> None:
    ids = []
    for _ in range(3):
        added = await service.add(await sandbox.account())
        ids.append(added["id"])
        await stop(service, added["id"])
    shown: list[str] = []
    path = "/v1/buying-stops?limit=2"
    while True:
        page = (await service.call("GET", path)).json()
        shown += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        path = f"/v1/buying-stops?limit=2&cursor={page['next']}"
    assert set(ids) <= set(shown)
    assert len(shown) == len(set(shown))


async def test_the_same_key_stops_once_and_another_one_is_told_that_it_is_stopped(
    service: Any, reseller: dict[str, Any]
) -> None:
    key = uuid.uuid4().hex
    first = await stop(service, reseller["id"], key=key, digest="d")
    again = await stop(service, reseller["id"], key=key, digest="d")
    assert (again.status_code, again.json()) == (201, first.json())
    other = await stop(service, reseller["id"], key=key, digest="other")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    second = await stop(service, reseller["id"])
    assert (second.status_code, second.json()["code"]) == (409, "buying_already_stopped")
    assert second.json()["buying_stop_id"] == reseller["id"]
    # a key that is remembered does not stop again what was resumed meanwhile
    await resume(service, reseller["id"], first.headers["etag"])
    late = await stop(service, reseller["id"], key=key, digest="d")
    assert (late.status_code, late.json()["status"]) == (201, "resumed")
    fresh = await stop(service, reseller["id"])
    assert (fresh.status_code, fresh.headers["etag"]) == (201, '"3"')


async def test_of_many_who_stop_at_once_one_does(service: Any, reseller: dict[str, Any]) -> None:
    answers = await asyncio.gather(*(stop(service, reseller["id"]) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]


async def test_resuming_needs_a_confirmation_and_the_state_it_was_decided_on(
    service: Any, reseller: dict[str, Any]
) -> None:
    stopped = await stop(service, reseller["id"])
    path = f"/v1/buying-stops/{reseller['id']}"
    unconfirmed = await service.call("DELETE", path, etag=stopped.headers["etag"])
    assert (unconfirmed.status_code, unconfirmed.json()["code"]) == (422, "confirmation_required")
    assert unconfirmed.json()["errors"][0]["pointer"] == "#/query/confirm"
    assert (await service.call("DELETE", f"{path}?confirm=true")).status_code == 428
    assert (await resume(service, reseller["id"], '"9"')).status_code == 412
    assert (await resume(service, reseller["id"], stopped.headers["etag"])).status_code == 200
    assert (await resume(service, reseller["id"], '"2"')).status_code == 404


@pytest.mark.parametrize(
    ("roles", "scope"),
    [
        (("credential_admin", "price_admin", "requester"), "all"),
        (("purchaser",), "customer/c"),
    ],
)
async def test_only_a_purchaser_of_everything_stops_and_resumes(
    service: Any, reseller: dict[str, Any], roles: tuple[str, ...], scope: str
) -> None:
    refused = await stop(service, reseller["id"], roles=roles, scope=scope)
    assert refused.status_code == 403
    stopped = await stop(service, reseller["id"], roles=("platform_admin",))
    assert stopped.status_code == 201
    etag = stopped.headers["etag"]
    refused = await resume(service, reseller["id"], etag, roles=roles, scope=scope)
    assert refused.status_code == 403
    assert (await service.call("GET", "/v1/buying-stops", roles=())).status_code == 403


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scope": "nobody", "reason": "why"}, "/scope"),
        ({"scope": "all", "reason": " "}, "/reason"),
        ({"scope": "all"}, "/reason"),
        ({"reason": "why"}, "/scope"),
        ({"scope": "all", "reason": "x" * 501}, "/reason"),
        ({"scope": "all", "reason": "why", "until": "noon"}, "/until"),
    ],
)
async def test_what_is_wrong_with_a_stop_is_named(
    service: Any, body: dict[str, Any], pointer: str
) -> None:
    refused = await service.call("POST", "/v1/buying-stops", json=body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == pointer


async def test_stopping_and_resuming_are_facts(
    service: Any, deployment: Any, reseller: dict[str, Any]
) -> None:
    stopped = await stop(service, reseller["id"])
    await resume(service, reseller["id"], stopped.headers["etag"])
    subject = f'"buying-stop/{reseller["id"]}"'.encode()
    read = await records(
        deployment.kafka,
        "buying.stopped",
        "buying.resumed",
        until=lambda found: len({r.topic for r in found if subject in r.value}) == 2,
    )
    mine = [record for record in read if subject in record.value]
    assert {record.key for record in mine} == {reseller["id"].encode()}
