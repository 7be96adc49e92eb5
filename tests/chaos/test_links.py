"""The proxy on a link does to a connection what it says, and nothing while it is mended."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from ports import Ports

from chaos.links import BACK, FORWARD, Link, State
from purser_common.testing import eventually

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Pair]]


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """A server that answers every line with itself."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def link(echo: int) -> AsyncIterator[Link]:
    opened = Link("one>other", echo)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def connect(link: Link) -> AsyncIterator[Connect]:
    """Opens connections through the link, which end with the test."""
    writers = []

    async def connect() -> Pair:
        pair = await asyncio.open_connection("127.0.0.1", link.port)
        writers.append(pair[1])
        return pair

    yield connect
    for writer in writers:
        writer.transport.abort()


async def said(pair: Pair, line: bytes, within: float = 5.0) -> bytes:
    """What comes back for a line."""
    reader, writer = pair
    writer.write(line)
    async with asyncio.timeout(within):
        return await reader.readline()


async def silent(pair: Pair, seconds: float = 0.3) -> bool:
    """Whether nothing comes."""
    try:
        async with asyncio.timeout(seconds):
            await pair[0].read(1)
    except TimeoutError:
        return True
    return False


async def test_a_mended_link_passes_everything_on_and_ends_with_its_client(
    link: Link, connect: Connect
) -> None:
    pair = await connect()
    large = b"x" * 50_000 + b"\n"
    assert await said(pair, large) == large
    assert link.passed == 2 * len(large)
    pair[1].close()
    await eventually(lambda: link.connections == 0)


@pytest.mark.parametrize("cut", [{FORWARD}, {BACK}, {FORWARD, BACK}])
async def test_a_cut_link_is_silent_and_what_waited_arrives_when_it_is_mended(
    link: Link, connect: Connect, cut: set[str]
) -> None:
    pair = await connect()
    assert await said(pair, b"before\n") == b"before\n"
    link.put(State(cut=frozenset(cut)))
    pair[1].write(b"during\n")
    assert await silent(pair)
    link.put(State())
    assert await said(pair, b"") == b"during\n"


async def test_a_connection_made_during_a_cut_reaches_the_server_afterwards(
    link: Link, connect: Connect
) -> None:
    link.put(State(cut=frozenset({FORWARD})))
    pair = await connect()
    pair[1].write(b"hello\n")
    assert await silent(pair)
    link.put(State())
    assert await said(pair, b"") == b"hello\n"


async def test_a_slow_link_delays_each_way_and_keeps_the_order(
    link: Link, connect: Connect
) -> None:
    pair = await connect()
    link.put(State(delay=0.2))
    began = time.monotonic()
    pair[1].write(b"one\n")
    assert await said(pair, b"two\n") == b"one\n"
    assert await said(pair, b"") == b"two\n"
    assert 0.4 <= time.monotonic() - began < 1.5


async def test_a_narrow_link_lets_a_few_bytes_a_second_through_until_it_is_mended(
    link: Link,
    connect: Connect,
) -> None:
    pair = await connect()
    link.put(State(rate=1))
    pair[1].write(b"0123456789\n")
    assert await silent(pair, 1.5)
    assert 1 <= link.passed <= 4
    link.put(State())
    assert await said(pair, b"") == b"0123456789\n"


async def test_a_reset_ends_every_connection_at_once(link: Link, connect: Connect) -> None:
    pairs = [await connect() for _ in range(3)]
    for pair in pairs:
        await said(pair, b"hello\n")
    assert link.reset() == 3
    for pair in pairs:
        with pytest.raises(ConnectionResetError):
            await said(pair, b"again\n")
    assert await said(await connect(), b"hello\n") == b"hello\n"


async def test_a_torn_answer_is_reset_in_its_middle_and_only_the_next_one(
    link: Link, connect: Connect
) -> None:
    pair = await connect()
    link.tear()
    pair[1].write(b"0123456789\n")
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await pair[0].readexactly(11)
    assert await said(await connect(), b"0123456789\n") == b"0123456789\n"


async def test_a_refusing_link_resets_new_connections_and_keeps_those_it_has(
    link: Link, connect: Connect
) -> None:
    before = await connect()
    assert await said(before, b"hello\n") == b"hello\n"
    link.put(State(refuse=True))
    with pytest.raises((ConnectionError, AssertionError)):
        assert await said(await connect(), b"hello\n") == b"hello\n"
    assert await said(before, b"still\n") == b"still\n"


async def test_a_server_that_is_away_resets_the_client(link: Link, connect: Connect) -> None:
    link.target = Ports.free().sandbox
    with pytest.raises((ConnectionError, AssertionError)):
        assert await said(await connect(), b"hello\n") == b"hello\n"
