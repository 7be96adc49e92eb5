"""A second worker of the order service: what one leaves behind while it stands still, the other takes over."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
from stack import Stack

from purser_common.testing import free_port


class SecondWorker:
    """Jobs and sweeper of the order service in one more process, beside the supervised one."""

    def __init__(self, stack: Stack) -> None:
        self._log = stack.home / "logs" / "order-2.log"
        self._port = free_port()
        own = {"ROLE": "worker", "INSTANCE": "local-2", "HTTP__PORT": str(self._port)}
        self._environment = _environment(stack.pid("order")) | own
        self.pid = 0
        self.start()

    def start(self) -> None:
        """Start it, again if need be."""
        self.close()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "order_service.main"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.pid = self._process.pid

    def is_ready(self) -> bool:
        """Whether it says so."""
        try:
            address = f"http://127.0.0.1:{self._port}/health/ready"
            return httpx.get(address, timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def close(self) -> None:
        """End it; what it was doing is for the other one."""
        if self.pid:
            self._process.kill()
            self._process.wait()


def _environment(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().rstrip(b"\0").split(b"\0")
    return {
        os.fsdecode(name): os.fsdecode(value)
        for name, _, value in (p.partition(b"=") for p in pairs)
    }
