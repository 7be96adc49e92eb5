"""`make chaos`: run a profile under a seed; exit code 1 when something was violated.

`standard` is followed by the outages; `short`, `soak` and `outages` are one run each. `planted` shows that
the checker has teeth: a small run for each bug of `chaos.planted.bugs` (or those named with `--bug`), which
must be caught, and one without a bug for each course of faults, which must hold.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

from chaos.calm import Calm
from chaos.checker import check
from chaos.planted.bugs import BUGS
from chaos.planted.hunt import Hunt
from chaos.profiles import PROFILES
from chaos.report import told
from chaos.run import Run

OUTAGES, PLANTED = "outages", "planted"


def main() -> int:
    """Run, report, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=[*PROFILES, OUTAGES, PLANTED], default="standard")
    parser.add_argument("--bug", action="append", choices=BUGS, help="of `planted`; default: all")
    parser.add_argument("--seed", type=int, help="repeats a run's faults; default: drawn")
    parser.add_argument(
        "--directory", type=Path, help="for the evidence; default: a new one, kept if needed"
    )
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed  # noqa: S311
    directory = options.directory or Path(tempfile.mkdtemp(prefix=f"purser-chaos-{seed}-"))
    good = True
    if options.profile == PLANTED:
        good = Hunt(options.bug or list(BUGS), seed, directory, say).go()
    elif options.profile != OUTAGES:
        good = _chaos(options.profile, seed, directory / "chaos")
    if options.profile in (OUTAGES, "standard"):
        good = _outages(seed, directory / OUTAGES) and good
    if good and options.directory is None:
        shutil.rmtree(directory)
    return 0 if good else 1


def _chaos(profile: str, seed: int, directory: Path) -> bool:
    directory.mkdir(parents=True)
    say(f"profile {profile}, seed {seed}, evidence in {directory}")
    run = Run(PROFILES[profile], seed, directory, say)
    asyncio.run(run.go())
    say(told(run))
    return _judged(directory)


def _outages(seed: int, directory: Path) -> bool:
    directory.mkdir(parents=True)
    say(f"outages, seed {seed}, evidence in {directory}")
    calm = Calm(seed, directory, say)
    asyncio.run(calm.go())
    return _judged(directory) and not calm.failures


def _judged(directory: Path) -> bool:
    report = check(directory)
    say(report.text())
    return not report.violations


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
