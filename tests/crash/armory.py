"""Arms crash points of running processes, sees what was hit, and brings processes back."""

import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from stack import Stack

from crash.second import SecondWorker
from purser_common.crash import Arming

STOPPED_FOR = 3.0
SETTLED = 5.5
"""A process that ends earlier is started again with a pause (supervisord's `startsecs` is 5)."""


@dataclass(frozen=True)
class Hit:
    """A point that was reached while armed; `at` is seconds since the epoch."""

    id: str
    program: str
    point: str
    how: str
    pid: int
    at: float


class Armory:
    """The two files of one system (docs/adr/0011)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._armed, self._kept = folder / "armed.jsonl", folder / "hits.jsonl"
        self._armings: dict[str, Arming] = {}
        self._lock = threading.Lock()

    @property
    def environment(self) -> dict[str, str]:
        """What every program is told."""
        return {"CRASH__ARMED": str(self._armed), "CRASH__HITS": str(self._kept)}

    def arm(self, program: str, point: str, how: str) -> str:
        """Arm a point for its next hit; returns the arming's id."""
        id = str(uuid.uuid4())
        with self._lock:
            self._armings[id] = Arming(id, program, point, how)  # type: ignore[arg-type]
            self._write()
        return id

    def disarm(self, id: str) -> None:
        """Take an arming back, or away after its hit."""
        with self._lock:
            self._armings.pop(id, None)
            self._write()

    def _write(self) -> None:
        fresh = self._armed.with_suffix(".new")
        fresh.write_text("".join(json.dumps(asdict(one)) + "\n" for one in self._armings.values()))
        fresh.replace(self._armed)

    def hits(self) -> list[Hit]:
        """Every hit so far, oldest first."""
        if not self._kept.exists():
            return []
        lines = [json.loads(line) for line in self._kept.read_text().splitlines()]
        return [
            Hit(**line | {"at": datetime.fromisoformat(line["at"]).timestamp()}) for line in lines
        ]

    def hit(self, id: str) -> Hit | None:
        """The hit of an arming, if it was hit."""
        return next((hit for hit in self.hits() if hit.id == id), None)


def settle(stack: Stack, program: str) -> None:
    """Wait until a program has run long enough to be started again at once."""
    while True:
        info = stack.supervision.call("getProcessInfo", program)
        age = info["now"] - info["start"]
        if info["statename"] == "RUNNING" and age >= SETTLED:
            return
        time.sleep(max(0.1, min(SETTLED - age, 1.0)))


def recover(stack: Stack, second: SecondWorker | None, hit: Hit) -> float:
    """Wait for a killed program, continue a stopped one; returns the seconds until it serves again."""
    ready = lambda: stack.is_ready(hit.program)  # noqa: E731
    if second is not None and hit.pid == second.pid:
        ready = second.is_ready
        if hit.how == "kill":
            second.start()
    elif hit.how == "kill":
        _until(lambda: stack.pid(hit.program) not in (0, hit.pid), f"{hit.program} stays away")
    if hit.how == "stop":
        _until(lambda: _state(hit.pid) == "T", f"{hit.program} did not stop")
        time.sleep(STOPPED_FOR)
        os.kill(hit.pid, signal.SIGCONT)
    if hit.how != "raise":
        _until(ready, f"{hit.program} is not ready again")
    return time.time() - hit.at


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _until(check: Callable[[], bool], trouble: str, within: float = 120.0) -> None:
    deadline = time.monotonic() + within
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError(f"{trouble} after {within:.0f} s")
        time.sleep(0.05)
