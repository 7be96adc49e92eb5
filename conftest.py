"""Fixtures for every member's tests: real servers, a fresh database, a deployment's keys, a sandbox."""

from collections.abc import AsyncIterator

import credentials
import local_servers
import pytest
from program_settings import ENTRA_CLIENT, SERVICES

from purser_common import kafka as chassis_kafka
from purser_common import settings, testing

pytest_plugins = ("pytester", "requirements_plugin")

_SERVERS = pytest.StashKey[testing.Servers]()


def pytest_configure(config: pytest.Config) -> None:
    """Decide which servers the tests run on; there is no run without any."""
    try:
        config.stash[_SERVERS] = testing.choose(local_servers.find)
    except (RuntimeError, local_servers.Missing) as problem:
        raise pytest.UsageError(f"servers: {problem}") from None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share something dear run in the same worker: it is there once and not for each."""
    for item in items:
        shared = {"system", "_own_servers"} & set(getattr(item, "fixturenames", ()))
        for name in sorted(shared)[:1]:
            item.add_marker(pytest.mark.xdist_group(name))


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
    async with servers.fresh_database() as config:
        yield config


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
def keys(tmp_path_factory: pytest.TempPathFactory) -> testing.Keys:
    """The keys of a deployment, made as those of a local one."""
    home = tmp_path_factory.mktemp("keys")
    credentials.create(home, SERVICES)
    return testing.Keys(home)


@pytest.fixture(scope="session")
async def sandbox(
    tmp_path_factory: pytest.TempPathFactory, keys: testing.Keys
) -> AsyncIterator[testing.Sandbox]:
    """One sandbox whose orders take no time: each test takes an account of its own."""
    secret = keys.microsoft_secret.read_text().strip()
    async with testing.sandbox(
        tmp_path_factory.mktemp("sandbox"),
        SANDBOX_ENTRA_CLIENT_ID=ENTRA_CLIENT,
        SANDBOX_ENTRA_CLIENT_SECRET=secret,
    ) as running:
        yield running


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
