"""What tests stand on: waiting with a deadline, and a real Kafka and MongoDB wherever they come from."""

import asyncio
import contextlib
import inspect
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from purser_common import kafka, mongo, settings
from purser_common.errors import Problem

__all__ = [
    "Launcher",
    "Servers",
    "choose",
    "create_topics",
    "eventually",
    "free_port",
    "records",
]

KAFKA_IMAGE = "apache/kafka:4.3.1"
MONGO_IMAGE = "mongo:8.0"

T = TypeVar("T")


async def eventually(
    check: Callable[[], T | Awaitable[T]], *, within: float = 10.0, every: float = 0.05
) -> T:
    """The check's first true answer; a false one and an AssertionError are tried again.

    `within` and `every` are seconds. Raises AssertionError with the last reason. A check that is made
    of asserts ends with `return True`.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            answer = check()
            value = await answer if inspect.isawaitable(answer) else cast(T, answer)
            if value:
                return value
            reason = f"the check kept answering {value!r}"
        except AssertionError as error:
            reason = str(error) or "an assertion of the check failed"
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {reason}")
        await asyncio.sleep(every)


async def create_topics(config: settings.Kafka, *names: str, partitions: int = 0) -> None:
    """Create topics, with the settings' number of partitions or this one; existing ones stay."""
    admin = AIOKafkaAdminClient(bootstrap_servers=config.bootstrap_servers)
    await admin.start()
    try:
        count = partitions or config.partitions
        answer = await admin.create_topics(
            [NewTopic(name, count, config.replication) for name in names]
        )
        for name, code, *_ in answer.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                raise for_code(code)(f"topic {name}")
    finally:
        await admin.close()


async def records(
    config: settings.Kafka,
    *topics: str,
    until: Callable[[list[ConsumerRecord[bytes, bytes]]], object],
    within: float = 10.0,
) -> list[ConsumerRecord[bytes, bytes]]:
    """Everything on the topics from the beginning, read until `until` says it is enough.

    Raises AssertionError with what was read when it is not enough within that many seconds.
    """
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=config.bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    read: list[ConsumerRecord[bytes, bytes]] = []
    await consumer.start()
    try:
        async with asyncio.timeout(within):
            while not until(read):
                batches = await consumer.getmany(timeout_ms=200)
                read += [record for batch in batches.values() for record in batch]
    except TimeoutError:
        seen = [(record.topic, record.value) for record in read[-10:]]
        raise AssertionError(
            f"not within {within:g} s; {len(read)} records read, the last of them {seen}"
        ) from None
    finally:
        await consumer.stop()
    return read


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Launcher(Protocol):
    """How the two servers run as processes of this machine; each answers with a command."""

    def kafka(self, home: Path, port: int, controller: int) -> list[str]: ...
    def mongo(self, home: Path, port: int) -> list[str]: ...


class _Server(Protocol):
    """One server that can be started again with its data."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def kill(self) -> None: ...
    async def close(self) -> None: ...


class _Process:
    """A server as a process of this machine; `prepare` may take a second and answers the command."""

    def __init__(self, prepare: Callable[[], list[str]], log: Path) -> None:
        self._prepare = prepare
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        command = await asyncio.to_thread(self._prepare)
        if setpriv := shutil.which("setpriv"):
            # a test run that is killed leaves no server behind
            command = [setpriv, "--pdeathsig", "KILL", *command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603  (returns at once)
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def close(self) -> None:
        # nobody reads these data again
        await self._end(signal.SIGKILL)

    async def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            await asyncio.to_thread(process.wait, 30)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)


class _Container:
    """A server in a container, on a port of this machine that stays the same over a restart."""

    def __init__(self, image: str, ports: Mapping[int, int], env: Mapping[str, str]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from testcontainers.core.container import DockerContainer
        self._container = DockerContainer(image)
        for inside, outside in ports.items():
            self._container.with_bind_ports(inside, outside)
        for name, value in env.items():
            self._container.with_env(name, value)
        self._made = False

    async def start(self) -> None:
        if self._made:
            await asyncio.to_thread(self._docker().start)
        else:
            await asyncio.to_thread(self._container.start)
            self._made = True

    async def stop(self) -> None:
        await asyncio.to_thread(self._docker().stop)

    async def kill(self) -> None:
        await asyncio.to_thread(self._docker().kill)

    async def close(self) -> None:
        if self._made:
            await asyncio.to_thread(self._container.stop)

    def _docker(self) -> Any:
        return self._container.get_wrapped_container()


class _Elsewhere:
    """A server that somebody else runs."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return

    async def stop(self) -> None:
        raise RuntimeError(f"{self._name} is somebody else's: use the fixture private_servers")

    kill = stop


class Servers:
    """A Kafka and a MongoDB. `origin` says in words where they come from, and why from there."""

    def __init__(
        self, origin: str, bootstrap_servers: str, mongo_url: str, kafka_: _Server, mongo_: _Server
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
            _Elsewhere("the Kafka of TEST_KAFKA"),
            _Elsewhere("the MongoDB of TEST_MONGO_URL"),
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
            _Process(lambda: launcher.kafka(home, port, controller), home / "kafka.log"),
            _Process(lambda: launcher.mongo(home, mongo_port), home / "mongo.log"),
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
            _Container(KAFKA_IMAGE, {19092: port}, _kafka_environment(port)),
            _Container(MONGO_IMAGE, {27017: mongo_port}, {}),
        )

    def database(self, name: str) -> settings.Mongo:
        """The settings of a database."""
        return settings.Mongo(url=self.mongo_url, database=name)

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


def choose(
    launcher: Callable[[], Launcher],
    environ: Mapping[str, str] = os.environ,
    *,
    private: bool = False,
) -> Servers:
    """Servers from TEST_KAFKA and TEST_MONGO_URL, else containers, else local processes; not started.

    `private` ones are never those of the environment. TEST_SERVERS=docker or local insists on a kind.
    Raises RuntimeError when there are none to be had; `launcher` raises what it misses.
    """
    named, wanted = (
        [environ.get(n) for n in ("TEST_KAFKA", "TEST_MONGO_URL")],
        environ.get("TEST_SERVERS", ""),
    )
    if any(named) and not all(named):
        raise RuntimeError("TEST_KAFKA and TEST_MONGO_URL go together: set both or neither")
    if wanted not in ("", "docker", "local"):
        raise RuntimeError(f"TEST_SERVERS={wanted} is neither docker nor local")
    if named[0] and named[1] and not private:
        return Servers.elsewhere(named[0], named[1])
    if wanted == "local":
        return Servers.processes(launcher(), "TEST_SERVERS=local")
    refusal = _docker_refusal()
    if refusal is None:
        return Servers.containers("a Docker daemon answers and has the images")
    if wanted == "docker":
        raise RuntimeError(f"TEST_SERVERS=docker, but {refusal}")
    return Servers.processes(launcher(), refusal)


def _docker_refusal() -> str | None:
    """Why there are no containers here; None when there are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import docker
        from docker.errors import DockerException
    try:
        client = docker.from_env(timeout=10)
        client.ping()
    except (DockerException, OSError):
        return "no Docker daemon answers"
    try:
        for image in (KAFKA_IMAGE, MONGO_IMAGE):
            if not client.images.list(name=image):
                client.images.pull(image)
    except (DockerException, OSError):
        return f"the Docker daemon neither has nor may pull {image}"
    finally:
        client.close()
    return None


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
