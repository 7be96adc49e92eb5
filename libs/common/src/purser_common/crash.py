"""Crash points: named places where a test makes a process end, stop or fail (docs/adr/0011).

A point does nothing unless the settings name a file with armings. The file is read at each point that is
reached, so arming needs no restart. An arming acts once: the hits that it leaves decide, also after the
process was started again.
"""

import fcntl
import json
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from purser_common import settings


class Crashed(Exception):
    """What a point raises that is armed with `raise`."""


@dataclass(frozen=True)
class Arming:
    """One line of the file: the next process of `program` that reaches `point` crashes there."""

    id: str
    program: str
    point: str
    how: Literal["kill", "stop", "raise"]


_LINE = TypeAdapter(Arming)


class _Traps:
    def __init__(self, program: str, config: settings.Crash) -> None:
        self._program = program
        self._config = config

    def reached(self, point: str) -> None:
        for arming in read(self._config.armed):
            if (arming.program, arming.point) == (self._program, point) and self._first(arming):
                _act(arming)

    def _first(self, arming: Arming) -> bool:
        """Whether this is the arming's first hit, which is on disk before anything happens."""
        with self._config.hits.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            if any(json.loads(line)["id"] == arming.id for line in file):
                return False
            at = datetime.now(UTC).isoformat()
            hit = {**vars(arming), "pid": os.getpid(), "at": at}
            file.write(json.dumps(hit) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return True


_traps: _Traps | None = None


def arm(program: str, config: settings.Crash | None) -> None:
    """Let this process's points look for armings of `program`; without a setting they do nothing."""
    global _traps
    _traps = _Traps(program, config) if config else None


def point(name: str) -> None:
    """Crash here if a test has armed this point. Raises Crashed when it is to fail."""
    if _traps is not None:
        _traps.reached(name)


def read(armed: Path) -> list[Arming]:
    """The armings of a file; one that is not there holds none. Raises ValueError for a bad line."""
    try:
        lines = armed.read_text().splitlines()
    except FileNotFoundError:
        return []
    try:
        return [_LINE.validate_json(line) for line in lines]
    except ValidationError as error:
        raise ValueError(f"{armed}: {error}") from error


def _act(arming: Arming) -> None:
    if arming.how == "raise":
        raise Crashed(arming.point)
    os.kill(os.getpid(), signal.SIGKILL if arming.how == "kill" else signal.SIGSTOP)
