"""Outages of 20 s and restarts on the whole system; `make chaos` has the long ones."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from chaos import restarts
from chaos.market import Market
from chaos.outages import Outage
from chaos.records import History, Lines
from chaos.struck import Struck
from chaos.system import Gateway, Sandbox

SECONDS = 20.0
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def outage(system: Any, tmp_path: Path) -> AsyncIterator[Outage]:
    """Two accounts with five tenants each, which buy while something is away."""
    sandbox = Sandbox(system.stack.url("sandbox"))
    history, lines = History(tmp_path), Lines(tmp_path / "faults.jsonl")
    gateway = Gateway(system.stack.url("gateway"), sandbox, history)
    # keys of calls are made from the seed, and the tests share one gateway
    market = Market(gateway, sandbox, random.SystemRandom().randrange(1_000_000))
    await market.open(accounts=2, tenants=5)
    yield Outage(system.stack, gateway, sandbox, market, Struck(lines), SECONDS, requests=40)
    await gateway.close()
    await sandbox.close()
    history.close()
    lines.close()


async def test_requests_wait_for_an_absent_marketplace_and_leave_first_come_first_served(
    outage: Outage,
) -> None:
    findings = await outage.of_the_marketplace()
    assert findings.failures == [], findings.figures
    assert len(outage.asked) == outage.requests


async def test_an_absent_broker_costs_no_fact_and_no_process(outage: Outage) -> None:
    findings = await outage.of_the_broker()
    assert findings.failures == [], findings.figures


async def test_a_service_with_5000_aggregates_is_ready_again_within_5_s(
    system: Any, shop: Any
) -> None:
    await shop.assert_bought_once(shop.buy())
    restarts.fill(system.stack.mongo_url, 5_000)
    try:
        assert restarts.seconds_to_ready(system.stack, "order") <= restarts.READY_WITHIN
    finally:
        restarts.empty(system.stack.mongo_url)
