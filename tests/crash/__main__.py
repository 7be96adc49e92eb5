"""The crash matrix: every crash point in every way, on real processes, judged one by one.

    make crash                                 every cell 10 times
    make crash CELLS="--rounds 1 --only order.send"
    make crash CELLS=--sending                 the sending points once, killed (part of `make check`)

Ends with 1 when a cell was not reached as often as wanted or anything is wrong.
"""

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence

from crash.matrix import HOME, LANES, Book, Cell, cells, run, say

SECONDS = {"kill": 5.0, "stop": 4.5, "raise": 1.5}
"""What a strike takes on two cores, for the estimate."""


def main() -> int:
    """Run the matrix."""
    parser = argparse.ArgumentParser(prog="crash", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="hits wanted in each cell")
    parser.add_argument("--only", default="", help="part of a point's name")
    parser.add_argument("--sending", action="store_true", help="the sending points once, killed")
    options = parser.parse_args()
    rounds = 1 if options.sending else options.rounds
    wanted = cells(options.only, options.sending)
    if not wanted or rounds < 1:
        parser.error(f"no cell of --only {options.only} --rounds {rounds}")
    say(f"{len(wanted)} cells, {rounds} rounds: about {_minutes(wanted, rounds):.0f} minutes")
    began = time.monotonic()
    book = run(wanted, rounds, calm=options.sending)
    lacking = _lacking(wanted, rounds, book)
    told = _table(wanted, book) + _summary(wanted, book, lacking, time.monotonic() - began)
    (HOME / "report.md").write_text("\n".join(told) + "\n")
    sys.stdout.write("\n".join(told) + "\n")
    return 1 if lacking or book.wrong else 0


def _minutes(wanted: Sequence[Cell], rounds: int) -> float:
    lanes = [sum(SECONDS[c.how] for c in wanted if c.program in programs) for programs in LANES]
    return 1 + max(lanes) * rounds / 60


def _lacking(wanted: Sequence[Cell], rounds: int, book: Book) -> list[str]:
    hits = Counter(strike.cell for strike in book.strikes if strike.hit)
    return [f"{cell}: {hits[cell]} of {rounds}" for cell in wanted if hits[cell] < rounds]


def _table(wanted: Sequence[Cell], book: Book) -> list[str]:
    columns = ("point", "in", "how", "hits", "ends", "serves again s", "flow ends after s")
    lines = [_row(*columns), _row(*["---"] * len(columns))]
    for cell in wanted:
        struck = [(one, one.hit) for one in book.strikes if one.cell == cell and one.hit]
        ends = Counter(one.flow.result() for one, _ in struck if not one.flow.exception())
        told = ", ".join(f"{end} {times}" for end, times in sorted(ends.items()))
        back = _spread([one.back for one, _ in struck])
        done = _spread([max(0.0, one.ended - hit.at) for one, hit in struck])
        lines.append(
            _row(f"`{cell.point}`", cell.program, cell.how, str(len(struck)), told, back, done)
        )
    return lines


def _summary(wanted: Sequence[Cell], book: Book, lacking: list[str], seconds: float) -> list[str]:
    hits = sum(1 for strike in book.strikes if strike.hit)
    told = f"{len(wanted)} cells, {hits} hits, {len(book.wrong)} violations, {seconds:.0f} s"
    return [
        "",
        told,
        *(f"- not reached: {one}" for one in lacking),
        *(f"- {w}" for w in book.wrong),
    ]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _spread(seconds: Sequence[float]) -> str:
    """Median and longest."""
    if not seconds:
        return "—"
    return f"{statistics.median(seconds):.1f} / {max(seconds):.1f}"


if __name__ == "__main__":
    sys.exit(main())
