"""What goes wrong is a problem document; a caller that goes away is nobody's defect."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from purser_common import web


@contextlib.asynccontextmanager
async def lives(_: FastAPI) -> AsyncIterator[None]:
    yield


async def ready() -> dict[str, Any]:
    return {}


async def posted(app: FastAPI, parts: list[Any], sent: list[Any]) -> None:
    """One POST to /echo, whose body comes in these parts; what is answered ends up in `sent`."""

    async def receive() -> Any:
        if not parts:
            await asyncio.Event().wait()  # as a caller does that waits for its answer
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


async def test_a_caller_that_goes_away_within_its_body_is_no_defect(caplog: Any) -> None:
    app = web.build("test", "", lifespan=lives, ready=ready)

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    sent: list[Any] = []
    begun = {"type": "http.request", "body": b"{", "more_body": True}
    await posted(app, [begun, {"type": "http.disconnect"}], sent)
    assert sent[0]["status"] == 400
    assert b"body_incomplete" in sent[1]["body"]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_who_still_waits_when_the_server_ends_is_told_to_come_again(caplog: Any) -> None:
    app = web.build("test", "", lifespan=lives, ready=ready)
    waiting = asyncio.Event()

    @app.post("/echo")
    async def never() -> None:
        waiting.set()
        await asyncio.Event().wait()

    sent: list[Any] = []
    call = asyncio.create_task(posted(app, [{"type": "http.request", "body": b""}], sent))
    await waiting.wait()
    call.cancel()
    await asyncio.wait_for(call, 5)
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]
    assert b'"stopping"' in sent[1]["body"]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_an_answer_that_has_begun_is_not_ended_as_if_it_were_whole() -> None:
    app = web.build("test", "", lifespan=lives, ready=ready)
    waiting = asyncio.Event()

    @app.post("/echo")
    async def half() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"half"
            waiting.set()
            await asyncio.Event().wait()

        return StreamingResponse(body())

    sent: list[Any] = []
    call = asyncio.create_task(posted(app, [{"type": "http.request", "body": b""}], sent))
    await waiting.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [message.get("more_body") for message in sent] == [None, True]
