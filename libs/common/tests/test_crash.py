"""Crash points: nothing without an arming, one crash with one, and a hit on disk before it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from purser_common import crash, settings
from purser_common.outbox import Publisher
from purser_common.testing import eventually

POINT = "order.send.cleared"
WORK = """
import sys
from pathlib import Path
from purser_common import crash, settings
crash.arm(sys.argv[1], settings.Crash(armed=Path(sys.argv[2]), hits=Path(sys.argv[3])))
for name in sys.argv[4:]:
    crash.point(name)
print("went on")
"""


class Traps:
    """Two files, and processes that pass points with them."""

    def __init__(self, folder: Path) -> None:
        self.armed, self.hits = folder / "armed.jsonl", folder / "hits.jsonl"
        self._started: list[subprocess.Popen[str]] = []

    def arm(self, how: str, **changes: str) -> None:
        arming = {"id": "1", "program": "order", "point": POINT, "how": how, **changes}
        with self.armed.open("a") as file:
            file.write(json.dumps(arming) + "\n")

    def start(self, *points: str, program: str = "order") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORK, program, str(self.armed), str(self.hits), *points]
        started = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._started.append(started)
        return started

    def run(self, *points: str, program: str = "order") -> tuple[int, str]:
        process = self.start(*points, program=program)
        told, trouble = process.communicate(timeout=30)
        return process.returncode, told + trouble

    def hit(self) -> list[dict[str, Any]]:
        lines = self.hits.read_text().splitlines() if self.hits.exists() else []
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


@pytest.fixture
def traps(tmp_path: Path) -> Iterator[Traps]:
    traps = Traps(tmp_path)
    yield traps
    traps.close()


def test_a_point_does_nothing_without_a_file(traps: Traps) -> None:
    crash.point(POINT)
    assert traps.run(POINT) == (0, "went on\n")
    assert traps.hit() == []


def test_an_armed_point_kills_its_process_once_and_leaves_the_hit(traps: Traps) -> None:
    traps.arm("kill")
    code, told = traps.run("order.request.written", POINT)
    assert (code, told) == (-signal.SIGKILL, "")
    (hit,) = traps.hit()
    assert (hit["id"], hit["program"], hit["point"], hit["how"]) == ("1", "order", POINT, "kill")
    assert traps.run(POINT) == (0, "went on\n")
    assert len(traps.hit()) == 1


def test_a_new_arming_crashes_again(traps: Traps) -> None:
    traps.arm("kill")
    traps.run(POINT)
    traps.arm("kill", id="2")
    assert traps.run(POINT)[0] == -signal.SIGKILL
    assert [hit["id"] for hit in traps.hit()] == ["1", "2"]


async def test_a_stopped_process_goes_on_when_it_is_continued(traps: Traps) -> None:
    traps.arm("stop")
    process = traps.start(POINT)

    def stopped() -> bool:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    await eventually(stopped)
    assert len(traps.hit()) == 1
    os.kill(process.pid, signal.SIGCONT)
    assert process.communicate(timeout=30)[0] == "went on\n"


def test_a_point_can_fail_with_an_exception_of_its_own(traps: Traps) -> None:
    traps.arm("raise")
    code, told = traps.run(POINT)
    assert code == 1
    assert f"Crashed: {POINT}" in told
    assert traps.run(POINT) == (0, "went on\n")


def test_other_programs_and_other_points_pass(traps: Traps) -> None:
    traps.arm("kill")
    assert traps.run(POINT, program="reseller") == (0, "went on\n")
    assert traps.run("order.send.recorded") == (0, "went on\n")


def test_of_two_processes_one_crashes(traps: Traps) -> None:
    traps.arm("kill")
    both = [traps.start(POINT), traps.start(POINT)]
    for process in both:
        process.communicate(timeout=30)
    assert sorted(process.returncode for process in both) == [-signal.SIGKILL, 0]


async def test_a_publisher_outlives_what_nobody_expects_and_sends_at_the_next_sweep(
    written: Any, traps: Traps
) -> None:
    sent: list[str] = []

    class Kafka:
        async def send(self, topic: str, key: str, value: bytes, headers: Any) -> None:
            sent.append(key)

    publisher = Publisher(Kafka())
    running = asyncio.create_task(publisher.run())
    await written.insert("c1")
    traps.arm("raise", point="outbox.read", program="test")
    crash.arm("test", settings.Crash(armed=traps.armed, hits=traps.hits))
    try:
        await publisher.sweep([written.collection], older_than=timedelta(0))
        await eventually(traps.hit)
        assert sent == []

        async def swept() -> bool:
            await publisher.sweep([written.collection], older_than=timedelta(0))
            return sent == ["c1"]

        await eventually(swept)
        assert not running.done()
    finally:
        crash.arm("test", None)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("line", ["kill order", '{"id": "1"}', '{"how": "explode"}'])
def test_a_line_that_cannot_be_read_is_an_error(tmp_path: Path, line: str) -> None:
    armed = tmp_path / "armed.jsonl"
    armed.write_text(line + "\n")
    with pytest.raises(ValueError, match="armed"):
        crash.read(armed)


def test_production_refuses_to_start_with_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {
        "HTTP__PORT": "0",
        "MONGO__DATABASE": "x",
        "IDENTITY__PRIVATE_KEY_FILE": "x",
        "IDENTITY__PUBLIC_KEYS_DIR": "x",
        "CRASH__ARMED": "armed",
        "CRASH__HITS": "hits",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ENVIRONMENT", "test")
    assert settings.load(settings.ServiceSettings).crash is not None
    for environment in ("production", None):
        if environment is None:
            monkeypatch.delenv("ENVIRONMENT")
        else:
            monkeypatch.setenv("ENVIRONMENT", environment)
        with pytest.raises(SystemExit) as ended:
            settings.load(settings.ServiceSettings)
        assert ended.value.code == 2
        assert "setting CRASH: " in capsys.readouterr().err
