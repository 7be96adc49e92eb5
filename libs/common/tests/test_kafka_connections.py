"""What a lost connection to a broker raises on the loop that services run on."""

import asyncio
import gc
import socket
import struct
import warnings
from typing import Any

import pytest
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.metadata import MetadataRequest

import purser_common.kafka  # noqa: F401  it makes aiokafka say so
from purser_common import settings


class Plain(AIOKafkaConnection):
    """A connection that greets nobody, so that any server will do."""

    async def _do_version_lookup(self) -> None:
        return


def test_a_send_on_a_connection_that_was_just_lost_is_a_kafka_error() -> None:
    """Between the reset and the moment at which the connection's reader takes note of it."""

    async def send_until_lost() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            connection = Plain("127.0.0.1", listener.getsockname()[1], request_timeout_ms=5_000)
            await connection.connect()
            accepted, _ = listener.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()
            while connection.connected():
                connection.send(ApiVersionRequest(), expect_response=False).close()
                await asyncio.sleep(0)
            raise AssertionError("the reader was faster than the sender")

    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        pytest.raises(KafkaConnectionError),
    ):
        runner.run(send_until_lost())


async def test_a_client_that_is_given_up_at_its_first_question_leaves_no_connection(
    kafka: settings.Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = AIOKafkaConnection.send

    def given_up(connection: AIOKafkaConnection, request: Any, *args: Any, **options: Any) -> Any:
        answer = send(connection, request, *args, **options)
        if isinstance(request, MetadataRequest):
            asking = asyncio.current_task()
            assert asking is not None
            asking.cancel()
        return answer

    monkeypatch.setattr(AIOKafkaConnection, "send", given_up)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
        starting = asyncio.create_task(producer.start())
        await asyncio.wait([starting])
        assert starting.cancelled()
        await producer.stop()
        del producer, starting
        gc.collect()
    assert [str(one.message) for one in told] == []
