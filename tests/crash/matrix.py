"""The crash matrix: every crash point in every way, on real processes, judged one by one.

    make crash                                  every cell 10 times
    make crash CRASH="--rounds 1 --only order.send"
    make crash CRASH="--quick"                  the sending points once, killed (part of `make check`)

Ends with 1 when a cell was not reached as often as wanted or anything is wrong.
"""

import argparse
import shutil
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from armory import Armory, Hit, recover, settle
from conftest import TIMES
from crash_points import HOWS, POINTS
from flows import BUYING, FLOWS, PATIENCE, Site
from judge import judge
from ports import Ports
from stack import Stack

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".crash"
LANES = (("order", "reseller"), ("gateway", "tenant-connection", "subscription", "audit"))
"""Programs that crash one after the other; the lanes run side by side."""
SCALED = {**TIMES, "LEASE_SECONDS": "3", "SETTLE_AFTER_SECONDS": "4"}
ROUNDS_PER_STACK = 2
"""The stand-in for MongoDB uses no plain indexes: a stack that has bought for long gets slow."""
SHOPS, TRIES = 14, 3
SECONDS = {"kill": 5.0, "stop": 4.5, "raise": 1.5}
"""What a strike takes on two cores, for the estimate."""


@dataclass(frozen=True)
class Cell:
    """One point in one program, crashed in one way."""

    program: str
    point: str
    how: str
    flow: str
    end: str


@dataclass
class Strike:
    """One flow that was to crash in a cell."""

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


def cells(only: str, quick: bool) -> list[Cell]:
    """The cells to be reached."""
    return [
        Cell(program, point.name, how, flow, point.ends[how])
        for point in POINTS
        for program, flow in point.reached.items()
        for how in HOWS
        if only in point.name and (not quick or (point.sends and how == "kill"))
    ]


def say(text: str) -> None:
    """A line of progress."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


class Lane:
    """Crashes its programs one after the other, while flows that were hit go on to their ends."""

    def __init__(self, site: Site, pool: ThreadPoolExecutor, book: Book) -> None:
        self._site, self._pool, self._book = site, pool, book

    def run(self, wanted: list[Cell]) -> None:
        """Reach every cell once."""
        for cell in wanted:
            if not any(self._strike(cell) for _ in range(TRIES)):
                say(f"NOT REACHED {cell.point} in {cell.program} by {cell.how}")

    def _strike(self, cell: Cell) -> bool:
        if cell.how == "kill":
            settle(self._site.stack, cell.program)
        armed: list[str] = []

        def arm() -> None:
            armed.append(self._site.armory.arm(cell.program, cell.point, cell.how))

        flow = self._pool.submit(FLOWS[cell.flow], self._site, arm)
        strike = Strike(cell, time.time(), flow)
        flow.add_done_callback(lambda _: setattr(strike, "ended", time.time()))
        self._book.strikes.append(strike)
        strike.hit = self._hit(armed, flow)
        for id in armed:
            self._site.armory.disarm(id)
        if strike.hit is not None:
            strike.back = recover(self._site.stack, strike.hit)
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


def run_stack(number: int, wanted: list[Cell], rounds: int, book: Book) -> None:
    """Start a system, reach every cell in every round, let it come to rest, and judge."""
    home = HOME / f"stack-{number}"
    armory = Armory(home / "crash")
    stack = Stack(home, Ports.free(), environment=SCALED | armory.environment)
    say(f"stack {number}: starting in {home}")
    mine = Book()
    stack.up()
    try:
        branches = rounds * TRIES * sum(cell.flow.endswith("connected") for cell in wanted)
        site = Site(stack, armory, min(SHOPS, 2 + len(wanted)), branches)
        try:
            with ThreadPoolExecutor(64) as pool:
                _run_lanes([Lane(site, pool, mine) for _ in LANES], wanted, rounds)
                say(f"stack {number}: waiting for the flows to end")
            wrong = [*judge(site), *_endings(mine.strikes, armory.hits())]
            book.wrong += [f"stack {number}: {problem}" for problem in wrong]
            book.strikes += mine.strikes
        finally:
            site.close()
    finally:
        stack.down()


def _run_lanes(lanes: list[Lane], wanted: list[Cell], rounds: int) -> None:
    failures: list[BaseException] = []

    def guarded(work: Callable[[list[Cell]], None], cells: list[Cell]) -> None:
        try:
            for round in range(rounds):
                work(cells)
                say(f"round {round + 1} of {rounds} done with {len(cells)} cells")
        except BaseException as error:  # noqa: BLE001  told by the thread that started this one
            failures.append(error)

    threads = [
        threading.Thread(
            target=guarded, args=(lane.run, [cell for cell in wanted if cell.program in programs])
        )
        for lane, programs in zip(lanes, LANES, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _endings(strikes: list[Strike], hits: list[Hit]) -> Iterator[str]:
    """Flows that ended otherwise than the crashes on their way allow."""
    ends = {(p.name, how): end for p in POINTS for how, end in p.ends.items()}
    for strike in strikes:
        if strike.flow.cancelled():
            continue
        cell, error = strike.cell, strike.flow.exception()
        if error is not None:
            yield f"{cell.point} in {cell.program} by {cell.how}: {error or type(error).__name__}"
            continue
        allowed = {cell.end, "needs_review" if cell.flow == "absent" else "completed"}
        if cell.flow in BUYING:
            met = [hit for hit in hits if strike.began <= hit.at <= strike.ended]
            allowed |= {ends[hit.point, hit.how] for hit in met}
        if strike.flow.result() not in allowed:
            told = f"ended {strike.flow.result()}, not {' or '.join(sorted(allowed))}"
            yield f"{cell.point} in {cell.program} by {cell.how}: {cell.flow} {told}"


def report(wanted: list[Cell], rounds: int, book: Book, seconds: float) -> tuple[str, bool]:
    """The table of cells and what is wrong; and whether all is well."""
    lines = ["| point | in | how | hits | ends | serves again s | flow ends after s |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    missing = []
    for cell in wanted:
        hit = [s for s in book.strikes if s.cell == cell and s.hit]
        if len(hit) < rounds:
            missing.append(f"{cell.point} in {cell.program} by {cell.how}: {len(hit)} of {rounds}")
        ends = Counter(s.flow.result() for s in hit if not s.flow.exception())
        told = ", ".join(f"{end} {times}" for end, times in sorted(ends.items()))
        back = _spread([s.back for s in hit])
        done = _spread([s.ended - s.hit.at for s in hit if s.hit])
        lines.append(
            f"| `{cell.point}` | {cell.program} | {cell.how} | {len(hit)} | {told} | {back} | {done} |"
        )
    hits = sum(1 for strike in book.strikes if strike.hit)
    lines += [
        "",
        f"{len(wanted)} cells, {hits} hits, {len(book.wrong)} violations, {seconds:.0f} s",
    ]
    lines += [f"- not reached: {one}" for one in missing] + [f"- {one}" for one in book.wrong]
    return "\n".join(lines) + "\n", not missing and not book.wrong


def _spread(seconds: list[float]) -> str:
    """Median and longest."""
    if not seconds:
        return "—"
    return f"{statistics.median(seconds):.1f} / {max(seconds):.1f}"


def main() -> int:
    """Run the matrix."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="hits wanted in each cell")
    parser.add_argument("--only", default="", help="part of a point's name")
    parser.add_argument("--quick", action="store_true", help="sending points, killed once")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    wanted = cells(options.only, options.quick)
    if not wanted or rounds < 1:
        parser.error(f"no cell has {options.only!r} in its point's name")
    estimate = max(
        sum(SECONDS[cell.how] for cell in wanted if cell.program in programs) for programs in LANES
    )
    say(f"{len(wanted)} cells, {rounds} rounds: about {1 + estimate * rounds / 60:.0f} minutes")
    began, book = time.monotonic(), Book()
    shutil.rmtree(HOME, ignore_errors=True)
    for number, first in enumerate(range(0, rounds, ROUNDS_PER_STACK), start=1):
        run_stack(number, wanted, min(ROUNDS_PER_STACK, rounds - first), book)
    told, good = report(wanted, rounds, book, time.monotonic() - began)
    (HOME / "report.md").write_text(told)
    sys.stdout.write(told)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
