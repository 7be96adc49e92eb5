"""Fixtures for every member's tests: real servers, a fresh database for each test."""

from collections.abc import AsyncIterator
from uuid import uuid4

import local_servers
import pytest

from purser_common import kafka as chassis_kafka
from purser_common import mongo as chassis_mongo
from purser_common import settings, testing

_SERVERS = pytest.StashKey[testing.Servers]()


def pytest_configure(config: pytest.Config) -> None:
    """Decide which servers the tests run on; there is no run without any."""
    try:
        config.stash[_SERVERS] = testing.choose(local_servers.find)
    except (RuntimeError, local_servers.Missing) as problem:
        raise pytest.UsageError(f"servers: {problem}") from None


def pytest_report_header(config: pytest.Config) -> str:
    """Say which servers the tests run on, and why those."""
    return f"servers: {config.stash[_SERVERS].origin}"


@pytest.fixture(scope="session")
async def servers(pytestconfig: pytest.Config) -> AsyncIterator[testing.Servers]:
    """The Kafka and the MongoDB that all tests share."""
    shared = pytestconfig.stash[_SERVERS]
    try:
        await shared.start()
        yield shared
    finally:
        await shared.close()


@pytest.fixture
async def mongo(servers: testing.Servers) -> AsyncIterator[settings.Mongo]:
    """A fresh database on the shared MongoDB, dropped afterwards."""
    config = servers.database(f"test_{uuid4().hex[:12]}")
    yield config
    client = chassis_mongo.connect(config)
    await client[config.database].command("dropDatabase")
    await chassis_mongo.close(client)


@pytest.fixture
def kafka(servers: testing.Servers) -> settings.Kafka:
    """The shared Kafka, without topics: name your own."""
    return servers.kafka


@pytest.fixture(scope="session")
async def provisioned(servers: testing.Servers) -> settings.Kafka:
    """The shared Kafka with Purser's topics; all tests of the run write to the same ones."""
    await chassis_kafka.provision(servers.kafka)
    return servers.kafka


@pytest.fixture(scope="session")
async def _own_servers() -> AsyncIterator[testing.Servers]:
    own = testing.choose(local_servers.find, private=True)
    try:
        await own.start()
        yield own
    finally:
        await own.close()


@pytest.fixture
async def private_servers(_own_servers: testing.Servers) -> testing.Servers:
    """Servers that a test may stop, kill and start; both run when it begins."""
    await _own_servers.start()
    return _own_servers
