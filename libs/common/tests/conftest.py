"""A small aggregate of the published language to write with, on both drivers."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

import pytest

from purser_common import mongo as chassis_mongo
from purser_common import outbox, settings
from purser_common.clock import Clock
from purser_common.kafka import Producer
from purser_common.telemetry import Cause
from purser_common.testing import Servers
from purser_events.tenant import Customer, CustomerAdded

CAUSE = Cause("user:admin", "correlation-1")
Driver = Literal["motor", "pymongo"]


def customer(id: str = "c1", name: str = "Contoso") -> Customer:
    return Customer(id=id, name=name, added_at=datetime(2026, 1, 2, tzinfo=UTC))


@dataclass
class Written:
    """An outbox on a fresh collection, and what it nudged."""

    collection: chassis_mongo.Collection
    nudged: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outbox = outbox.Outbox(
            "tenant-connection", Clock(), lambda _, id: self.nudged.append(id)
        )

    async def insert(
        self, id: str = "c1", facts: int = 1, name: str = "Contoso", **options: Any
    ) -> dict[str, Any]:
        state = customer(id, name)
        return await self.outbox.insert(
            self.collection,
            id,
            {"state": state.model_dump(mode="json")},
            [CustomerAdded(state=state)] * facts,
            CAUSE,
            **options,
        )

    async def save(
        self,
        document: dict[str, Any],
        facts: int = 1,
        named: str = "Contoso",
        request: outbox.Request | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        state = customer(document["_id"], named)
        return await self.outbox.save(
            self.collection,
            outbox.Stamp.of(document),
            fields or {"touched": True},
            [CustomerAdded(state=state)] * facts,
            CAUSE,
            request,
        )

    async def load(self, id: str = "c1") -> dict[str, Any]:
        document = await self.collection.find_one({"_id": id})
        assert document is not None
        return document


@pytest.fixture(params=["motor", "pymongo"])
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each of the drivers that the one door hands out."""
    given: Driver = request.param
    return given


async def _written(config: settings.Mongo) -> AsyncIterator[Written]:
    client = chassis_mongo.connect(config)
    database = client[config.database]
    await chassis_mongo.declare_indexes(database, outbox.indexes("customers"))
    yield Written(database["customers"])
    await chassis_mongo.close(client)


@pytest.fixture
async def written(mongo: settings.Mongo, driver: Driver) -> AsyncIterator[Written]:
    async for written in _written(mongo.model_copy(update={"driver": driver})):
        yield written


@pytest.fixture
async def private_written(private_servers: Servers, driver: Driver) -> AsyncIterator[Written]:
    """On a MongoDB that the test may kill."""
    config = private_servers.database(f"test_{uuid4().hex[:12]}")
    async for written in _written(
        config.model_copy(update={"driver": driver, "timeout_ms": 1_000})
    ):
        yield written


@pytest.fixture
async def producer(provisioned: settings.Kafka) -> AsyncIterator[Producer]:
    """A producer on the shared Kafka that does not wait long."""
    producer = Producer(provisioned.model_copy(update={"send_timeout_seconds": 2.0}))
    yield producer
    await producer.stop()
