"""What the alarms watch: each figure is there, rises when it should, and falls again."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

from purser_common.testing import eventually

Order = Callable[[dict[str, Any]], dict[str, Any]]


async def figures(service: Any) -> dict[str, float]:
    text = (await service.http.get("/metrics")).text
    rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, value in rows}


async def test_an_account_that_is_paused_uncertain_and_stopped_is_seen_and_seen_well_again(
    service: Any, sandbox: Any, order_of: Order
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    base, id = f"/internal/accounts/{reseller['id']}", reseller["id"]
    attempt = f"{uuid.uuid4()}/1"
    assert (await service.call("PUT", f"{base}/sends/{attempt}", peer="order")).is_success
    before = await figures(service)
    await sandbox.fault(account, route="POST /orders", kind="rate_limit", retry_after=7)
    await service.send(reseller, order_of(account), f"{uuid.uuid4()}/1")
    for n in range(3):
        await service.call("PUT", f"{base}/unresolved/r{n}", peer="order")
    stop = {"scope": id, "reason": "looking into it"}
    stopped = await service.call("POST", "/v1/buying-stops", json=stop)
    await service.call("GET", base, peer="order")

    async def shown(*expected: float) -> bool:
        now = await figures(service)
        names = ("account_paused", "account_breaker_open", "account_sends_in_flight")
        series = [f'{name}{{reseller_id="{id}"}}' for name in (*names, "account_unresolved_orders")]
        series.append(f'buying_stopped{{scope="{id}"}}')
        return tuple(now.get(one, 0.0) for one in series) == expected

    await eventually(lambda: shown(1, 1, 1, 3, 1), within=12)
    after = await figures(service)
    for counter in ("marketplace_pauses_total", 'sends_refused_total{reason="buying_stopped"}'):
        assert after[counter] == before.get(counter, 0) + 1
    path = f"/v1/buying-stops/{id}?confirm=true"
    await service.call("DELETE", path, etag=stopped.headers["etag"])
    for n in range(3):
        await service.call("DELETE", f"{base}/unresolved/r{n}", peer="order")
    await eventually(lambda: shown(0, 0, 1, 0, 0), within=20)


async def test_reads_beyond_the_budget_are_counted(
    service: Any, sandbox: Any, deployment: Any
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    customer = account["resellers"][0]["customers"][0]["id"]
    path = f"/internal/marketplace/{reseller['id']}/customers/{customer}"
    series = 'read_budget_exhausted_total{priority="normal"}'
    before = (await figures(service)).get(series, 0)
    async with deployment.start(accounts={"reads_per_minute": 1}) as (one, _):
        statuses = [(await one.call("GET", path, peer="order")).status_code for _ in range(3)]
        assert statuses == [200, 503, 503]
        assert (await figures(one))[series] == before + 2


async def test_a_send_whose_outcome_is_unknown_is_counted(
    service: Any, sandbox: Any, order_of: Order
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    series = 'orders_sent_total{sent="unknown"}'
    before = (await figures(service)).get(series, 0)
    await sandbox.fault(account, route="POST /orders", kind="reset")
    await service.send(reseller, order_of(account), f"{uuid.uuid4()}/1")
    assert (await figures(service))[series] == before + 1


async def test_a_send_that_is_not_answered_yet_is_counted(
    service: Any, sandbox: Any, order_of: Order
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account, buying=True)
    await sandbox.fault(account, route="POST /orders", kind="delay", seconds=1.5)
    sending = asyncio.create_task(service.send(reseller, order_of(account), f"{uuid.uuid4()}/1"))

    async def in_flight() -> float:
        return (await figures(service))["orders_in_flight"]

    await eventually(in_flight, every=0.05)
    await sending
    assert await in_flight() == 0


async def test_refused_credentials_are_counted(service: Any, sandbox: Any) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    await sandbox.fault(account, route="GET /customers", kind="status", status=403, times=None)
    before = await figures(service)
    await service.call("GET", f"/v1/resellers/{reseller['id']}/customers")
    after = await figures(service)
    grown = [
        series
        for series, value in after.items()
        if series.startswith("marketplace_calls_total") and value > before.get(series, 0)
    ]
    assert any('status="403"' in series for series in grown), grown
