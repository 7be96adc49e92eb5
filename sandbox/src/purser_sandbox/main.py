"""Wires the stand-ins into one process."""

import errno
import fcntl
import logging
import socket
import sys
from typing import BinaryIO

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from purser_sandbox import admin, microsoft, oidc
from purser_sandbox.faults import Faults
from purser_sandbox.gate import App, Calls, Gate
from purser_sandbox.issuer import Issuer
from purser_sandbox.marketplace import routes as marketplace
from purser_sandbox.marketplace.errors import Refused, refuse
from purser_sandbox.marketplace.limits import DetailReads
from purser_sandbox.settings import Settings
from purser_sandbox.store import Store
from purser_sandbox.world.seed import seed
from purser_sandbox.world.state import World


def build(settings: Settings) -> App:
    """The ASGI application over the state in `settings.data_dir`, seeded when it is empty."""
    store = Store(settings.data_dir)
    world = World(settings, store)
    world.load()
    if world.empty:
        seed(world)
    app = FastAPI(title="Purser sandbox", version="0.1.0")
    app.state.world = world
    app.state.faults = Faults()
    app.state.calls = Calls()
    app.state.reads = DetailReads(settings.reads_per_minute)
    app.state.issuer = Issuer(settings)
    for router in (admin.router, marketplace.router, microsoft.router, oidc.router):
        app.include_router(router)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    return Gate(app, world, app.state.faults, app.state.calls)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - registered for this type only
    return refuse(request, error)


async def _http_error(request: Request, error: Exception) -> Response:
    """Unknown marketplace paths are answered by the gateway in front of the platform."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
    if request.url.path.startswith("/marketplace/"):
        body = {"statusCode": error.status_code, "message": "Resource not found"}
        return JSONResponse(body, error.status_code)
    return JSONResponse({"detail": error.detail}, error.status_code, headers=error.headers)


def _listen(settings: Settings) -> socket.socket:
    own = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind((settings.host, settings.port))
    except OSError as error:
        own.close()
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(
            f"sandbox: port {settings.port} on {settings.host} is already taken; "
            "stop what uses it or set SANDBOX_PORT"
        )
    return own


def _own(settings: Settings) -> BinaryIO:
    """Holds the data directory, since two writers would damage its files."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    lock = (settings.data_dir / "lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        sys.exit(
            f"sandbox: {settings.data_dir} is in use by another sandbox; "
            "stop it or set SANDBOX_DATA_DIR"
        )
    return lock


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    settings = Settings()
    logging.basicConfig(level=settings.log_level.upper())
    own = _listen(settings)
    with _own(settings):
        _serve(settings, own)


def _serve(settings: Settings, own: socket.socket) -> None:
    config = uvicorn.Config(
        build(settings),
        log_level=settings.log_level,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=3,
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[own])


if __name__ == "__main__":
    main()
