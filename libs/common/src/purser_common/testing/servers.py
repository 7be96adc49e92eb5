"""A Kafka and a MongoDB that a test can use, and stop, kill and start when they are its own."""

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from purser_common import kafka, mongo, settings
from purser_common.errors import Problem
from purser_common.testing.running import (
    Container,
    Elsewhere,
    Launcher,
    OneServer,
    OwnProcess,
    free_port,
)
from purser_common.testing.waiting import eventually

KAFKA_IMAGE = "apache/kafka:4.3.1"
MONGO_IMAGE = "mongo:8.0"


@contextlib.asynccontextmanager
async def opened(
    config: settings.Mongo, indexes: Sequence[mongo.Index] = ()
) -> AsyncIterator[mongo.Database]:
    """A database to look at, with these indexes; whoever asks what none of them serves fails."""
    watch = mongo.IndexWatch(indexes)
    client = mongo.connect(config, [watch] if indexes else [])
    await mongo.declare_indexes(client[config.database], indexes)
    yield client[config.database]
    await mongo.close(client)
    assert watch.unserved == []  # noqa: S101


class Servers:
    """A Kafka and a MongoDB. `origin` says in words where they come from, and why from there."""

    def __init__(
        self,
        origin: str,
        bootstrap_servers: str,
        mongo_url: str,
        kafka_: OneServer,
        mongo_: OneServer,
    ) -> None:
        self.origin = origin
        self.kafka = settings.Kafka(
            bootstrap_servers=bootstrap_servers, partitions=3, replication=1
        )
        self.mongo_url = mongo_url
        self._kafka = kafka_
        self._mongo = mongo_
        self._home: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def elsewhere(cls, bootstrap_servers: str, mongo_url: str) -> "Servers":
        """Those that the environment names."""
        return cls(
            f"TEST_KAFKA={bootstrap_servers}, TEST_MONGO_URL is set",
            bootstrap_servers,
            mongo_url,
            Elsewhere("the Kafka of TEST_KAFKA"),
            Elsewhere("the MongoDB of TEST_MONGO_URL"),
        )

    @classmethod
    def processes(cls, launcher: Launcher, why: str) -> "Servers":
        """Own processes on free ports, their data in a temporary directory."""
        directory = tempfile.TemporaryDirectory(
            prefix="purser-servers-", ignore_cleanup_errors=True
        )
        home = Path(directory.name)
        port, controller, mongo_port = free_port(), free_port(), free_port()
        servers = cls(
            f"local processes ({why})",
            f"127.0.0.1:{port}",
            f"mongodb://127.0.0.1:{mongo_port}",
            OwnProcess(lambda: launcher.kafka(home, port, controller), home / "kafka.log"),
            OwnProcess(lambda: launcher.mongo(home, mongo_port), home / "mongo.log"),
        )
        servers._home = directory
        return servers

    @classmethod
    def containers(cls, why: str) -> "Servers":
        """Own containers through testcontainers."""
        port, mongo_port = free_port(), free_port()
        return cls(
            f"containers {KAFKA_IMAGE} and {MONGO_IMAGE} ({why})",
            f"127.0.0.1:{port}",
            f"mongodb://127.0.0.1:{mongo_port}",
            Container(KAFKA_IMAGE, {19092: port}, _kafka_environment(port)),
            Container(MONGO_IMAGE, {27017: mongo_port}, {}),
        )

    def database(self, name: str) -> settings.Mongo:
        """The settings of a database."""
        return settings.Mongo(url=self.mongo_url, database=name)

    @contextlib.asynccontextmanager
    async def fresh_database(self) -> AsyncIterator[settings.Mongo]:
        """A database that nobody else uses, dropped afterwards."""
        config = self.database(f"test_{uuid.uuid4().hex[:12]}")
        yield config
        async with opened(config) as database:
            await database.command("dropDatabase")

    async def start(self) -> None:
        """Start what does not run, both at once, and return when both answer."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self.start_kafka())
            both.create_task(self.start_mongo())

    async def close(self) -> None:
        """End both and delete their data."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._kafka.close())
            both.create_task(self._mongo.close())
        if self._home is not None:
            self._home.cleanup()

    async def start_kafka(self) -> None:
        """Start Kafka, with its data, and return when it answers."""
        await self._kafka.start()
        await self._listening(self.kafka.bootstrap_servers)
        await eventually(self._kafka_answers, within=30.0)

    async def stop_kafka(self) -> None:
        """End Kafka in order."""
        await self._kafka.stop()

    async def kill_kafka(self) -> None:
        """End Kafka with SIGKILL."""
        await self._kafka.kill()

    async def start_mongo(self) -> None:
        """Start MongoDB, with its data, and return when it answers."""
        await self._mongo.start()
        await self._listening(self.mongo_url.partition("://")[2].rpartition("@")[2])
        await eventually(self._mongo_answers, within=30.0)

    async def stop_mongo(self) -> None:
        """End MongoDB in order."""
        await self._mongo.stop()

    async def kill_mongo(self) -> None:
        """End MongoDB with SIGKILL."""
        await self._mongo.kill()

    async def _listening(self, address: str) -> None:
        host, _, port = address.partition("/")[0].partition(",")[0].rpartition(":")

        async def connects() -> bool:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(host or "127.0.0.1", int(port))
                writer.close()
                await writer.wait_closed()
                return True
            return False

        if port.isdigit():
            await eventually(connects, within=60.0)

    async def _kafka_answers(self) -> bool:
        with contextlib.suppress(kafka.KafkaError, Problem):
            await kafka.reachable(self.kafka)
            return True
        return False

    async def _mongo_answers(self) -> bool:
        config = self.database("admin").model_copy(update={"timeout_ms": 2_000})
        client = mongo.connect(config)
        try:
            await mongo.ping(client["admin"])
        except mongo.PyMongoError:
            return False
        finally:
            await mongo.close(client)
        return True


def _kafka_environment(port: int) -> dict[str, str]:
    given = {
        "node.id": "1",
        "process.roles": "broker,controller",
        "controller.quorum.voters": "1@localhost:9093",
        "listeners": "INSIDE://:9092,OUTSIDE://:19092,CONTROLLER://:9093",
        "advertised.listeners": f"INSIDE://localhost:9092,OUTSIDE://127.0.0.1:{port}",
        "listener.security.protocol.map": "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INSIDE",
        "controller.listener.names": "CONTROLLER",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
    }
    return {f"KAFKA_{name.replace('.', '_').upper()}": value for name, value in given.items()}
