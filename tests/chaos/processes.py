"""Faults of processes. Only those of the run's own stack are signalled, by the pid that it tells."""

import asyncio
import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass, field

from program_settings import SERVICES
from stack import Stack

from chaos.profiles import LONGEST_STOP, SANDBOX_STOP
from chaos.struck import Struck
from purser_common.testing import eventually

TWO_AT_ONCE = 0.3
"""How often a second program is taken away while one is."""
PLACE_WITHIN = 60.0
READY_WITHIN = 120.0


@dataclass
class Processes:
    """Kills, ends and freezes programs; the supervisor starts again what has ended."""

    stack: Stack
    struck: Struck
    chance: random.Random
    recoveries: list[tuple[str, str, float]] = field(default_factory=list)
    """(signal, program, seconds until it was ready again)"""

    def __post_init__(self) -> None:
        self._busy: set[str] = set()

    async def kill(self) -> None:
        """SIGKILL to a service."""
        await self.end(self._service(), signal.SIGKILL)

    async def terminate(self) -> None:
        """SIGTERM to a service."""
        await self.end(self._service(), signal.SIGTERM)

    async def rebalance(self) -> None:
        """Members of the consumer groups leave and join in quick sequence."""
        for program in ("audit", "subscription", "gateway", "audit"):
            await self.end(program, signal.SIGTERM)

    async def freeze(self) -> None:
        """SIGSTOP for a while, mostly a short one."""
        program = self._free((*SERVICES, "reseller", "order", "kafka", "mongo", "sandbox"))
        longest = SANDBOX_STOP if program == "sandbox" else LONGEST_STOP
        seconds = round(min(longest, 0.2 + self.chance.expovariate(0.5)), 2)
        pid = await self._take(program)
        if pid is None:
            return
        try:
            os.kill(pid, signal.SIGSTOP)
            self.struck.count(f"SIGSTOP {program}", program, pid=pid, seconds=seconds)
            with self.struck.outage(program):
                try:
                    await self.struck.lasting(seconds)
                finally:
                    os.kill(pid, signal.SIGCONT)
        finally:
            self._busy.discard(program)

    async def restart(self, server: str) -> None:
        """SIGKILL to a server that all use, as soon as it is its turn."""
        with contextlib.suppress(AssertionError):
            await eventually(lambda: not self._busy, within=PLACE_WITHIN, every=0.2)
        await self.end(server, signal.SIGKILL)

    async def end(self, program: str, how: signal.Signals) -> None:
        """Signal a program that runs; the supervisor starts it again, which is timed."""
        pid = await self._take(program)
        if pid is None:
            return
        try:
            began = time.monotonic()
            os.kill(pid, how)
            self.struck.count(f"{how.name} {program}", program, pid=pid)
            with self.struck.outage(program):
                if await asyncio.to_thread(self.await_back, program, pid):
                    self.recoveries.append((how.name, program, time.monotonic() - began))
        finally:
            self._busy.discard(program)

    def await_back(self, program: str, gone: int) -> bool:
        """Wait until another process of the program is ready; False when none is for too long."""
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            if self.stack.pid(program) not in (0, gone) and self.stack.is_ready(program):
                return True
            time.sleep(0.2)
        return False

    def _service(self) -> str:
        return self._free(SERVICES)

    def _free(self, programs: tuple[str, ...]) -> str:
        drawn = self.chance.sample(programs, len(programs))
        return next((one for one in drawn if one not in self._busy), drawn[0])

    async def _take(self, program: str) -> int | None:
        """The pid of a program that runs and that nothing else is done to; None when there is none.

        Two programs at most are away at once, else nothing would be left to go wrong.
        """
        at_once = 2 if self.chance.random() < TWO_AT_ONCE else 1
        if program in self._busy or len(self._busy) >= at_once:
            return None
        self._busy.add(program)
        state = await asyncio.to_thread(self.stack.supervision.state, program)
        pid = await asyncio.to_thread(self.stack.pid, program) if state == "RUNNING" else 0
        if not pid:
            self._busy.discard(program)
        return pid or None
