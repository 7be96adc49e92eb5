"""What a lost connection does inside aiokafka."""

import functools
from collections.abc import Callable
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError


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


def mend() -> None:
    """Make every connection of this process tell that it was lost."""
    for name in ("send", "_send_sasl_token"):
        send = getattr(AIOKafkaConnection, name)
        if not hasattr(send, "__wrapped__"):
            setattr(AIOKafkaConnection, name, _told_when_lost(send))
