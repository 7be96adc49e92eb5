"""Applications and programs that a test runs: in this process, on a socket, or as a process of its own."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from purser_common import settings
from purser_common.testing.running import free_port
from purser_common.testing.waiting import eventually


@contextlib.asynccontextmanager
async def started(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A service in this process, from its start to its end, and a client of it.

    Fails at the end when it has made a query that no declared index serves.
    """
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://in-process") as http,
    ):
        yield http
        ready = await http.get("/health/ready")
        assert ready.json().get("unindexed_queries", []) == []  # noqa: S101


@contextlib.asynccontextmanager
async def serving(app: FastAPI, port: int | None = None) -> AsyncIterator[str]:
    """An application without a start of its own, on a port of this machine; answers its address."""
    at = port or free_port()
    config = uvicorn.Config(app, port=at, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    # the public way would take the test run's signal handlers
    task = asyncio.create_task(server._serve())
    await eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{at}"
    finally:
        server.should_exit = True
        await task


@contextlib.contextmanager
def running(module: str, env: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A Python module as a process, its output in a file; killed at the end if it still runs."""
    command = [sys.executable, "-m", module]
    with log.open("ab") as out:
        process = subprocess.Popen(  # noqa: S603
            command, env={**os.environ, **env}, stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def environment(told: settings.ServiceSettings, port: int) -> dict[str, str]:
    """What a process is told of what every service is told; a service's own settings are added to it."""
    return {
        "ENVIRONMENT": told.environment,
        "HTTP__PORT": str(port),
        "MONGO__URL": told.mongo.url,
        "MONGO__DATABASE": told.mongo.database,
        "KAFKA__BOOTSTRAP_SERVERS": told.kafka.bootstrap_servers,
        "IDENTITY__PRIVATE_KEY_FILE": str(told.identity.private_key_file),
        "IDENTITY__PUBLIC_KEYS_DIR": str(told.identity.public_keys_dir),
    }


async def answers(http: httpx.AsyncClient, url: str) -> bool:
    """Whether a GET is answered with 200 by now."""
    with contextlib.suppress(httpx.HTTPError):
        return (await http.get(url)).status_code == 200
    return False
