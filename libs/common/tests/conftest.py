"""A small aggregate of the published language to write with, on both drivers."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from purser_common import mongo as chassis_mongo
from purser_common import outbox, settings
from purser_common.clock import Clock
from purser_common.telemetry import Cause
from purser_events.tenant import Customer, CustomerAdded

CAUSE = Cause("user:admin", "correlation-1")


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

    async def insert(self, id: str = "c1", facts: int = 1, **options: Any) -> dict[str, Any]:
        state = customer(id)
        return await self.outbox.insert(
            self.collection,
            id,
            {"state": state.model_dump(mode="json")},
            [CustomerAdded(state=state)] * facts,
            CAUSE,
            **options,
        )

    async def save(self, document: dict[str, Any], facts: int = 1, **fields: Any) -> dict[str, Any]:
        state = customer(document["_id"])
        return await self.outbox.save(
            self.collection,
            outbox.Stamp.of(document),
            fields or {"touched": True},
            [CustomerAdded(state=state)] * facts,
            CAUSE,
        )

    async def load(self, id: str = "c1") -> dict[str, Any]:
        document = await self.collection.find_one({"_id": id})
        assert document is not None
        return document


@pytest.fixture(params=["motor", "pymongo"])
async def written(mongo: settings.Mongo, request: pytest.FixtureRequest) -> AsyncIterator[Written]:
    driver: Literal["motor", "pymongo"] = request.param
    client = chassis_mongo.connect(mongo.model_copy(update={"driver": driver}))
    database = client[mongo.database]
    await chassis_mongo.declare_indexes(database, outbox.indexes("customers"))
    yield Written(database["customers"])
    await chassis_mongo.close(client)
