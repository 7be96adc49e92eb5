"""A service as a process of its own, on servers that a test may stop."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import credentials
import httpx
import pytest
from program_settings import SERVICES

from purser_common import kafka as chassis_kafka
from purser_common import mongo as chassis_mongo
from purser_common import settings
from purser_common.identity import Caller, InternalTokens
from purser_common.testing import Servers, begin_at_end, create_topics, eventually, free_port

PROGRAM = Path(__file__).parent / "customers.py"


class House:
    """The service of `customers.py` as a process that a test may kill, with its database."""

    def __init__(self, servers: Servers, home: Path, driver: Any) -> None:
        self.servers = servers
        self.hold = home / "hold"
        # of its own, so that no member of another test's is still in its consumer group
        self.name = f"customers-{uuid4().hex[:8]}"
        self._home = home
        self._port = free_port()
        self.mongo = servers.database(f"test_{uuid4().hex[:12]}")
        self.mongo = self.mongo.model_copy(update={"driver": driver, "timeout_ms": 2_000})
        self._client = chassis_mongo.connect(self.mongo)
        self.database = self._client[self.mongo.database]
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", timeout=20)
        credentials.create(home / "keys", (*SERVICES, self.name))
        identity = self._identity("gateway")
        token = InternalTokens("gateway", identity, ()).mint(self.name, Caller("user:admin"))
        self._headers = {"Authorization": f"Bearer {token}"}

    def _identity(self, service: str) -> settings.Identity:
        keys = self._home / "keys"
        return settings.Identity(
            private_key_file=keys / service / "private.pem", public_keys_dir=keys / "public"
        )

    def start(self) -> None:
        """Start the process; `ready` waits for it."""
        identity = self._identity(self.name)
        given = {
            "ENVIRONMENT": "test",
            "HTTP__PORT": str(self._port),
            "MONGO__URL": self.mongo.url,
            "MONGO__DATABASE": self.mongo.database,
            "MONGO__DRIVER": self.mongo.driver,
            "MONGO__TIMEOUT_MS": str(self.mongo.timeout_ms),
            "KAFKA__BOOTSTRAP_SERVERS": self.servers.kafka.bootstrap_servers,
            "KAFKA__SEND_TIMEOUT_SECONDS": "2",
            "IDENTITY__PRIVATE_KEY_FILE": str(identity.private_key_file),
            "IDENTITY__PUBLIC_KEYS_DIR": str(identity.public_keys_dir),
            "HOLD": str(self.hold),
            "NAME": self.name,
        }
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM)], env={**os.environ, **given}, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status of a process that has ended."""
        return self._process.poll() if self._process else None

    async def ask(self, path: str) -> httpx.Response:
        """A GET that needs no token."""
        return await self._http.get(path)

    async def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the process and wait for its end."""
        if self._process is not None and self.runs:
            self._process.send_signal(how)
            await asyncio.to_thread(self._process.wait, 60)

    async def ready(self, within: float = 30.0) -> float:
        """Wait until the process says that it is ready; answers how many seconds that took."""
        began = time.monotonic()

        async def answers() -> bool:
            assert self.runs, self.log()
            try:
                return (await self._http.get("/health/ready")).status_code == 200
            except httpx.HTTPError:
                return False

        await eventually(answers, within=within, every=0.02)
        return time.monotonic() - began

    async def add(self, key: str, **headers: str) -> httpx.Response:
        """Add a customer under a key."""
        sent = {**self._headers, "Idempotency-Key": key, **headers}
        return await self._http.post("/v1/customers", json={"name": key}, headers=sent)

    async def read(self, id: str) -> httpx.Response:
        """Read a customer."""
        return await self._http.get(f"/v1/customers/{id}", headers=self._headers)

    async def applied(self, id: str) -> int:
        """How often the consumer applied a fact of the customer to its copy."""
        copy = await self.database["copies"].find_one({"_id": f"customer/{id}"})
        return int(copy["applied"]) if copy else 0

    async def begun(self, id: str) -> list[dict[str, Any]]:
        """Every time that the consumer began to handle a fact of the customer."""
        notes = self.database["begun"].find({"subject": f"customer/{id}"})
        return await notes.to_list(None)

    def log(self, message: str | None = None) -> list[dict[str, Any]]:
        """What the process logged, or only the lines with this message."""
        lines = (self._home / "log").read_text().splitlines()
        said = [json.loads(line) if line.startswith("{") else {"raw": line} for line in lines]
        return [line for line in said if message is None or line.get("message") == message]

    async def close(self) -> None:
        """Kill what runs, and drop the database."""
        await self.end()
        await self._http.aclose()
        await self._client[self.mongo.database].command("dropDatabase")
        await chassis_mongo.close(self._client)


async def _house(servers: Servers, home: Path, driver: Any) -> AsyncIterator[House]:
    await chassis_kafka.provision(servers.kafka)
    house = House(servers, home, driver)
    group = f"{house.name}.copies"
    await create_topics(servers.kafka, f"{group}.dlq")
    await begin_at_end(servers.kafka, group, "customer.added")
    yield house
    await house.close()


@pytest.fixture
async def house(servers: Servers, tmp_path: Path) -> AsyncIterator[House]:
    """A service on the shared servers, not started."""
    async for house in _house(servers, tmp_path, "motor"):
        yield house


@pytest.fixture
async def private_house(private_servers: Servers, tmp_path: Path) -> AsyncIterator[House]:
    """A service on servers that the test may stop and kill, not started."""
    async for house in _house(private_servers, tmp_path, "motor"):
        yield house
        await private_servers.start()


@pytest.fixture
async def driven_house(
    private_servers: Servers, tmp_path: Path, driver: Any
) -> AsyncIterator[House]:
    """The same on each driver."""
    async for house in _house(private_servers, tmp_path, driver):
        yield house
        await private_servers.start()
