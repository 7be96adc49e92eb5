"""A TCP proxy on a link, whose faults are switched while it runs."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field

HOST = "127.0.0.1"
CHUNK = 64 * 1024
FORWARD, BACK = "forward", "back"
"""Towards the server, and its answers."""


@dataclass
class State:
    """What a link does to bytes at the moment."""

    cut: frozenset[str] = frozenset()
    """Directions in which nothing passes: bytes wait, as behind a broken route, until it is mended."""
    delay: float = 0.0
    """Seconds that every piece waits, in both directions."""
    rate: float | None = None
    """Bytes a second and direction; None: as fast as it goes."""
    refuse: bool = False
    """New connections are reset."""


@dataclass(eq=False)
class _Connection:
    """A client's connection and the one to the server behind it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None

    def reset(self) -> None:
        """End both sides with RST, as a crashed peer or a stateful firewall does."""
        for writer in (self.client, self.server):
            if writer is None:
                continue
            own = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@dataclass
class Link:
    """One link, named `client>server`, from a port of its own to the server's port."""

    name: str
    target: int
    port: int = 0
    state: State = field(default_factory=State)
    passed: int = 0
    """Bytes that went through, both ways."""

    def __post_init__(self) -> None:
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._torn = 0
        self._listener: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen; from now on `port` is where the client finds the server."""
        self._listener = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._listener is not None:
            self._listener.close()
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- faults ------------------------------------------------------------------------------------

    def put(self, state: State) -> None:
        """From now on the link behaves like this; `State()` mends it."""
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()

    def reset(self) -> int:
        """Reset every connection; returns how many."""
        connections = list(self._connections)
        for connection in connections:
            connection.reset()
        return len(connections)

    def tear(self) -> None:
        """Reset the next connection on which an answer is under way, in the middle of the answer."""
        self._torn += 1

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    # -- bytes -------------------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = _Connection(writer)
        self._connections.add(connection)
        try:
            if self.state.refuse:
                connection.reset()
                return
            await self._while_cut(FORWARD)
            back, connection.server = await asyncio.open_connection(HOST, self.target)
            await self._both(connection, reader, back)
        except (OSError, asyncio.CancelledError):
            connection.reset()
        finally:
            self._connections.discard(connection)
            self._tasks.discard(task)
            for side in (writer, connection.server):
                if side is not None:
                    side.close()

    async def _both(
        self, connection: _Connection, reader: asyncio.StreamReader, back: asyncio.StreamReader
    ) -> None:
        assert connection.server is not None
        pumps = [
            asyncio.create_task(self._pump(reader, connection.server, FORWARD, connection)),
            asyncio.create_task(self._pump(back, connection.client, BACK, connection)),
        ]
        try:
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: str,
        connection: _Connection,
    ) -> None:
        """Pass one direction on; the pieces keep their distance from when they arrived."""
        waiting: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(maxsize=64)
        reading = asyncio.create_task(self._read(reader, waiting))
        try:
            while True:
                due, data = await waiting.get()
                await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
                await self._while_cut(direction)
                if data is None:
                    raise ConnectionResetError("the other side is gone")
                if not data:
                    writer.write_eof()
                    return
                await self._send(writer, data, direction, connection)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(
        self, reader: asyncio.StreamReader, waiting: "asyncio.Queue[tuple[float, bytes | None]]"
    ) -> None:
        """Note pieces with the time at which each is due; empty is the end, None a lost connection."""
        loop = asyncio.get_running_loop()
        data: bytes | None = b"-"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                data = None
            await waiting.put((loop.time() + self.state.delay, data))

    async def _send(
        self, writer: asyncio.StreamWriter, data: bytes, direction: str, connection: _Connection
    ) -> None:
        if direction == BACK and self._torn and len(data) > 1:
            self._torn -= 1
            writer.write(data[: len(data) // 2])
            await writer.drain()
            connection.reset()
            raise ConnectionResetError("torn")
        sent = 0
        while sent < len(data):
            rate = self.state.rate
            piece = data[sent:] if rate is None else data[sent : sent + max(1, int(rate / 10))]
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
            self.passed += len(piece)
            if rate is not None:
                await self._or_changed(len(piece) / rate)
                await self._while_cut(direction)

    async def _while_cut(self, direction: str) -> None:
        while direction in self.state.cut:
            await self._changed.wait()

    async def _or_changed(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
