"""Talks to supervisord over its own socket: start, stop, kill and look at the programs of one stack."""

import configparser
import contextlib
import http.client
import os
import signal
import socket
import time
import xmlrpc.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STOPPED = "STOPPED"


def configured(template: Path, target: Path, own: Mapping[str, Mapping[str, str]]) -> Path:
    """supervisord's configuration with further settings for single programs, and where it is."""
    if not own:
        return template
    parser = configparser.RawConfigParser()
    parser.read(template, encoding="utf-8")
    for program, settings in own.items():
        section = f"program:{program}"
        pairs = [parser.get(section, "environment", fallback="")]
        pairs += [f"{name}='{value}'" for name, value in settings.items()]
        parser.set(section, "environment", ",".join(pair for pair in pairs if pair))
    with target.open("w", encoding="utf-8") as file:
        parser.write(file)
    return target


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.close()
            raise


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> _Connection:
        connection = _Connection(self._path)
        self._connection = host, connection  # where `close` finds it
        return connection


class Supervision:
    """The programs under one supervisord."""

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path

    def call(self, method: str, *arguments: object) -> Any:
        """Call one of supervisord's methods. Raises OSError when it is away, Fault when it refuses."""
        with xmlrpc.client.ServerProxy(
            "http://localhost", transport=_Transport(self._path)
        ) as server:
            return getattr(server.supervisor, method)(*arguments)

    def answers(self) -> bool:
        """Whether a supervisord listens on the socket."""
        try:
            self.call("getPID")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def programs(self) -> dict[str, dict[str, Any]]:
        """Every program with its state and pid."""
        return {str(program["name"]): program for program in self.call("getAllProcessInfo")}

    def state(self, program: str) -> str:
        """STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED or FATAL."""
        return str(self.call("getProcessInfo", program)["statename"])

    def pid(self, program: str) -> int:
        """The process id; 0 when it does not run."""
        return int(self.call("getProcessInfo", program)["pid"])

    def start(self, program: str) -> None:
        """Start a program; running already is no error."""
        with contextlib.suppress(xmlrpc.client.Fault):
            self.call("startProcess", program, False)

    def stop(self, *programs: str, within: float = 40.0) -> None:
        """End programs together and keep them ended. Raises TimeoutError."""
        deadline = time.monotonic() + within
        waiting = set(programs)
        while True:
            for program in list(waiting):
                with contextlib.suppress(xmlrpc.client.Fault):
                    self.call("stopProcess", program, False)
                if self.state(program) in (STOPPED, "FATAL"):
                    waiting.discard(program)
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{', '.join(sorted(waiting))} did not end within {within:.0f} s"
                )
            time.sleep(0.05)

    def kill(self, program: str) -> int:
        """SIGKILL a program, which supervisord starts again. Returns the pid that was killed."""
        pid = self.pid(program)
        if pid:
            os.kill(pid, signal.SIGKILL)
        return pid
