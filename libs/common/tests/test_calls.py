"""Calls between services over a network that fails."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvloop

from purser_common.web.calls import Transport


@pytest.fixture
def resetting() -> Iterator[str]:
    """The address of a server that resets every connection as it is made."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)

    def reset() -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                accepted.close()

    thread = threading.Thread(target=reset)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_a_connection_that_is_reset_as_it_is_made_is_an_http_error(resetting: str) -> None:
    """On the loop that services run on. About one in ten of a burst hits the moment."""

    async def calls() -> list[object]:
        told: list[object] = []
        async with httpx.AsyncClient(transport=Transport()) as http:
            for _ in range(4):
                burst = (http.get(resetting) for _ in range(100))
                told += await asyncio.gather(*burst, return_exceptions=True)
        return told

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told = runner.run(calls())
    assert [one for one in told if not isinstance(one, httpx.HTTPError)] == []
