"""What a page of a list costs the gateway when there are many documents, against when there are few.

    PYTHONPATH=deploy/local .venv/bin/python benchmarks/list_pages.py [--many 5000]

The gateway with its servers alone, on free ports. It hears of the documents as it always does, by facts. Exits
with 1 when a page costs more than the goal.
"""

import argparse
import asyncio
import contextlib
import copy
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from ports import Ports
from stack import Stack

from purser_cli.login import fetch
from purser_events.envelope import TYPE_HEADER

EXAMPLES = Path(__file__).resolve().parents[1] / "libs/events/examples"
PROGRAMS = ("kafka", "mongo", "sandbox", "gateway")
TENANT = str(uuid.uuid4())
LISTS = {
    "/v1/resellers": "reseller.added",
    "/v1/customers": "customer.added",
    "/v1/tenants": "tenant.registered",
    f"/v1/tenants/{TENANT}/subscriptions": "subscription.activated",
    "/v1/license-change-requests": "license.change-requested",
}
"""List → the fact that its documents come by; all of them belong to one tenant where they can."""
TIMES = ("added_at", "registered_at", "requested_at")
LIMIT, RUN = 50, 10
PACE = 0.2
"""Seconds from call to call: a database that answers later must not find the processor's caches colder."""

Json = dict[str, Any]


def fact(topic: str, number: int) -> Json:
    """The topic's example as a document of its own."""
    one: Json = copy.deepcopy(example(topic))
    state, id = one["data"]["state"], str(uuid.uuid4())
    state["id"] = id
    one |= {"id": str(uuid.uuid4()), "subject": f"{one['subject'].partition('/')[0]}/{id}"}
    for name in TIMES:
        if name in state:
            at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
            state[name] = at.isoformat()
    if "tenant_id" in state:
        state["tenant_id"] = TENANT
    if "display_name" in state:
        state["display_name"] = f"Reseller {id}"
    return one


def example(topic: str) -> Json:
    """A fact as the published language shows it."""
    found: Json = json.loads((EXAMPLES / f"purser.{topic}.v1.json").read_text())
    return found


async def tell(kafka: str, topic: str, first: int, last: int) -> None:
    """Publish so many facts."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=20)
    await producer.start()
    try:
        for number in range(first, last):
            one = fact(topic, number)
            value, headers = json.dumps(one).encode(), [(TYPE_HEADER, one["type"].encode())]
            key = one["data"]["state"]["id"].encode()
            await producer.send(topic, value, key=key, headers=headers)
    finally:
        await producer.stop()


async def listed(http: httpx.AsyncClient, path: str, wanted: int, within: float = 300.0) -> str:
    """Wait until the list has so many documents; answers the cursor of its second page."""
    async with asyncio.timeout(within):
        while True:
            pages, cursor, second = 0, "", ""
            while pages * 200 < wanted:
                page = (await http.get(f"{path}?limit=200{cursor}")).raise_for_status().json()
                pages += 1
                if page["next"] is None:
                    break
                cursor = f"&cursor={page['next']}"
                second = second or cursor
            if pages * 200 >= wanted and (page["next"] or len(page["items"]) >= wanted % 200):
                return second
            await asyncio.sleep(0.5)


def processor(pid: int) -> float:
    """Seconds that all threads of a process have had of a processor, to the nanosecond."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def idle(pid: int, seconds: float = 3.0) -> float:
    """Processor seconds that the gateway takes in a second without calls."""
    before = processor(pid)
    time.sleep(seconds)
    return (processor(pid) - before) / seconds


async def cost(http: httpx.AsyncClient, path: str, pid: int, times: int, rest: float) -> float:
    """Milliseconds of the gateway's processor for a first page, without what it takes at rest.

    The least of several runs: what else the machine does makes the others dearer, never cheaper.
    """
    runs = []
    for _ in range(times // RUN):
        before, began = processor(pid), time.monotonic()
        for _ in range(RUN):
            next_one = time.monotonic() + PACE
            (await http.get(f"{path}?limit={LIMIT}")).raise_for_status()
            await asyncio.sleep(max(0.0, next_one - time.monotonic()))
        took = processor(pid) - before - rest * (time.monotonic() - began)
        runs.append(took * 1000 / RUN)
    return min(runs)


async def measure(
    stack: Stack, few: int, many: int, times: int, lists: Mapping[str, str] = LISTS
) -> float:
    """Fill the lists, print what a page costs before and after, answer the largest ratio."""
    token = fetch(f"{stack.url('sandbox')}/oidc", "admin", "purser-admin")
    headers, pid = {"Authorization": f"Bearer {token}"}, stack.pid("gateway")
    costs: dict[str, list[float]] = {path: [] for path in lists}
    async with httpx.AsyncClient(
        base_url=stack.url("gateway"), headers=headers, timeout=60
    ) as http:
        for first, last in ((0, few), (few, many)):
            for path, topic in lists.items():
                await tell(stack.kafka, topic, first, last)
                await listed(http, path, last)
            rest = await asyncio.to_thread(idle, pid)
            for path in lists:
                costs[path].append(await cost(http, path, pid, times, rest))
    sys.stdout.write(f"\nmilliseconds of the gateway's processor for a page of {LIMIT}\n")
    sys.stdout.write(f"{'list':<48}{few:>10}{many:>10}{'ratio':>8}\n")
    ratios = {path: after / before for path, (before, after) in costs.items()}
    for path, (before, after) in costs.items():
        shown = path.replace(TENANT, "{id}")
        sys.stdout.write(f"{shown:<48}{before:10.2f}{after:10.2f}{ratios[path]:8.2f}\n")
    return max(ratios.values())


def main() -> int:
    """Measure on a stack of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--few", type=int, default=100)
    parser.add_argument("--many", type=int, default=5_000)
    parser.add_argument("--times", type=int, default=40, help="pages read of each list")
    parser.add_argument("--goal", type=float, default=1.3, help="largest ratio")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="purser-benchmark-") as home:
        stack = Stack(Path(home), Ports.free(), only=PROGRAMS)
        stack.up()
        try:
            ratio = asyncio.run(measure(stack, given.few, given.many, given.times))
        finally:
            stack.down()
    good = ratio <= given.goal
    sys.stdout.write(f"goal: {given.goal:g} times: {'met' if good else 'MISSED'}\n")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
