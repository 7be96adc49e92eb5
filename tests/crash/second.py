"""A second process of a service: what one leaves behind while it stands still, the other takes over."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
from stack import Stack

from purser_common.testing import free_port


class SecondWorker:
    """One more process of a service, told what the supervised one is; with the role `worker` it has no
    doors. `port` is where it listens."""

    def __init__(self, stack: Stack, service: str = "order", role: str = "worker") -> None:
        self._module = f"{service.replace('-', '_')}_service.main"
        self._log = stack.home / "logs" / f"{service}-2.log"
        self.port = free_port()
        own = {"ROLE": role, "INSTANCE": "local-2", "HTTP__PORT": str(self.port)}
        self._environment = _environment(stack.pid(service)) | own
        self.pid = 0
        self.start()

    def start(self) -> None:
        """Start it, again if need be."""
        self.close()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.pid = self._process.pid

    def is_ready(self) -> bool:
        """Whether it says so."""
        try:
            address = f"http://127.0.0.1:{self.port}/health/ready"
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
