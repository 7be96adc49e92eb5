"""Append-only files from which the sandbox's state is rebuilt.

``orders.jsonl`` is the journal of executed orders, one fsynced line each, written before the
marketplace answers. ``state.jsonl`` holds the newest version of every record; what a kill left
out of it is taken from the journal.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

JOURNAL = "orders.jsonl"
STATE = "state.jsonl"


class Store:
    """Owns the files of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        self._state: BinaryIO | None = None
        self._journal: BinaryIO | None = None

    def records(self) -> list[tuple[str, str, Any]]:
        """The newest version of every record as (kind, id, body). Rewrites the file when most
        of its lines are outdated."""
        newest: dict[tuple[str, str], Any] = {}
        lines = 0
        for line in _lines(self.data_dir / STATE):
            lines += 1
            newest[line["kind"], line["id"]] = line["body"]
        records = [(kind, key, body) for (kind, key), body in newest.items()]
        if lines > 2 * len(records):
            content = b"".join(_encode(kind, key, body) for kind, key, body in records)
            write_durably(self.data_dir / STATE, content)
        return records

    def save(self, kind: str, key: str, body: Any) -> None:
        if self._state is None:
            self._state = (self.data_dir / STATE).open("ab")
        self._state.write(_encode(kind, key, body))
        self._state.flush()

    def append_to_journal(self, entry: dict[str, Any]) -> None:
        """Durable when this returns: flushed and fsynced."""
        if self._journal is None:
            self._journal = (self.data_dir / JOURNAL).open("ab")
            sync_directory(self.data_dir)
        self._journal.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def journal(self) -> Iterator[dict[str, Any]]:
        return _lines(self.data_dir / JOURNAL)

    def start_over(self) -> None:
        """Removes state and journal."""
        self.close()
        for name in (STATE, JOURNAL):
            (self.data_dir / name).unlink(missing_ok=True)
        sync_directory(self.data_dir)

    def close(self) -> None:
        for file in (self._state, self._journal):
            if file is not None:
                file.close()
        self._state = self._journal = None


def write_durably(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replaces a file in one step, so that a kill leaves the old or the new one."""
    draft = path.with_suffix(path.suffix + ".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _encode(kind: str, key: str, body: Any) -> bytes:
    line = {"kind": kind, "id": key, "body": body}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Whole lines only: a last line that a kill cut short was never acknowledged and is
    removed."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        good = 0
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(good)
                return
            good += len(line)
            yield json.loads(line)
