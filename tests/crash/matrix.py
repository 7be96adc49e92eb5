"""Reaches every cell of the matrix: a point, in a program, crashed in one way."""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from crash_points import HOWS, POINTS
from integration.conftest import TIMES
from ports import Ports
from stack import Stack

from crash.armory import Armory, Hit, recover, settle
from crash.flows import FLOWS
from crash.judge import endings, judge
from crash.second import SecondWorker
from crash.site import PATIENCE, Site

HOME = Path(__file__).resolve().parents[2] / ".crash"
LANES = (("order", "reseller"), ("gateway", "tenant-connection", "subscription", "audit"))
"""Programs that crash one after the other; the lanes run side by side."""
SCALED = {**TIMES, "LEASE_SECONDS": "2", "SETTLE_AFTER_SECONDS": "4"}
ROUNDS_PER_STACK = 2
"""The stand-in for MongoDB uses no plain indexes: a stack that has bought for long gets slow."""
SHOPS, TRIES = 14, 3


@dataclass(frozen=True)
class Cell:
    """One point in one program, crashed in one way; and how the flow that leads there ends."""

    program: str
    point: str
    how: str
    flow: str
    end: str

    def __str__(self) -> str:
        return f"{self.point} in {self.program} by {self.how}"


@dataclass
class Strike:
    """One flow that was to crash in a cell; times are seconds since the epoch."""

    cell: Cell
    began: float
    flow: "Future[str]"
    hit: Hit | None = None
    back: float = 0.0
    ended: float = 0.0


@dataclass
class Book:
    """What happened, over all stacks."""

    strikes: list[Strike] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def cells(only: str, sending: bool) -> list[Cell]:
    """The cells to be reached; `sending` leaves the kills where an order is on its way."""
    return [
        Cell(program, point.name, how, flow, point.ends[how])
        for point in POINTS
        for program, flow in point.reached.items()
        for how in HOWS
        if only in point.name and (not sending or (point.sends and how == "kill"))
    ]


def say(text: str) -> None:
    """A line of progress."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


class Lane:
    """Crashes its programs one after the other; flows that were hit go on beside that, or, when it is
    calm, to their ends before the next crash."""

    def __init__(
        self, site: Site, second: SecondWorker | None, pool: ThreadPoolExecutor, calm: bool
    ) -> None:
        self._site, self._second, self._pool, self._calm = site, second, pool, calm
        self.strikes: list[Strike] = []

    def run(self, wanted: list[Cell], rounds: int) -> None:
        """Reach every cell once in each round."""
        for number in range(1, rounds + 1):
            for cell in wanted:
                if not any(self._strike(cell) for _ in range(TRIES)):
                    say(f"NOT REACHED: {cell}")
            say(f"round {number} of {rounds}: {len(wanted)} cells")

    def _strike(self, cell: Cell) -> bool:
        if cell.how == "kill":
            settle(self._site.stack, cell.program)
        armed: list[str] = []

        def arm() -> None:
            armed.append(self._site.armory.arm(cell.program, cell.point, cell.how))

        flow = self._pool.submit(FLOWS[cell.flow], self._site, arm)
        strike = Strike(cell, time.time(), flow)
        flow.add_done_callback(lambda _: setattr(strike, "ended", time.time()))
        self.strikes.append(strike)
        strike.hit = self._hit(armed, flow)
        for id in armed:
            self._site.armory.disarm(id)
        if strike.hit is not None:
            strike.back = recover(self._site.stack, self._second, strike.hit)
        if self._calm:
            flow.exception(PATIENCE * 2)
        return strike.hit is not None

    def _hit(self, armed: list[str], flow: "Future[str]") -> Hit | None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            over = flow.done()
            hit = self._site.armory.hit(armed[0]) if armed else None
            if hit is not None or over:
                return hit
            time.sleep(0.02)
        return None


def run(wanted: list[Cell], rounds: int, calm: bool) -> Book:
    """Reach every cell in every round, on a fresh system for every few of them."""
    shutil.rmtree(HOME, ignore_errors=True)
    book = Book()
    for number, first in enumerate(range(0, rounds, ROUNDS_PER_STACK), start=1):
        # every other system has two workers of the order service: one takes over from the other
        taken_over = number % 2 == 0
        with _system(number, wanted, taken_over) as (site, second):
            lanes = [Lane(site, second, ThreadPoolExecutor(32), calm) for _ in LANES]
            _run_lanes(lanes, wanted, min(ROUNDS_PER_STACK, rounds - first))
            say(f"system {number}: waiting for its flows to end")
            strikes = [strike for lane in lanes for strike in lane.strikes]
            for strike in strikes:
                strike.flow.exception()
            wrong = [*judge(site), *endings(strikes, site.armory.hits())]
            book.wrong += [f"system {number}: {problem}" for problem in wrong]
            book.strikes += strikes
    return book


@contextlib.contextmanager
def _system(
    number: int, wanted: list[Cell], two_workers: bool
) -> Iterator[tuple[Site, SecondWorker | None]]:
    home = HOME / f"system-{number}"
    armory = Armory(home / "crash")
    stack = Stack(home, Ports.free(), environment=SCALED | armory.environment)
    say(f"system {number}: starting" + (" with two workers of the order service" * two_workers))
    with contextlib.ExitStack() as ending:
        stack.up()
        ending.callback(stack.down)
        second = SecondWorker(stack) if two_workers else None
        if second is not None:
            ending.callback(second.close)
        needed = [cell.flow.endswith("connected") for cell in wanted]
        twice = [cell.flow == "reconnected" for cell in wanted]
        connecting = sum(needed) + sum(twice)
        branches = ROUNDS_PER_STACK * TRIES * connecting
        site = Site(stack, armory, min(SHOPS, 2 + len(wanted)), branches)
        ending.callback(site.close)
        yield site, second


def _run_lanes(lanes: list[Lane], wanted: list[Cell], rounds: int) -> None:
    with ThreadPoolExecutor(len(lanes)) as pool:
        running = [
            pool.submit(lane.run, [cell for cell in wanted if cell.program in programs], rounds)
            for lane, programs in zip(lanes, LANES, strict=True)
        ]
    for lane in running:
        lane.result()
