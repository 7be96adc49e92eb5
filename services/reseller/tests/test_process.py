"""The service as a process: killed, stopped, frozen, started with another key; and what it writes."""

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from purser_common.testing import eventually, records

Order = Callable[[dict[str, Any]], dict[str, Any]]


async def noted(database: Any, attempt: str) -> bool:
    return await database["egress"].find_one({"_id": attempt}) is not None


async def in_flight(
    service: Any, sandbox: Any, database: Any, order_of: Order, fault: dict[str, Any]
) -> Any:
    """(account, reseller, attempt, task) of a send that the marketplace does not answer yet."""
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    await sandbox.fault(account, route="POST /orders", **fault)
    attempt = f"{uuid.uuid4()}/1"
    task = asyncio.create_task(service.send(reseller, order_of(account), attempt))
    await eventually(lambda: noted(database, attempt))
    return account, reseller, attempt, task


async def test_a_kill_between_noting_and_outcome_leaves_an_unknown_that_is_never_sent_again(
    own_process: Any, sandbox: Any, database: Any, order_of: Order
) -> None:
    service = await own_process.start(FENCE_SECONDS="10")
    hangs = {"kind": "execute_then", "then": {"kind": "hang"}}
    account, reseller, attempt, task = await in_flight(service, sandbox, database, order_of, hangs)

    async def executed() -> bool:
        return len(await sandbox.journal(account)) == 1

    await eventually(executed)
    await own_process.end(signal.SIGKILL)
    with pytest.raises(httpx.HTTPError):
        await task
    service = await own_process.start(FENCE_SECONDS="10")
    closed = (await service.close(attempt)).json()
    assert (closed["sent"], closed["fenced"], closed["closed"]) == ("unknown", True, False)
    assert (await service.send(reseller, order_of(account), attempt)).status_code == 409
    assert len(await sandbox.journal(account)) == 1


async def test_a_caller_that_goes_away_leaves_the_outcome_behind(
    own_process: Any, sandbox: Any, database: Any, order_of: Order
) -> None:
    service = await own_process.start()
    slow = {"kind": "delay", "seconds": 0.7}
    account, _, attempt, task = await in_flight(service, sandbox, database, order_of, slow)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    async def stored() -> bool:
        return bool((await service.close(attempt)).json()["sent"] == "yes")

    await eventually(stored)
    assert len(await sandbox.journal(account)) == 1


async def test_sigterm_finishes_what_is_in_flight_even_when_nobody_waits(
    own_process: Any, sandbox: Any, database: Any, order_of: Order
) -> None:
    service = await own_process.start(FENCE_SECONDS="10")
    slow = {"kind": "delay", "seconds": 1.5}
    *_, attempt, task = await in_flight(service, sandbox, database, order_of, slow)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await own_process.end(signal.SIGTERM)
    stored = await database["egress"].find_one({"_id": attempt})
    assert stored["outcome"]["sent"] == "yes"
    assert stored["outcome"]["fenced"] is True


async def test_sigterm_answers_who_waits(
    own_process: Any, sandbox: Any, database: Any, order_of: Order
) -> None:
    service = await own_process.start()
    slow = {"kind": "delay", "seconds": 0.7}
    *_, task = await in_flight(service, sandbox, database, order_of, slow)
    await own_process.end(signal.SIGTERM)
    assert (await task).json()["sent"] == "yes"


async def test_a_process_that_was_frozen_too_long_ends_instead_of_sending(
    own_process: Any,
) -> None:
    await own_process.start(FENCE_SECONDS="1")
    own_process.process.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(os.waitid, os.P_PID, own_process.process.pid, os.WSTOPPED | os.WNOWAIT)
    pid = own_process.process.pid

    def alarm_is_pending() -> bool:
        status = Path(f"/proc/{pid}/status").read_text()
        pending = next(line for line in status.splitlines() if line.startswith("ShdPnd"))
        return bool(int(pending.split()[1], 16) & 1 << (signal.SIGALRM - 1))

    await eventually(alarm_is_pending)
    assert await own_process.end(signal.SIGCONT) == -signal.SIGALRM


@pytest.mark.parametrize("same_name", [False, True])
async def test_a_start_with_the_wrong_key_names_the_missing_one_in_one_line(
    own_process: Any, service: Any, sandbox: Any, keys: Any, tmp_path: Path, same_name: bool
) -> None:
    await service.add(await sandbox.account())
    (own,) = keys.keks("reseller").glob("*.key")
    (tmp_path / (own.name if same_name else "other.key")).write_bytes(os.urandom(32))
    process = own_process.launch(KEYS__KEK_DIR=str(tmp_path))
    assert await asyncio.to_thread(process.wait, 30) != 0
    (line,) = own_process.log.read_text().splitlines()
    assert "KEYS__KEK_DIR" in line
    assert own.stem in line


async def test_no_secret_is_ever_written_or_repeated(
    own_process: Any, deployment: Any, sandbox: Any, database: Any, order_of: Order
) -> None:
    service = await own_process.start(LOG_LEVEL="DEBUG")
    account = await sandbox.account()
    canary = f"canary-{uuid.uuid4().hex}"
    change = {"password": canary}
    await sandbox.ask("PATCH", f"/logins/{account['login']['id']}", json=change)
    account["login"]["password"] = canary
    refused = await service.verify(account, password=f"wrong-{canary}")
    assert (refused.status_code, refused.json()["code"]) == (422, "credentials_refused")
    invalid = await service.verify(account, username=f"{canary}:")
    reseller = await service.add(account, buying=True)
    sent = await service.send(reseller, order_of(account), f"{uuid.uuid4()}/1")
    assert sent.json()["status"] == 200
    worse = await service.change(reseller, credentials={"password": f"worse-{canary}"})
    assert (worse.status_code, worse.json()["code"]) == (422, "credentials_refused")
    again = await service.change(reseller, credentials={"password": canary})
    assert again.status_code == 200
    key = account["login"]["subscription_key"]
    for answer in (refused, invalid, sent, worse, again):
        assert canary not in answer.text
        assert key not in answer.text
    subject = f"reseller/{reseller['id']}".encode()
    facts = await records(
        deployment.kafka,
        "reseller.added",
        "reseller.buying-enabled",
        "reseller.updated",
        until=lambda read: len({r.topic for r in read if subject in r.value}) == 3,
    )
    log = own_process.log.read_bytes()
    assert b"reseller_id" in log or b"attempt" in log
    documents = [
        str(document)
        for name in ("resellers", "reseller_verifications", "egress", "accounts")
        async for document in database[name].find({})
    ]
    for secret in (canary, key):
        assert secret.encode() not in log
        assert not [record for record in facts if secret.encode() in record.value]
        assert not [document for document in documents if secret in document]
