"""From an accepted purchase to an outside consumer that sees `license.purchased`.

    PYTHONPATH=deploy/local .venv/bin/python benchmarks/purchase_latency.py [--purchases 60]

A whole stack of its own, on free ports, with a marketplace that completes orders at once. Exits with 1
when the median is above the goal.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer
from ports import Ports
from stack import Stack

from purser_cli.gateway import Gateway
from purser_cli.journey import Journey
from purser_cli.login import fetch

STAGES = ("order.placed", "order.completed", "license.purchased")
INSTANT = {"SANDBOX_SUBMITTED_SECONDS": "0", "SANDBOX_PROCESSING_SECONDS": "0"}
REQUESTS = "/v1/license-change-requests"


class Seen:
    """When an outside consumer saw each fact of each request, in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.at: dict[tuple[str, str], float] = {}
        self._purchased: dict[str, asyncio.Event] = {}

    async def follow(self, consumer: AIOKafkaConsumer) -> None:
        """Note what comes, until cancelled."""
        async for record in consumer:
            now = time.perf_counter()
            request = json.loads(record.value)["subject"].partition("/")[2]
            self.at.setdefault((request, record.topic), now)
            if record.topic == STAGES[-1]:
                self._event(request).set()

    async def purchased(self, request: str, within: float = 30.0) -> None:
        """Wait for a request's last fact. Raises TimeoutError."""
        async with asyncio.timeout(within):
            await self._event(request).wait()

    def _event(self, request: str) -> asyncio.Event:
        return self._purchased.setdefault(request, asyncio.Event())


@contextlib.asynccontextmanager
async def outside(kafka: str) -> AsyncIterator[Seen]:
    """A consumer as others would run one, with the library's own settings."""
    consumer = AIOKafkaConsumer(
        *STAGES, bootstrap_servers=kafka, group_id="benchmark", auto_offset_reset="latest"
    )
    await consumer.start()
    seen = Seen()
    following = asyncio.create_task(seen.follow(consumer))
    try:
        # `latest` is decided at the first fetch: facts that come before it would not be seen
        await consumer.seek_to_end()
        yield seen
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await consumer.stop()


def want(gateway: str, token: str, sandbox: str) -> dict[str, Any]:
    """Everything that a purchase needs, made through the gateway; answers a purchase's body."""
    with contextlib.closing(Gateway(gateway, token)) as calls:
        journey = Journey(calls, sandbox)
        account = journey.accounts()[0]
        reseller = journey.reseller(account["login"], "Northwind Cloud")
        customer = journey.customer(account, reseller)
        tenant = journey.connect(journey.consent(journey.tenant(customer)), reseller, customer)
        product = journey.product(reseller)
    return {"tenant_id": tenant["id"], "kind": "buy", "product": product, "quantity": 1}


async def purchase(http: httpx.AsyncClient, seen: Seen, body: dict[str, Any]) -> dict[str, float]:
    """One purchase: milliseconds from its acceptance to each fact, and what the call itself took."""
    keyed = {"Idempotency-Key": str(uuid.uuid4())}
    began = time.perf_counter()
    body = {**body, "po_number": f"PO-{keyed['Idempotency-Key'][:8]}"}
    answer = await http.post(REQUESTS, json=body, headers=keyed)
    accepted = time.perf_counter()
    if answer.status_code != 202:
        raise SystemExit(f"the purchase was not accepted: {answer.status_code} {answer.text}")
    id = answer.json()["id"]
    await seen.purchased(id)
    stages = {stage: seen.at[id, stage] - accepted for stage in STAGES if (id, stage) in seen.at}
    seconds = {"accepted": accepted - began, **stages}
    return {name: value * 1000 for name, value in seconds.items()}


async def round_trips(http: httpx.AsyncClient, path: str, times: int = 100) -> list[float]:
    """Milliseconds of so many GETs, one after the other."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        (await http.get(path)).raise_for_status()
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def line(name: str, values: Sequence[float]) -> str:
    """A row of the figures: median, 95th percentile, largest."""
    p95 = statistics.quantiles(values, n=20)[-1]
    return f"{name:<44} {statistics.median(values):8.1f} {p95:8.1f} {max(values):8.1f}"


async def measure(stack: Stack, purchases: int, warm_up: int) -> float:
    """Run the purchases, print the figures, answer the median of what counts."""
    gateway, sandbox = stack.url("gateway"), stack.url("sandbox")
    token = fetch(f"{sandbox}/oidc", "admin", "purser-admin")
    body = await asyncio.to_thread(want, gateway, token, sandbox)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        outside(stack.kafka) as seen,
        httpx.AsyncClient(base_url=gateway, headers=headers, timeout=60) as http,
    ):
        runs = [await purchase(http, seen, body) for _ in range(warm_up + purchases)][warm_up:]
        bare = await round_trips(http, "/health/live")
        read = await round_trips(http, "/v1/review-items?limit=1")
    took = {name: [run[name] for run in runs] for name in ("accepted", *STAGES)}
    sys.stdout.write(
        f"\n{purchases} purchases, one after the other; milliseconds{'median':>12}{'p95':>9}{'max':>9}\n"
    )
    rows = [
        ("POST until 202", took["accepted"]),
        *((f"202 until an outsider sees {stage}", took[stage]) for stage in STAGES),
        ("bare round trip (GET /health/live)", bare),
        ("read through gateway and owner", read),
    ]
    sys.stdout.write("\n".join(line(name, values) for name, values in rows) + "\n")
    median = statistics.median(took[STAGES[-1]])
    ratio = median / statistics.median(read)
    sys.stdout.write(f"seen after as long as {ratio:.1f} reads through gateway and owner take\n")
    return median


def main() -> int:
    """Measure on a stack of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--purchases", type=int, default=60)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--goal", type=float, default=300.0, help="median in milliseconds")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="purser-benchmark-") as home:
        stack = Stack(Path(home), Ports.free(), environment=INSTANT)
        stack.up()
        try:
            median = asyncio.run(measure(stack, given.purchases, given.warm_up))
        finally:
            stack.down()
    good = median <= given.goal
    sys.stdout.write(f"goal: {given.goal:.0f} ms: {'met' if good else 'MISSED'}\n")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
