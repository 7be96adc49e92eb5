"""The record of what was done to a system under test."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from chaos.records import Lines, now


class Struck:
    """Writes faults down as they happen, and counts them by kind."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.made: Counter[str] = Counter()
        self.outages: list[dict[str, str]] = []
        """What was away or cut off, and from when to when."""
        self.ending = asyncio.Event()
        """Set when the faults are over: what lasts is then undone early."""

    @property
    def total(self) -> int:
        """How many faults have happened."""
        return self.made.total()

    def count(self, fault: str, target: str, **more: Any) -> None:
        """A fault happens now."""
        self.made[fault] += 1
        self.note(fault, target, **more)

    def note(self, fault: str, target: str, **more: Any) -> None:
        """Something that belongs to the record and is no fault that happened."""
        self._lines.write(fault=fault, target=target, **more)

    @contextlib.contextmanager
    def outage(self, what: str) -> Iterator[None]:
        """Declare that something is away for as long as this lasts."""
        began = now()
        try:
            yield
        finally:
            self.outages.append({"what": what, "from": began, "to": now()})

    async def lasting(self, seconds: float) -> None:
        """A fault's time, cut short by the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ending.wait()
