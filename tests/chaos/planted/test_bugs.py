"""Every bug can still be planted into the code as it is, and one that cannot is told."""

import os
import subprocess
import sys

import pytest

from chaos.checker import INVARIANTS, Violation
from chaos.planted.bugs import BUGS
from chaos.planted.courses import COURSES
from chaos.planted.hunt import caught, clean, planted
from chaos.planted.patches import DoesNotFit, Patches
from purser_common.outbox import Publisher

LOOK = "from purser_common.outbox import Publisher; print(Publisher._remove.__module__)"


def started(bug: str) -> "subprocess.CompletedProcess[str]":
    own = planted("clear-all")["order"] | {"PLANTED_BUG": bug}
    return subprocess.run(
        [sys.executable, "-c", LOOK],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_fits_the_code_and_is_taken_back(name: str) -> None:
    with Patches() as patches:
        BUGS[name].plant(patches)
        assert patches.made
    assert patches.made == []


def test_the_twelve_bugs_have_a_course_an_invariant_and_a_meaning() -> None:
    assert len(BUGS) == 12
    assert {bug.course for bug in BUGS.values()} == COURSES.keys()
    for bug in BUGS.values():
        assert bug.invariants
        assert bug.invariants <= INVARIANTS.keys()
        assert bug.meaning


def test_a_bug_is_caught_by_its_invariant_and_what_may_pass_only_in_a_run_at_rest() -> None:
    twice = Violation("I1", ("request 7",), "2 orders", ())
    lost = Violation("I6", ("request 7",), "lost", ())
    assert caught(frozenset({"I1"}), [twice], quiet=True) == (
        True,
        "1 times, first I1 request 7: 2 orders",
    )
    assert caught(frozenset({"I1"}), [twice], quiet=False)[0]
    assert caught(frozenset({"I6"}), [lost], quiet=True)[0]
    assert caught(frozenset({"I6"}), [lost], quiet=False) == (
        False,
        "MISSED: violated is I6, and it did not come to rest",
    )
    assert caught(frozenset({"I2"}), [twice], quiet=True) == (False, "MISSED: violated is I1")
    assert caught(frozenset({"I2"}), [], quiet=True) == (False, "MISSED: violated is nothing")


def test_a_run_without_a_bug_must_rest_and_hold() -> None:
    assert clean([], quiet=True) == (True, "nothing violated")
    assert clean([], quiet=False) == (False, "it did not come to rest")
    seen = clean([Violation("I6", ("request 7",), "lost", ())], quiet=True)
    assert seen == (False, "I6 request 7: lost")


def test_a_program_plants_what_it_is_told_at_its_start() -> None:
    assert Publisher._remove.__module__ == "purser_common.outbox"
    assert started("clear-all").stdout == "chaos.planted.bugs\n"


def test_a_program_that_cannot_plant_its_bug_does_not_start() -> None:
    done = started("no-such-bug")
    assert (done.returncode, done.stdout) == (70, "")
    assert "no-such-bug" in done.stderr


def test_a_part_that_was_renamed_is_told() -> None:
    with Patches() as patches, pytest.raises(DoesNotFit, match="Publisher has no cleared"):
        patches.replace(Publisher, "cleared", lambda: None)


def test_a_part_that_takes_something_else_is_told() -> None:
    def publish(self: object, id: str) -> None: ...

    with Patches() as patches, pytest.raises(DoesNotFit, match="publish takes"):
        patches.replace(Publisher, "publish", publish)
