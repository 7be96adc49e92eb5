"""Long outages without other faults: what waits meanwhile, and how it comes back."""

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from program_settings import SERVICES
from stack import Stack

from chaos import evidence
from chaos.driver import OPEN, REQUESTS
from chaos.market import Account, Market
from chaos.struck import Struck
from chaos.system import Gateway, Json, Sandbox, new_key
from purser_common.testing import eventually

MIB = 1024 * 1024
SENDS_IN_FLIGHT = 2
"""How many orders an account may have on the way; so far may they overtake each other."""
MEMORY_GROWTH = 100 * MIB
RECOVERED_WITHIN = 30.0


@dataclass
class Findings:
    """What an outage showed: figures to be told, and what should not have been."""

    figures: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """A purchase that was accepted."""

    id: str
    po_number: str
    account: Account


@dataclass
class Outage:
    """A calm system from which one part is taken away for `seconds`."""

    stack: Stack
    gateway: Gateway
    sandbox: Sandbox
    market: Market
    struck: Struck
    seconds: float
    requests: int
    """How many purchases are asked for meanwhile."""

    def __post_init__(self) -> None:
        self.findings = Findings()
        self.asked: list[Asked] = []
        self._memory: dict[str, int] = {}
        self._most: dict[str, int] = {}
        self._calls: dict[int, Json] = {}

    # -- the marketplace ---------------------------------------------------------------------------

    async def of_the_marketplace(self) -> Findings:
        """Requests are accepted and wait; then they leave first-come per account, at its rate."""
        self._memory = await asyncio.to_thread(self.stack.memory)
        watching = asyncio.create_task(self._watch_memory())
        await self._buy_without("sandbox")
        back = time.monotonic()
        await self._until_all_executed(60.0 + self.requests)
        drained = time.monotonic() - back
        await self._until_all_end(120.0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        self._tell("requests that waited", f"{len(self.asked)} of {self.requests}")
        self._tell("drained in", f"{drained:.0f} s, {len(self.asked) / drained:.1f} a second")
        await self._judge_the_order()
        self._judge_the_rate()
        self._judge_the_memory()
        return self.findings

    async def _judge_the_order(self) -> None:
        executed: dict[str, list[str]] = defaultdict(list)
        for order in await self.sandbox.ask("GET", "/sandbox/journal"):
            executed[order["loginId"]].append(order["poNumber"])
        moved = 0
        for account in self.market.accounts:
            wanted = [one.po_number for one in self.asked if one.account is account]
            left = [po for po in map(_as_asked, executed[account.login_id]) if po in set(wanted)]
            for po_number, times in Counter(left).items():
                if times > 1:
                    self.findings.failures.append(f"{po_number} was executed {times} times")
            places = {po_number: place for place, po_number in enumerate(left)}
            for place, po_number in enumerate(wanted):
                if po_number not in places:
                    self.findings.failures.append(f"{po_number} was never executed")
                elif abs(places[po_number] - place) >= SENDS_IN_FLIGHT:
                    moved += 1
        self._tell("orders out of their turn", str(moved))
        if moved:
            self.findings.failures.append(f"{moved} orders did not leave first-come, first-served")

    def _judge_the_rate(self) -> None:
        """Sends that overlapped, and detail reads of a minute, by account."""
        for name, most, limit in (
            ("sends at once", max(self._sends_at_once(), default=0), SENDS_IN_FLIGHT),
            ("detail reads a minute", max(self._reads_of_a_minute(), default=0), 600),
        ):
            self._tell(f"most {name} of an account", str(most))
            if most > limit:
                self.findings.failures.append(f"an account had {most} {name}, {limit} are allowed")

    def _sends_at_once(self) -> Iterator[int]:
        for rows in self._by_login("POST", "/orders"):
            steps = [(_began(row), 1) for row in rows]
            steps += [(_began(row) + row["milliseconds"] / 1000, -1) for row in rows]
            yield max(itertools.accumulate(step for _, step in sorted(steps)))

    def _reads_of_a_minute(self) -> Iterator[int]:
        for rows in self._by_login("GET", None):
            times = sorted(_began(row) for row in rows if row["path"].count("/") == 2)
            for first, moment in enumerate(times):
                yield sum(1 for other in times[first:] if other < moment + 60)

    def _by_login(self, method: str, path: str | None) -> Iterator[list[Json]]:
        rows: dict[str, list[Json]] = defaultdict(list)
        for row in self._calls.values():
            if row["method"] == method and path in (None, row["path"]) and row["login_id"]:
                rows[row["login_id"]].append(row)
        yield from rows.values()

    async def _watch_memory(self) -> None:
        while True:
            for name, size in (await asyncio.to_thread(self.stack.memory)).items():
                self._most[name] = max(size, self._most.get(name, 0))
            await asyncio.sleep(2)

    def _judge_the_memory(self) -> None:
        # a program is not there while it is started again, at either of the looks
        grown = {
            name: self._most.get(name, size) - size
            for name, size in self._memory.items()
            if name in SERVICES
        }
        name = max(grown, key=lambda one: grown[one])
        self._tell("memory growth", f"at most {grown[name] / MIB:.0f} MiB, of {name}")
        if grown[name] > MEMORY_GROWTH:
            self.findings.failures.append(f"{name} grew by {grown[name] / MIB:.0f} MiB")

    # -- the broker --------------------------------------------------------------------------------

    async def of_the_broker(self) -> Findings:
        """Purchases go on; afterwards every fact is published and read, and no process has ended."""
        pids = await asyncio.to_thread(self._pids)
        await self._buy_without("kafka")
        back = time.monotonic()
        with contextlib.suppress(AssertionError):
            await eventually(lambda: evidence.is_quiet(self.stack), within=120, every=0.5)
        recovered = time.monotonic() - back
        self._tell("facts published and read", f"{recovered:.1f} s after the broker was back")
        if recovered > RECOVERED_WITHIN:
            self._tell("what waits", await evidence.what_waits(self.stack))
            self.findings.failures.append(f"recovered only after {recovered:.0f} s")
        await self._until_all_end(60.0)
        ended = [name for name, pid in await asyncio.to_thread(self._pids_of, pids) if pid]
        if ended:
            self.findings.failures.append(f"these ended meanwhile: {', '.join(ended)}")
        return self.findings

    def _pids(self) -> dict[str, int]:
        names = [name for name in self.stack.only if name != "kafka"]
        return {name: self.stack.pid(name) for name in names}

    def _pids_of(self, before: dict[str, int]) -> list[tuple[str, bool]]:
        return [(name, self.stack.pid(name) != pid) for name, pid in before.items()]

    # -- purchases ---------------------------------------------------------------------------------

    async def _buy_without(self, program: str) -> None:
        """Ask for all purchases while a program is away; it is back afterwards."""
        with self.struck.outage(program):
            await asyncio.to_thread(self.stack.stop, program, suddenly=True)
            try:
                began = time.monotonic()
                await self._ask_for_all()
                await asyncio.sleep(max(0.0, began + self.seconds - time.monotonic()))
            finally:
                await asyncio.to_thread(self.stack.start, program)

    async def _ask_for_all(self) -> None:
        """Each account's requests one after another, spread over most of the outage."""
        pace = 0.8 * self.seconds * len(self.market.accounts) / self.requests
        share = self.requests // len(self.market.accounts)
        await asyncio.gather(
            *(self._ask_for(account, share, pace) for account in self.market.accounts)
        )

    async def _ask_for(self, account: Account, share: int, pace: float) -> None:
        chance = random.Random(f"{self.market.seed}/{account.login_id}")  # noqa: S311
        lanes = list(itertools.product(account.tenants, account.products))
        if len(lanes) < share:
            raise ValueError(f"{len(lanes)} tenants with products are too few for {share} requests")
        began = time.monotonic()
        for number, (tenant, product) in enumerate(chance.sample(lanes, share)):
            await asyncio.sleep(max(0.0, began + number * pace - time.monotonic()))
            want = {
                "tenant_id": tenant.id,
                "kind": "buy",
                "product": product,
                "quantity": chance.randint(1, 9),
                "po_number": f"W{self.market.seed}-{account.login_id[6:]}-{number}",
            }
            key = new_key(chance)
            answer = await self.gateway.change(
                "purchase", "POST", REQUESTS, want, key=key, within=self.seconds
            )
            if answer is None or answer.status_code >= 400:
                told = "no definite answer" if answer is None else answer.text
                self.findings.failures.append(f"{want['po_number']} was not accepted: {told}")
            else:
                self.asked.append(Asked(answer.json()["id"], str(want["po_number"]), account))

    async def _until_all_executed(self, within: float) -> None:
        wanted = {one.po_number for one in self.asked}
        deadline = time.monotonic() + within
        left = wanted
        while left and time.monotonic() < deadline:
            await asyncio.sleep(1)
            await self._note_calls()
            orders = await self.sandbox.ask("GET", "/sandbox/journal")
            left = wanted - {_as_asked(order["poNumber"]) for order in orders}
        if left:
            self.findings.failures.append(f"{len(left)} orders were not executed in {within:.0f} s")

    async def _note_calls(self) -> None:
        try:
            rows: list[dict[str, Any]] = await self.sandbox.once("GET", "/sandbox/calls")
        except httpx.HTTPError:
            return
        for row in rows:
            self._calls.setdefault(row["n"], row)

    async def _until_all_end(self, within: float) -> None:
        deadline = time.monotonic() + within
        for one in self.asked:
            while True:
                found = await self.gateway.get(f"{REQUESTS}/{one.id}")
                if found["status"] not in OPEN or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.5)
            if found["status"] != "completed":
                said = f"{one.po_number} is {found['status']}: {found['failure']}"
                self.findings.failures.append(said)

    def _tell(self, name: str, figure: str) -> None:
        self.findings.figures[name] = figure


def _began(call: Json) -> float:
    return datetime.fromisoformat(call["time"]).timestamp()


def _as_asked(po_number: str | None) -> str:
    """Without the suffix that names the request."""
    return (po_number or "").rpartition("-")[0]
