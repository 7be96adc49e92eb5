"""The servers that everything else is tested on, and what is said when this machine lacks something."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import local_servers
import pytest
from local_servers import Missing

from purser_common import mongo as database
from purser_common import settings, testing
from purser_common.kafka import Producer
from purser_common.testing import Servers, create_topics, eventually, records


def program(directory: Path, name: str, script: str = "exit 0") -> Path:
    """A program that stands on PATH in place of a real one."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


async def sent(config: settings.Kafka, topic: str, values: range) -> None:
    producer = Producer(config)
    for value in values:
        await producer.send(topic, f"key-{value}", b"%d" % value, [])
    await producer.stop()


async def test_every_record_that_was_sent_is_read_from_the_beginning(
    kafka: settings.Kafka,
) -> None:
    topic = f"test.{uuid4().hex}"
    await create_topics(kafka, topic)
    await sent(kafka, topic, range(20))
    read = await records(kafka, topic, until=lambda read: len(read) >= 20)
    assert sorted(int(record.value or b"") for record in read) == list(range(20))


async def test_records_that_do_not_come_are_said_to_be_missing(kafka: settings.Kafka) -> None:
    topic = f"test.{uuid4().hex}"
    await create_topics(kafka, topic, partitions=1)
    await sent(kafka, topic, range(2))
    with pytest.raises(AssertionError, match="2 records read"):
        await records(kafka, topic, until=lambda read: len(read) > 2, within=1)


async def test_acknowledged_records_survive_a_killed_kafka(private_servers: Servers) -> None:
    topic = f"test.{uuid4().hex}"
    await create_topics(private_servers.kafka, topic)
    await sent(private_servers.kafka, topic, range(50))
    await private_servers.kill_kafka()
    await private_servers.start_kafka()
    read = await records(private_servers.kafka, topic, until=lambda read: len(read) >= 50)
    assert sorted(int(record.value or b"") for record in read) == list(range(50))


async def test_acknowledged_writes_survive_a_killed_mongodb(private_servers: Servers) -> None:
    config = private_servers.database(f"test_{uuid4().hex[:12]}")
    client = database.connect(config)
    collection = client[config.database]["things"]
    acknowledged: list[str] = []

    async def write() -> None:
        while True:
            _id = uuid4().hex
            await collection.insert_one({"_id": _id, "text": "x" * 200})
            acknowledged.append(_id)

    writers = [asyncio.create_task(write()) for _ in range(8)]
    try:
        await eventually(lambda: len(acknowledged) >= 300, every=0.01)
        assert not any(writer.done() for writer in writers)
        await private_servers.kill_mongo()
    finally:
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
    await private_servers.start_mongo()
    kept = {document["_id"] async for document in collection.find({})}
    await database.close(client)
    assert set(acknowledged) - kept == set()


async def test_each_test_gets_a_database_of_its_own(mongo: settings.Mongo) -> None:
    client = database.connect(mongo)
    assert await client[mongo.database]["things"].count_documents({}) == 0
    await client[mongo.database]["things"].insert_one({"_id": "mine"})
    await database.close(client)


async def test_waiting_takes_the_first_true_answer_and_ends_at_its_deadline() -> None:
    answers = iter([0, None, "ready"])
    assert await eventually(lambda: next(answers)) == "ready"

    async def never() -> bool:
        raise AssertionError("the tap drips")

    with pytest.raises(AssertionError, match=r"not within 0\.1 s: the tap drips"):
        await eventually(never, within=0.1)


def test_missing_java_is_answered_with_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="Java is missing: install a Java 17 or newer development"):
        local_servers.find(environ={"PATH": str(tmp_path)})


def test_java_that_is_too_old_is_named_with_its_version(tmp_path: Path) -> None:
    java = program(tmp_path, "java", "echo 'openjdk version \"11.0.2\"' >&2")
    with pytest.raises(Missing, match=f"{java} is Java 11, which is too old: install"):
        local_servers.find(environ={"PATH": str(tmp_path)})


def test_missing_maven_and_compiler_are_answered_with_what_to_install(tmp_path: Path) -> None:
    program(tmp_path, "java", "echo 'openjdk version \"21.0.1\"' >&2")
    environ = {"PATH": str(tmp_path)}
    with pytest.raises(Missing, match="Maven is missing: install Maven"):
        local_servers.fetch(tmp_path / "tools", environ)
    program(tmp_path, "mvn")
    with pytest.raises(Missing, match="the Java compiler is missing: install a Java 17"):
        local_servers.fetch(tmp_path / "tools", environ)


def test_maven_that_fails_is_quoted_and_tried_again_the_next_time(tmp_path: Path) -> None:
    program(tmp_path, "java", "echo 'openjdk version \"21.0.1\"' >&2")
    program(tmp_path, "javac")
    program(tmp_path, "mvn", "echo no route to the repository; exit 1")
    for _ in range(2):
        with pytest.raises(Missing, match="cannot fetch the servers' jars:\nno route"):
            local_servers.fetch(tmp_path / "tools", {"PATH": str(tmp_path)})


def test_setup_without_java_says_so_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, local_servers.HERE / "local_servers.py", "fetch"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Java is missing: install")
    assert done.stderr.count("\n") == 1


def test_jars_that_were_never_fetched_are_named_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="run `make setup`"):
        local_servers.find(tools=tmp_path)


def test_a_real_mongod_is_used_when_there_is_one(tmp_path: Path) -> None:
    mongod = program(tmp_path, "mongod")
    tools = local_servers.find(environ={**os.environ, "MONGOD": str(mongod)})
    assert tools.mongo(tmp_path / "data", 27117)[0] == str(mongod)
    with pytest.raises(Missing, match="MONGOD names /nowhere/mongod, which is no program"):
        local_servers.find(environ={**os.environ, "MONGOD": "/nowhere/mongod"})


async def test_servers_of_the_environment_are_used_but_never_as_private_ones() -> None:
    named = {"TEST_KAFKA": "kafka.test:9092", "TEST_MONGO_URL": "mongodb://mongo.test:27017"}
    shared = testing.choose(local_servers.find, named)
    assert shared.kafka.bootstrap_servers == "kafka.test:9092"
    assert shared.mongo_url == "mongodb://mongo.test:27017"
    assert "TEST_KAFKA" in shared.origin
    own = testing.choose(local_servers.find, {**named, "TEST_SERVERS": "local"}, private=True)
    assert own.kafka.bootstrap_servers.startswith("127.0.0.1:")
    await own.close()


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"TEST_KAFKA": "kafka.test:9092"}, "set both or neither"),
        ({"TEST_SERVERS": "cloud"}, "neither docker nor local"),
    ],
)
def test_half_a_choice_of_servers_is_refused(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(RuntimeError, match=complaint):
        testing.choose(local_servers.find, environ)


async def test_servers_of_somebody_else_are_never_stopped() -> None:
    shared = Servers.elsewhere("kafka.test:9092", "mongodb://mongo.test:27017")
    with pytest.raises(RuntimeError, match="use the fixture private_servers"):
        await shared.stop_kafka()
