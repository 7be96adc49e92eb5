"""The checker passes a sound run, and each planted defect is told as its invariant and as nothing else."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from chaos.checker import INVARIANTS, BadEvidence, Report, check
from chaos.defects import HARMLESS, PLANTS, sound
from chaos.defects.of_facts import an_illegal_step
from chaos.synthetic import SECRET, SyntheticRun, encoded

CHECK = Path(__file__).with_name("check.py")


def judged(run: SyntheticRun, directory: Path) -> Report:
    return check(run.write(directory))


def spelt(how: str) -> str:
    """The canary as it may be written somewhere."""
    spellings = {
        "raw": SECRET,
        "prefix": SECRET[:8],
        "hex": SECRET.encode().hex(),
        "url": quote(SECRET, safe=""),
        "json": json.dumps(json.dumps(SECRET + '"')),
        "base64": encoded(f"user:{SECRET}")["base64"],
        "base64 aligned": encoded(f"use:{SECRET}")["base64"],
        "base64 shifted": encoded(f"us:{SECRET}")["base64"],
    }
    return str(spellings[how])


def test_a_sound_run_passes_and_what_has_no_data_is_not_called_held(tmp_path: Path) -> None:
    report = judged(sound(), tmp_path)
    assert report.violations == [], report.text()
    applicable = {name for name in INVARIANTS if report.standing(name) == "held"}
    assert applicable == set(INVARIANTS) - {"I9", "I10"}
    assert report.counts["requests unknown"] == 1
    assert report.counts["unknown requests without effect"] == 1


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_defect_is_told_as_its_invariant_alone(name: str, tmp_path: Path) -> None:
    invariant, plant = PLANTS[name]
    run = sound()
    plant(run)
    report = judged(run, tmp_path)
    assert report.violated == {invariant}, report.text()
    for violation in report.violations:
        assert violation.objects
        assert violation.evidence
        for place in violation.evidence:
            assert (tmp_path / place.partition(":")[0].partition("#")[0]).exists(), place


def test_every_invariant_has_a_planted_defect() -> None:
    assert {invariant for invariant, _ in PLANTS.values()} == set(INVARIANTS)


@pytest.mark.parametrize("harmless", HARMLESS, ids=lambda one: one.__name__)
def test_what_a_sound_system_may_do_is_no_violation(
    harmless: Callable[[SyntheticRun], Any], tmp_path: Path
) -> None:
    run = sound()
    harmless(run)
    report = judged(run, tmp_path)
    assert report.violations == [], report.text()


@pytest.mark.parametrize(
    "how",
    ["raw", "prefix", "hex", "url", "json", "base64", "base64 aligned", "base64 shifted"],
)
def test_a_secret_is_found_however_it_is_written(how: str, tmp_path: Path) -> None:
    run = sound()
    run.logs["order"].append(f"it was {spelt(how)}")
    report = judged(run, tmp_path)
    assert report.violated == {"I15"}, report.text()
    assert report.violations[0].evidence == ("logs/order.log:1",)


def test_evidence_that_lacks_a_file_is_not_judged(tmp_path: Path) -> None:
    sound().write(tmp_path)
    (tmp_path / "groups.json").unlink()
    with pytest.raises(BadEvidence, match=r"groups\.json"):
        check(tmp_path)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    sound().write(tmp_path)
    with (tmp_path / "kafka.jsonl").open("a") as file:
        file.write('{"topic": \n')
    with pytest.raises(BadEvidence, match=r"kafka\.jsonl:\d+"):
        check(tmp_path)


def test_a_canary_that_could_stand_anywhere_by_chance_is_refused(tmp_path: Path) -> None:
    run = sound()
    run.run["canaries"] = [{"name": "short", "value": "password"}]
    with pytest.raises(BadEvidence, match="short"):
        judged(run, tmp_path)


@pytest.mark.parametrize(("plant", "code"), [(None, 0), (an_illegal_step, 1)])
def test_the_command_says_by_its_exit_code_whether_all_held(
    plant: Callable[[SyntheticRun], Any] | None, code: int, tmp_path: Path
) -> None:
    run = sound()
    if plant is not None:
        plant(run)
    command = [sys.executable, str(CHECK), str(run.write(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert ("VIOLATED" in done.stdout) == bool(code)
    assert "seed 1" in done.stdout


def test_nothing_to_judge_is_told_by_another_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, str(CHECK), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "lacks run.json" in done.stderr
