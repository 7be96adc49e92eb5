"""A running stack with a proxy on every link, its two doors, and the files that a run writes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from ports import Ports
from stack import Stack

from chaos.records import History, Lines
from chaos.struck import Struck
from chaos.system import Gateway, Sandbox
from chaos.wiring import Wiring


class Scene:
    """Everything that a run needs of the system. `home` below the directory keeps data and logs."""

    def __init__(self, directory: Path, stack: Stack, wiring: Wiring) -> None:
        self.directory, self.stack, self.wiring = directory, stack, wiring
        self.history = History(directory)
        self._lines = Lines(directory / "faults.jsonl")
        self.struck = Struck(self._lines)
        self.sandbox = Sandbox(stack.url("sandbox"))
        self.gateway = Gateway(stack.url("gateway"), self.sandbox, self.history)

    async def close(self) -> None:
        """Close the doors and the files."""
        await self.gateway.close()
        await self.sandbox.close()
        self.history.close()
        self._lines.close()


@contextlib.asynccontextmanager
async def running(
    directory: Path,
    environment: Mapping[str, str],
    own: Mapping[str, Mapping[str, str]] | None = None,
) -> AsyncIterator[Scene]:
    """Start a stack; afterwards everything that was started ends. Raises StackError.

    The directory is there already and gets the files of the run. `own` are settings of single services.
    """
    ports = Ports.free()
    wiring = Wiring(ports)
    await wiring.open()
    stack = Stack(
        directory / "home", ports, environment, own=wiring.settings(own or {}), doors=wiring.doors
    )
    try:
        await asyncio.to_thread(stack.up)
        scene = Scene(directory, stack, wiring)
        try:
            yield scene
        finally:
            await scene.close()
    finally:
        await asyncio.to_thread(stack.down)
        await wiring.close()
