"""What is said of a run: how much was done to it, what that cost, and whether it held."""

from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from chaos.profiles import TIMES
from chaos.run import Run

MIB = 1024 * 1024


def told(run: Run) -> str:
    """The report of a run."""
    return "\n".join(_lines(run))


def _lines(run: Run) -> Iterator[str]:
    driver, struck, figures = run.driver, run.struck, run.figures
    yield f"profile {run.profile.name}, seed {run.seed}, evidence in {run.directory}"
    for kind in ("purchase", "purchase again", "change"):
        ends = Counter(one.status for one in driver.bought if one.kind == kind)
        yield f"{kind}: accepted {ends.total()}, {_counts(ends)}"
    yield f"refused {_counts(driver.refused)}, never answered {driver.unknown}"
    times = sorted(one.ended - one.asked for one in driver.bought if one.ended is not None)
    if times:
        last = times[min(len(times) - 1, int(len(times) * 0.95))]
        yield f"request to end: median {median(times):.1f} s, p95 {last:.1f} s"
    left = len(run.nemesis.misbehaving.planted)
    yield f"faults {struck.total} ({left} planted ones never struck)"
    for fault, number in sorted(struck.made.items()):
        yield f"  {number:>5}  {fault}"
    yield f"answers without a definite outcome {run.history.indefinite}"
    yield f"in review {len(run.person.seen)}, settled {_counts(run.person.settled)}"
    yield from _recoveries(run.nemesis.processes.recoveries)
    yield "scaled times: " + ", ".join(f"{name}={value}" for name, value in TIMES.items())
    yield from _memory(figures.memory_before, figures.memory_after)
    quiet = figures.quiesced_seconds
    yield (
        f"chaos {figures.chaos_seconds:.0f} s, "
        + (f"quiet {quiet:.0f} s after the healing" if quiet is not None else "never quiet")
    )


def _recoveries(recoveries: list[tuple[str, str, float]]) -> Iterator[str]:
    by: dict[str, list[float]] = {}
    for fault, program, seconds in recoveries:
        by.setdefault(f"{fault} {program}", []).append(seconds)
    for what, took in sorted(by.items()):
        yield (
            f"  ready again after {what}: {len(took)} times, "
            f"median {median(took):.1f} s, at most {max(took):.1f} s"
        )


def _memory(before: dict[str, int], after: dict[str, int]) -> Iterator[str]:
    parts = [
        f"{name} {after[name] / MIB:.0f} ({(after[name] - before.get(name, 0)) / MIB:+.0f})"
        for name in after
    ]
    yield "MiB resident (growth since the start): " + ", ".join(parts)


def _counts(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "none"
