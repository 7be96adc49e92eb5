"""Runs each bug's course with the bug in it, and each course without any."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crash.armory import Armory

from chaos.checker import Violation, check
from chaos.planted.bugs import BUGS, Bug
from chaos.planted.courses import COURSES
from chaos.run import Run

STARTUP = Path(__file__).resolve().parent / "startup"
TESTS = STARTUP.parents[2]
FOR_GOOD = frozenset({"I1", "I11"})
"""A second order, and a slot that two requests held, stay what they are."""


@dataclass(frozen=True)
class Finding:
    """What came of one run: of what, whether it is as it should be, and what was seen."""

    of: str
    seed: int
    good: bool
    seen: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.of}, seed {self.seed}, {self.seconds:.0f} s: {self.seen}"


@dataclass
class Hunt:
    """Some of the bugs under one seed, with the evidence of each run below `directory`."""

    bugs: Sequence[str]
    seed: int
    directory: Path
    say: Callable[[str], None] = print

    def go(self) -> bool:
        """Whether every bug was caught, and no course without a bug had a violation."""
        courses = dict.fromkeys(BUGS[name].course for name in self.bugs)
        controls = [self._control(course) for course in courses]
        found = [self._hunted(name, BUGS[name]) for name in self.bugs]
        for finding in (*controls, *found):
            self.say(str(finding))
        caught = sum(finding.good for finding in found)
        self.say(f"{caught} of {len(found)} caught")
        return caught == len(found) and all(finding.good for finding in controls)

    def _control(self, course: str) -> Finding:
        """What the faults alone do: else what they show would be taken for the bug."""
        violations, quiet, seconds = self._run(course, f"without a bug, {course}", None)
        good, seen = clean(violations, quiet)
        return Finding(f"without a bug, {course}", self.seed, good, seen, seconds)

    def _hunted(self, name: str, bug: Bug) -> Finding:
        violations, quiet, seconds = self._run(bug.course, f"{name}: {bug.meaning}", name)
        good, seen = caught(bug.invariants, violations, quiet)
        return Finding(name, self.seed, good, seen, seconds)

    def _run(
        self, course_name: str, title: str, bug: str | None
    ) -> tuple[list[Violation], bool, float]:
        began = time.monotonic()
        course = COURSES[course_name]
        directory = self.directory / (bug or f"without-{course_name}")
        directory.mkdir(parents=True)
        self.say(f"{title}, seed {self.seed}, evidence in {directory}")
        armory = Armory(directory / "crash")
        run = Run(
            course.profile,
            self.seed,
            directory,
            self.say,
            deck=course.deck(armory),
            modes=course.modes,
            own=planted(bug) if bug else {},
            armory=armory,
        )
        asyncio.run(run.go())
        report = check(directory)
        self.say(report.text())
        quiet = run.figures.quiesced_seconds is not None
        return report.violations, quiet, time.monotonic() - began


def clean(violations: Sequence[Violation], quiet: bool) -> tuple[bool, str]:
    """Whether a run without a bug is as it should be, and what was seen."""
    seen = [_told(violation) for violation in violations]
    if not quiet:
        seen.append("it did not come to rest")
    return not seen, "; ".join(seen) or "nothing violated"


def caught(
    invariants: frozenset[str], violations: Sequence[Violation], quiet: bool
) -> tuple[bool, str]:
    """Whether one of the invariants was violated, and what was seen.

    In a run that did not come to rest facts and orders may still be on their way, so that only what no
    rest can undo counts: a bug may also be what keeps it from resting.
    """
    found = [
        violation
        for violation in violations
        if violation.invariant in invariants and (quiet or violation.invariant in FOR_GOOD)
    ]
    if found:
        return True, f"{len(found)} times, first {_told(found[0])}"
    others = sorted({violation.invariant for violation in violations})
    restless = "" if quiet else ", and it did not come to rest"
    return False, f"MISSED: violated is {', '.join(others) or 'nothing'}{restless}"


def planted(name: str) -> dict[str, dict[str, str]]:
    """What the programs are told in which a bug is planted."""
    told = {"PYTHONPATH": f"{STARTUP}:{TESTS}", "PLANTED_BUG": name}
    return {program: told for program in BUGS[name].programs}


def _told(violation: Violation) -> str:
    return f"{violation.invariant} {' '.join(violation.objects)}: {violation.said}"
