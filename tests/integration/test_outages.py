"""Servers and services that are absent at the start, go away while working, or are killed."""

import time
import uuid
from typing import Any

import pytest
from chaos import restarts
from program_settings import SERVICES

from purser_common.testing import eventually, records

STARTED = ("order", "gateway")
REQUESTS = "/v1/license-change-requests"


def said(system: Any, service: str, since: int) -> list[str]:
    """The warnings and errors that a service wrote after so many lines."""
    lines = system.stack.log(service, lines=100_000).splitlines()[since:]
    return [line for line in lines if '"level": "info"' not in line]


def written(system: Any, service: str) -> int:
    """How many lines a service has written."""
    return len(system.stack.log(service, lines=100_000).splitlines())


@pytest.mark.parametrize(("server", "named"), [("kafka", "Kafka"), ("mongo", "MongoDB")])
async def test_services_that_start_without_a_server_say_so_in_one_line_and_wait_for_it(
    system: Any, shop: Any, server: str, named: str
) -> None:
    stack = system.stack
    stack.supervision.stop(*STARTED)
    stack.stop(server)
    try:
        before = {service: written(system, service) for service in STARTED}
        for service in STARTED:
            stack.supervision.start(service)

        def all_wait() -> bool:
            for service in STARTED:
                assert said(system, service, before[service]), f"{service} has said nothing"
            return True

        await eventually(all_wait, within=60)
        began = time.monotonic()
        # long enough for more attempts
        await eventually(lambda: time.monotonic() - began > 3, within=5)
        for service in STARTED:
            (line,) = said(system, service, before[service])
            assert f"waiting for {named}" in line
            assert not stack.is_ready(service)
    finally:
        stack.start(server)
        stack.await_ready(STARTED, within=60)
    await shop.assert_bought_once(shop.buy(), within=40)


async def test_while_mongodb_is_away_calls_get_503_and_what_was_accepted_is_bought(
    system: Any, shop: Any
) -> None:
    fault = shop.fault(kind="delay", seconds=1.5)
    accepted = shop.buy()
    key = {"Idempotency-Key": str(uuid.uuid4())}
    want = shop.want(product=shop.product)

    def struck() -> bool:
        shown = system.sandbox.get("/sandbox/faults").json()
        return any(one["id"] == fault["id"] and one["hits"] for one in shown)

    await eventually(struck, every=0.01)
    system.stack.stop("mongo", suddenly=True)
    try:
        for answer in (
            system.ask("POST", REQUESTS, want, headers=key),
            system.ask("GET", f"{REQUESTS}/{accepted['id']}"),
            system.ask("POST", "/v1/customers", {"name": "Fabrikam"}),
        ):
            assert answer.status_code == 503, answer.text
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert int(answer.headers["Retry-After"]) >= 1
    finally:
        system.stack.start("mongo")
        system.stack.await_ready(SERVICES, within=60)
    await shop.assert_bought_once(accepted, within=80)
    bought = system.call("POST", REQUESTS, want, headers=key).json()
    await shop.assert_bought_once(bought, within=40)


async def test_while_kafka_is_away_a_purchase_is_accepted_and_told_when_it_is_back(
    system: Any, shop: Any
) -> None:
    system.stack.stop("kafka", suddenly=True)
    try:
        asked = shop.buy()
        done = await shop.assert_bought_once(asked, within=40)
    finally:
        system.stack.start("kafka")
    id = done["id"].encode()
    told = await records(
        system.kafka,
        "license.purchased",
        until=lambda read: any(id in record.value for record in read),
        within=60,
    )
    assert told

    def audited() -> bool:
        found = system.get("/v1/audit-records", request_id=done["id"])["items"]
        return "purser.license.purchased.v1" in [record["type"] for record in found]

    await eventually(audited, within=60)


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_service_is_ready_again_within_5_s(system: Any, service: str) -> None:
    assert restarts.seconds_to_ready(system.stack, service) <= restarts.READY_WITHIN
    assert system.get("/v1/audit-records")["items"] is not None
