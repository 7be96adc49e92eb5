"""Accounts on a real database and the real sandbox: every replica sees and keeps the same limits."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from purser_common import mongo as chassis_mongo
from purser_common.testing import eventually
from reseller_service.domain import accounts as rules
from reseller_service.domain.accounts import Limits, Refusal, Standing
from reseller_service.store import Accounts

Order = Callable[[dict[str, Any]], dict[str, Any]]
UNKNOWN = {"kind": "execute_then", "then": {"kind": "reset"}}


def attempt() -> str:
    return f"{uuid.uuid4()}/1"


async def take(service: Any, reseller: dict[str, Any], id: str) -> dict[str, Any]:
    path = f"/internal/accounts/{reseller['id']}/sends/{id}"
    answer = await service.call("PUT", path, peer="order")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def asked(service: Any, reseller: dict[str, Any]) -> dict[str, Any]:
    answer = await service.call("GET", f"/internal/accounts/{reseller['id']}", peer="order")
    told: dict[str, Any] = answer.json()
    return told


async def unresolved(service: Any, method: str, reseller: dict[str, Any], request: str) -> int:
    path = f"/internal/accounts/{reseller['id']}/unresolved/{request}"
    answer = await service.call(method, path, peer="order")
    assert answer.status_code == 200, answer.text
    return int(answer.json()["unresolved"])


async def buying(service: Any, sandbox: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    account = await sandbox.account()
    return account, await service.add(account, buying=True)


async def test_two_stores_at_once_never_give_more_places_than_there_are(
    database: chassis_mongo.Database, deployment: Any
) -> None:
    client = chassis_mongo.connect(deployment.mongo)
    replicas = [Accounts(database), Accounts(client[deployment.mongo.database])]
    limits, reseller = Limits(), str(uuid.uuid4())

    async def take(store: Accounts, id: str) -> bool:
        def decide(standing: Standing) -> tuple[Standing, Refusal | None]:
            return rules.taken(standing, id, 30, limits, datetime.now(UTC))

        return await store.change(reseller, decide) is None

    async def free(store: Accounts, id: str) -> None:
        await store.change(reseller, lambda s: (rules.freed(s, id, datetime.now(UTC)), None))

    try:
        for _ in range(5):
            ids = [(store, attempt()) for _ in range(8) for store in replicas]
            given = await asyncio.gather(*(take(store, id) for store, id in ids))
            held = [id for (_, id), had in zip(ids, given, strict=True) if had]
            kept = (await replicas[0].standing(reseller)).sends
            assert sorted(send.attempt for send in kept) == sorted(held)
            assert len(held) == limits.sends_in_flight
            # given back by the other replica
            await asyncio.gather(*(free(replicas[1], id) for id in held))
    finally:
        await chassis_mongo.close(client)


async def test_a_third_attempt_waits_in_whichever_process_it_asks(
    service: Any, sandbox: Any, deployment: Any
) -> None:
    _, reseller = await buying(service, sandbox)
    async with deployment.start() as (second, _):
        first, other = attempt(), attempt()
        assert (await take(service, reseller, first))["sending_allowed"]
        assert (await take(second, reseller, other))["sending_allowed"]
        for process in (service, second):
            refused = await take(process, reseller, attempt())
            assert (refused["sending_allowed"], refused["reason"]) == (False, "sends_in_flight")
            assert refused["retry_after_seconds"] > 0
            assert (await asked(process, reseller))["reason"] == "sends_in_flight"
            # asking again is no second place
            assert (await take(process, reseller, first))["sending_allowed"]


async def test_a_place_that_is_not_used_expires_by_itself(
    service: Any, sandbox: Any, deployment: Any
) -> None:
    _, reseller = await buying(service, sandbox)
    limits = {"sends_in_flight": 1, "take_seconds": 0.5}
    async with deployment.start(accounts=limits) as (quick, _):
        assert (await take(quick, reseller, attempt()))["sending_allowed"]
        assert not (await take(quick, reseller, attempt()))["sending_allowed"]

        async def free() -> bool:
            return bool((await take(quick, reseller, attempt()))["sending_allowed"])

        await eventually(free, within=5)


async def test_a_send_keeps_its_place_while_it_lasts_and_gives_it_back(
    service: Any, sandbox: Any, deployment: Any, database: Any, order_of: Order
) -> None:
    account, reseller = await buying(service, sandbox)
    await sandbox.fault(account, route="POST /orders", kind="delay", seconds=1.5)
    id = attempt()
    async with deployment.start(accounts={"sends_in_flight": 1, "take_seconds": 0.2}) as (one, _):
        assert (await take(one, reseller, id))["sending_allowed"]
        sending = asyncio.create_task(one.send(reseller, order_of(account), id))

        async def under_way() -> bool:
            found = await sandbox.ask("GET", "/faults")
            mine = [f for f in found if f.get("login_id") == account["login"]["id"]]
            return bool(mine[0]["hits"])

        await eventually(under_way)
        # far longer than an unused place would live
        kept = (await Accounts(database).standing(reseller["id"])).sends
        assert [send.attempt for send in kept] == [id]
        assert kept[0].until > datetime.now(UTC) + timedelta(seconds=60)
        assert (await take(one, reseller, attempt()))["reason"] == "sends_in_flight"
        late = await one.send(reseller, order_of(account), attempt())
        assert (late.json()["sent"], late.json()["reason"]) == ("no", "sends_in_flight")
        assert (await sending).json()["sent"] == "yes"
        assert (await take(one, reseller, attempt()))["sending_allowed"]
    assert len(await sandbox.journal(account)) == 1


async def test_an_attempt_that_was_never_given_a_place_takes_one_at_the_hop(
    service: Any, sandbox: Any, database: Any, order_of: Order
) -> None:
    account, reseller = await buying(service, sandbox)
    answers = await asyncio.gather(
        *(service.send(reseller, order_of(account), attempt()) for _ in range(6))
    )
    sent = [answer.json()["sent"] for answer in answers]
    reasons = {answer.json()["reason"] for answer in answers if answer.json()["sent"] == "no"}
    assert sent.count("yes") == len(await sandbox.journal(account)) >= 2
    assert reasons <= {"sends_in_flight"}
    standing = await Accounts(database).standing(reseller["id"])
    assert standing.sends == ()
    assert [settled.ambiguous for settled in standing.recent] == [False] * sent.count("yes")


async def test_a_repeated_call_takes_no_place_of_its_own(
    service: Any, sandbox: Any, database: Any, order_of: Order
) -> None:
    account, reseller = await buying(service, sandbox)
    id = attempt()
    assert (await service.send(reseller, order_of(account), id)).json()["sent"] == "yes"
    assert (await service.send(reseller, order_of(account), id)).status_code == 409
    assert (await Accounts(database).standing(reseller["id"])).sends == ()


@pytest.mark.parametrize(
    "fault",
    [
        UNKNOWN,
        {"kind": "status", "status": 500},
        {"kind": "execute_then", "then": {"kind": "bad_json"}},
    ],
    ids=["reset", "500", "bad-json"],
)
async def test_ambiguous_answers_stop_sending_until_a_probe_has_a_clear_one(
    service: Any, sandbox: Any, deployment: Any, order_of: Order, fault: dict[str, Any]
) -> None:
    account, reseller = await buying(service, sandbox)
    await sandbox.fault(account, route="POST /orders", times=4, **fault)
    async with deployment.start(accounts={"breaker_rest_seconds": 1}) as (one, _):
        for _ in range(3):
            await one.send(reseller, order_of(account), attempt())
        refused = await take(one, reseller, attempt())
        assert refused["reason"] == "breaker_open"
        assert 0 < refused["retry_after_seconds"] <= 1
        late = await one.send(reseller, order_of(account), attempt())
        assert (late.json()["sent"], late.json()["reason"]) == ("no", "breaker_open")
        assert len(await sandbox.calls(account, "POST", "/orders")) == 3

        async def probing(id: str) -> bool:
            return bool((await take(one, reseller, id))["sending_allowed"])

        first, second = attempt(), attempt()
        await eventually(lambda: probing(first), within=5)
        assert (await take(one, reseller, attempt()))["reason"] == "breaker_open"
        await one.send(reseller, order_of(account), first)
        assert (await asked(one, reseller))["reason"] == "breaker_open"
        await eventually(lambda: probing(second), within=5)
        clear = await one.send(reseller, order_of(account), second)
        assert clear.json()["status"] == 200
        # closed: two at once again
        assert (await take(one, reseller, attempt()))["sending_allowed"]
        assert (await take(one, reseller, attempt()))["sending_allowed"]


async def test_three_unresolved_orders_stop_sending_in_every_process_until_one_is_resolved(
    service: Any, sandbox: Any, deployment: Any, order_of: Order
) -> None:
    account, reseller = await buying(service, sandbox)
    for n, request in enumerate(("r1", "r2", "r2", "r3")):
        assert await unresolved(service, "PUT", reseller, request) == (1, 2, 2, 3)[n]
    async with deployment.start() as (second, _):
        for process in (service, second):
            assert (await take(process, reseller, attempt()))["reason"] == "breaker_open"
            late = await process.send(reseller, order_of(account), attempt())
            assert (late.json()["sent"], late.json()["reason"]) == ("no", "breaker_open")
        assert await unresolved(second, "DELETE", reseller, "r2") == 2
        assert await unresolved(second, "DELETE", reseller, "r2") == 2
        assert (await take(service, reseller, attempt()))["sending_allowed"]
    assert await sandbox.journal(account) == []


async def test_a_refused_order_is_no_ambiguous_one(
    service: Any, sandbox: Any, database: Any, order_of: Order
) -> None:
    account, reseller = await buying(service, sandbox)
    await sandbox.fault(account, route="POST /orders", kind="status", status=400, times=3)
    for _ in range(3):
        await service.send(reseller, order_of(account), attempt())
    assert (await asked(service, reseller))["sending_allowed"]
    standing = await Accounts(database).standing(reseller["id"])
    assert [settled.ambiguous for settled in standing.recent] == [False] * 3


async def test_closing_a_send_whose_outcome_was_lost_counts_as_ambiguous_once(
    service: Any, sandbox: Any, database: Any
) -> None:
    _, reseller = await buying(service, sandbox)
    id = attempt()
    assert (await take(service, reseller, id))["sending_allowed"]
    noted = {"_id": id, "reseller_id": reseller["id"], "fenced": True}
    await database["egress"].insert_one(noted)
    for _ in range(2):
        closed = (await service.close(id)).json()
        assert (closed["sent"], closed["ambiguous"], closed["fenced"]) == ("unknown", True, True)
    standing = await Accounts(database).standing(reseller["id"])
    assert [(s.attempt, s.ambiguous) for s in standing.recent] == [(id, True)]
    # it may still be under way, so its place expires instead of being given away
    assert [send.attempt for send in standing.sends] == [id]


async def test_closing_frees_the_place_of_a_send_whose_outcome_is_known(
    service: Any, sandbox: Any, database: Any, order_of: Order
) -> None:
    account, reseller = await buying(service, sandbox)
    id = attempt()
    assert (await service.send(reseller, order_of(account), id)).json()["sent"] == "yes"
    store = Accounts(database)
    held = rules.Send(attempt=id, until=datetime.now(UTC) + timedelta(hours=1))
    await store.change(
        reseller["id"], lambda s: (s.model_copy(update={"sends": (held,), "recent": ()}), None)
    )
    assert (await service.close(id)).json()["sent"] == "yes"
    standing = await store.standing(reseller["id"])
    assert (standing.sends, [s.attempt for s in standing.recent]) == ((), [id])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PUT", "/sends/r/1"),
        ("PUT", "/unresolved/r"),
        ("DELETE", "/unresolved/r"),
    ],
)
async def test_only_the_order_service_asks_and_it_must_name_what_there_is(
    service: Any, method: str, path: str
) -> None:
    address = f"/internal/accounts/nobody{path}"
    assert (await service.call(method, address, peer="subscription")).status_code == 403
    assert (await service.call(method, address, peer="order")).status_code == 404


async def test_an_attempt_must_be_named_well(service: Any, sandbox: Any) -> None:
    _, reseller = await buying(service, sandbox)
    base = f"/internal/accounts/{reseller['id']}"
    for path in (f"{base}/sends/unnumbered", f"{base}/sends/r/0", f"{base}?attempt=r"):
        method = "GET" if "?" in path else "PUT"
        assert (await service.call(method, path, peer="order")).status_code == 400
