"""What aiokafka does with a connection that is lost, or that is no longer wanted while it is made."""

import functools
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from aiokafka import client
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_made: ContextVar[list[AIOKafkaConnection] | None] = ContextVar("connections_made", default=None)


def _told_when_lost(send: Callable[..., Any]) -> Callable[..., Any]:
    """A send on a connection that was lost a moment ago raises what aiokafka expects.

    uvloop raises RuntimeError there. aiokafka expects OSError; anything else ends the task that reads
    its metadata, and whoever consumes or produces then waits for ever.
    """

    @functools.wraps(send)
    def sending(connection: AIOKafkaConnection, *args: Any, **options: Any) -> Any:
        try:
            return send(connection, *args, **options)
        except RuntimeError as error:
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError("the connection was lost") from error

    return sending


def _noted(create: Callable[..., Awaitable[AIOKafkaConnection]]) -> Callable[..., Any]:
    @functools.wraps(create)
    async def creating(*args: Any, **options: Any) -> AIOKafkaConnection:
        connection = await create(*args, **options)
        made = _made.get()
        if made is not None:
            made.append(connection)
        return connection

    return creating


def _closed_when_cancelled(bootstrap: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    """A client that is given up while it asks for metadata closes what it had opened for that.

    aiokafka knows that connection in a local name only, so its own `close` cannot.
    """

    @functools.wraps(bootstrap)
    async def bootstrapping(*args: Any, **options: Any) -> None:
        made: list[AIOKafkaConnection] = []
        token = _made.set(made)
        try:
            await bootstrap(*args, **options)
        except BaseException:
            for connection in made:
                connection.close()
            raise
        finally:
            _made.reset(token)

    return bootstrapping


def mend() -> None:
    """Make every connection of this process tell that it was lost, and end when it is given up."""
    if not hasattr(client.create_conn, "__wrapped__"):
        client.create_conn = _noted(client.create_conn)
        client.AIOKafkaClient.bootstrap = _closed_when_cancelled(client.AIOKafkaClient.bootstrap)
    for name in ("send", "_send_sasl_token"):
        send = getattr(AIOKafkaConnection, name)
        if not hasattr(send, "__wrapped__"):
            setattr(AIOKafkaConnection, name, _told_when_lost(send))
