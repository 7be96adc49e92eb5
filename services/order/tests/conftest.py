"""A database with the order service's indexes."""

from collections.abc import AsyncIterator

import pytest

from order_service import store
from purser_common import mongo as chassis_mongo
from purser_common import settings
from purser_common.clock import Clock
from purser_common.mongo import Database
from purser_common.outbox import Outbox


@pytest.fixture
async def database(mongo: settings.Mongo) -> AsyncIterator[Database]:
    client = chassis_mongo.connect(mongo)
    await chassis_mongo.declare_indexes(client[mongo.database], store.INDEXES)
    yield client[mongo.database]
    await chassis_mongo.close(client)


@pytest.fixture
def outbox() -> Outbox:
    """Facts stay in the documents: nobody publishes them."""
    return Outbox("order", Clock(), lambda *_: None)


@pytest.fixture
def requests(database: Database, outbox: Outbox) -> store.Requests:
    return store.Requests(database, outbox)
