"""Append-only files from which the sandbox's state is rebuilt.

``orders.jsonl`` holds every executed order, ``changes.jsonl`` everything else that changed after
the seed. Lines of both carry one common number, so a restart replays them in their order.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

ORDERS = "orders.jsonl"
CHANGES = "changes.jsonl"
SEED = "seed.json"
ORDER_EXECUTED = "order.executed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: what happened (`kind`, `body`) at which business time."""

    n: int
    at: datetime
    kind: str
    body: dict[str, Any]

    def line(self) -> bytes:
        record = {"n": self.n, "at": self.at.isoformat(), "kind": self.kind, "body": self.body}
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"


class Ledger:
    """Appends lines and syncs each to disk before it returns."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        self._files: dict[str, BinaryIO] = {}
        self._last = 0

    def load(self) -> list[Entry]:
        """All entries by number. A last line that a kill cut short was never acknowledged
        and is removed."""
        entries: list[Entry] = []
        for name in (ORDERS, CHANGES):
            path = self.data_dir / name
            if path.exists():
                _drop_torn_line(path)
                entries.extend(_entries(path))
        entries.sort(key=lambda entry: entry.n)
        self._last = entries[-1].n if entries else 0
        return entries

    def orders(self) -> Iterator[Entry]:
        path = self.data_dir / ORDERS
        return _entries(path) if path.exists() else iter(())

    def append(self, kind: str, body: dict[str, Any], at: datetime) -> Entry:
        """Durable when this returns: flushed and fsynced."""
        self._last += 1
        entry = Entry(self._last, at, kind, body)
        file = self._open(ORDERS if kind == ORDER_EXECUTED else CHANGES)
        file.write(entry.line())
        file.flush()
        os.fsync(file.fileno())
        return entry

    def seed(self) -> dict[str, Any] | None:
        path = self.data_dir / SEED
        if not path.exists():
            return None
        seed: dict[str, Any] = json.loads(path.read_text())
        return seed

    def start_over(self, seed: dict[str, Any]) -> None:
        """Removes both files and remembers what the next seed is made from."""
        self.close()
        for name in (ORDERS, CHANGES):
            (self.data_dir / name).unlink(missing_ok=True)
        self._last = 0
        write_durably(self.data_dir / SEED, json.dumps(seed).encode())

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _open(self, name: str) -> BinaryIO:
        if name not in self._files:
            self._files[name] = (self.data_dir / name).open("ab")
            sync_directory(self.data_dir)
        return self._files[name]


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


def _entries(path: Path) -> Iterator[Entry]:
    with path.open("rb") as file:
        for line in file:
            record = json.loads(line)
            yield Entry(
                record["n"], datetime.fromisoformat(record["at"]), record["kind"], record["body"]
            )


def _drop_torn_line(path: Path) -> None:
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) != len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
