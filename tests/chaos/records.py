"""The append-only files that a run writes while it goes on."""

import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def now() -> str:
    """Real time as the evidence has it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Lines:
    """One JSON object a line, each on its way to the disk before the next thing happens."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def write(self, **line: Any) -> None:
        """Append a line, with the time it happened."""
        self._file.write(json.dumps({"t": now(), **line}, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class History:
    """What the clients did and what they were told; nothing is ever taken back.

    Every HTTP call is an operation of its own; repeats of a call share caller and idempotency key.
    """

    def __init__(self, directory: Path) -> None:
        self._lines = Lines(directory / "history.jsonl")
        self._errors = Lines(directory / "http.jsonl")
        self._ops = itertools.count(1)
        self._written = itertools.count(1)
        self.indefinite = 0

    def invoke(self, kind: str, **call: Any) -> int:
        """A call is about to leave; returns the operation's number."""
        op = next(self._ops)
        self._write(op, "invoke", kind=kind, **call)
        return op

    def answered(self, op: int, method: str, path: str, status: int, answer: Any) -> str:
        """What was answered. From 500 on it says nothing about the outcome. Returns the type."""
        kind = "ok" if status < 400 else "fail" if status < 500 else "info"
        if kind == "info":
            self.indefinite += 1
            self.error(method, path, status, answer)
        self._write(op, kind, status=status, answer=answer)
        return kind

    def unanswered(self, op: int, why: str) -> None:
        """There was no answer: the call may have been carried out."""
        self.indefinite += 1
        self._write(op, "info", error=why)

    def error(self, method: str, path: str, status: int, body: Any) -> None:
        """An answer of 500 or more, whoever asked."""
        self._errors.write(method=method, path=path, status=status, body=body)

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        self._errors.close()

    def _write(self, op: int, type_: str, **more: Mapping[str, Any] | Any) -> None:
        self._lines.write(i=next(self._written), op=op, type=type_, **more)
