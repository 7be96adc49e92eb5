"""One acknowledged send, and what must be there before it."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, for_code

from purser_common import logs, settings
from purser_common.errors import Unavailable
from purser_events.topics import CONSUMER_GROUPS, TOPICS, dead_letter

_log = logs.get(__name__)


class Producer:
    """An idempotent producer that is rebuilt after a fatal error; no process ends because of Kafka."""

    def __init__(self, config: settings.Kafka) -> None:
        self._config = config
        self._current: AIOKafkaProducer | None = None
        self._building = asyncio.Lock()

    async def send(
        self, topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        """Send one record and return when all replicas have it. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._config.send_timeout_seconds):
                producer = await self._producer()
                await producer.send_and_wait(topic, value, key=key.encode(), headers=list(headers))
        except (TimeoutError, KafkaTimeoutError) as error:
            # It may still arrive: sending it again costs a duplicate, never order.
            raise Unavailable("Kafka does not answer", code="kafka_unavailable") from error
        except KafkaError as error:
            if not error.retriable:
                await self._discard(producer)
            raise Unavailable(f"Kafka refused: {error}", code="kafka_unavailable") from error

    async def _producer(self) -> AIOKafkaProducer:
        async with self._building:
            if self._current is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._config.bootstrap_servers,
                    enable_idempotence=True,
                    acks="all",
                    request_timeout_ms=20_000,
                )
                try:
                    await producer.start()
                except KafkaError as error:
                    await _stopped(producer)
                    raise Unavailable("Kafka is away", code="kafka_unavailable") from error
                except asyncio.CancelledError:
                    await _stopped(producer)
                    raise
                self._current = producer
            return self._current

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        if self._current is producer:
            self._current = None
        await _stopped(producer)

    async def stop(self) -> None:
        """Close the connection; waits at most a few seconds for records under way."""
        if self._current is not None:
            await self._discard(self._current)


async def _stopped(producer: AIOKafkaProducer) -> None:
    try:
        # An idempotent batch never expires, so without a limit this hangs while Kafka is away.
        async with asyncio.timeout(5):
            await producer.stop()
    except (TimeoutError, KafkaError) as error:
        _log.warning("producer not closed in order", error=type(error).__name__)
        # else it would go on for as long as the process lives, with its sockets open
        sending = producer._sender.sender_task
        if sending is not None:
            sending.cancel()
        await producer.client.close()


async def provision(config: settings.Kafka, groups: Sequence[str] = CONSUMER_GROUPS) -> list[str]:
    """Create the topics and dead-letter topics that are missing; returns their names."""
    names = [topic.name for topic in TOPICS] + [dead_letter(group) for group in groups]
    admin = AIOKafkaAdminClient(bootstrap_servers=config.bootstrap_servers)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [name for name in names if name not in existing]
        answer = await admin.create_topics(
            [
                NewTopic(
                    name,
                    config.partitions,
                    config.replication,
                    topic_configs={"cleanup.policy": "delete", "retention.ms": "-1"},
                )
                for name in missing
            ]
        )
        for name, code, *_ in answer.topic_errors:
            if code:
                raise for_code(code)(f"topic {name}")
    finally:
        await admin.close()
    return missing


async def reachable(config: settings.Kafka) -> None:
    """Raises Unavailable when no broker answers."""
    # asked first, as the client writes a line for each server that does not listen
    if not any([await _listens(server) for server in config.bootstrap_servers.split(",")]):
        raise Unavailable(f"no Kafka at {config.bootstrap_servers}", code="kafka_unavailable")
    admin = AIOKafkaAdminClient(
        bootstrap_servers=config.bootstrap_servers, request_timeout_ms=5_000
    )
    try:
        await admin.start()
    except KafkaConnectionError as error:
        raise Unavailable(
            f"no Kafka at {config.bootstrap_servers}", code="kafka_unavailable"
        ) from error
    finally:
        await admin.close()


async def _listens(server: str) -> bool:
    host, _, port = server.strip().rpartition(":")
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
