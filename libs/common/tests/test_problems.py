"""What goes wrong is a problem document; a caller that goes away is nobody's defect."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request

from purser_common import web


@contextlib.asynccontextmanager
async def lives(_: FastAPI) -> AsyncIterator[None]:
    yield


async def ready() -> dict[str, Any]:
    return {}


async def test_a_caller_that_goes_away_within_its_body_is_no_defect(caplog: Any) -> None:
    app = web.build("test", "", lifespan=lives, ready=ready)

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    parts = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/echo",
        "raw_path": b"/echo",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 9),
        "asgi": {"version": "3.0"},
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert b"body_incomplete" in sent[1]["body"]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
