"""One server of a test run, as a process, as a container, or as somebody else's."""

import asyncio
import contextlib
import random
import shutil
import signal
import socket
import subprocess
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens.

    Below those that systems hand out for outgoing connections: one of them could otherwise take the
    port of a server that a test has stopped for a while.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Launcher(Protocol):
    """How the two servers run as processes of this machine; each answers with a command."""

    def kafka(self, home: Path, port: int, controller: int) -> list[str]: ...
    def mongo(self, home: Path, port: int) -> list[str]: ...


class OneServer(Protocol):
    """One server that can be started again with its data."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def kill(self) -> None: ...
    async def close(self) -> None: ...


class OwnProcess:
    """A server as a process of this machine; `prepare` may take a second and answers the command."""

    def __init__(self, prepare: Callable[[], list[str]], log: Path) -> None:
        self._prepare = prepare
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        command = await asyncio.to_thread(self._prepare)
        if setpriv := shutil.which("setpriv"):
            # a test run that is killed leaves no server behind
            command = [setpriv, "--pdeathsig", "KILL", *command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603  (returns at once)
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def close(self) -> None:
        # nobody reads these data again
        await self._end(signal.SIGKILL)

    async def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            await asyncio.to_thread(process.wait, 30)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)


class Container:
    """A server in a container, on a port of this machine that stays the same over a restart."""

    def __init__(self, image: str, ports: Mapping[int, int], env: Mapping[str, str]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from testcontainers.core.container import DockerContainer
        self._container = DockerContainer(image)
        for inside, outside in ports.items():
            self._container.with_bind_ports(inside, outside)
        for name, value in env.items():
            self._container.with_env(name, value)
        self._made = False

    async def start(self) -> None:
        if self._made:
            await asyncio.to_thread(self._docker().start)
        else:
            await asyncio.to_thread(self._container.start)
            self._made = True

    async def stop(self) -> None:
        await asyncio.to_thread(self._docker().stop)

    async def kill(self) -> None:
        await asyncio.to_thread(self._docker().kill)

    async def close(self) -> None:
        if self._made:
            await asyncio.to_thread(self._container.stop)

    def _docker(self) -> Any:
        return self._container.get_wrapped_container()


class Elsewhere:
    """A server that somebody else runs."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return

    async def stop(self) -> None:
        raise RuntimeError(f"{self._name} is somebody else's: use the fixture private_servers")

    kill = stop
