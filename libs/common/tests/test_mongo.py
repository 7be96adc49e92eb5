"""The one door to MongoDB hands out the driver that is asked for, with writes that last."""

from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

from purser_common import mongo as chassis
from purser_common import settings
from purser_common.errors import Unavailable
from purser_common.mongo import Index, IndexWatch
from purser_common.testing import Servers

CLIENTS = {"motor": AsyncIOMotorClient, "pymongo": AsyncMongoClient}


async def test_the_named_driver_is_in_use_and_waits_for_majority_and_journal(
    mongo: settings.Mongo, driver: Any
) -> None:
    client: Any = chassis.connect(mongo.model_copy(update={"driver": driver}))
    assert isinstance(client, CLIENTS[driver])
    assert client.write_concern.document == {"w": "majority", "j": True}
    await chassis.ping(client[mongo.database])
    await chassis.close(client)


async def test_an_absent_server_is_told_from_a_wrong_command(written: Any, driver: Any) -> None:
    away = settings.Mongo(
        url="mongodb://127.0.0.1:9", database="none", driver=driver, timeout_ms=300
    )
    client = chassis.connect(away)
    with pytest.raises(chassis.PyMongoError) as absent:
        await chassis.ping(client["none"])
    await chassis.close(client)
    await written.insert()
    with pytest.raises(chassis.PyMongoError) as wrong:
        await written.collection.update_one({"_id": "c1"}, {"$nothing": {"name": 1}})
    assert (chassis.is_away(absent.value), chassis.is_away(wrong.value)) == (True, False)


async def test_a_write_to_an_absent_server_says_that_trying_again_is_right(
    private_written: Any, private_servers: Servers
) -> None:
    document = await private_written.insert()
    await private_servers.kill_mongo()
    for writing in (private_written.save(document), private_written.insert("c2")):
        with pytest.raises(Unavailable) as refusal:
            await writing
        assert refusal.value.code == "database_unavailable"
    await private_servers.start_mongo()
    assert (await private_written.load())["version"] == 1
    assert (await private_written.save(document))["version"] == 2


async def test_a_query_without_an_index_is_noticed(mongo: settings.Mongo, driver: Any) -> None:
    watch = IndexWatch([Index("things", (("tenant", 1), ("at", -1)))])
    client = chassis.connect(mongo.model_copy(update={"driver": driver}), [watch])
    things = client[mongo.database]["things"]
    await things.find({"tenant": "1"}).sort([("at", -1)]).to_list(None)
    await things.find_one({"_id": "1"})
    await things.find_one({"tenant": "1", "name": "x"})
    assert watch.unserved == []
    await things.find_one({"name": "x"})
    await things.find({"tenant": "1"}).sort([("name", 1)]).to_list(None)
    await things.update_one({"at": {"$lt": 1}}, {"$set": {"x": 1}})
    assert len(watch.unserved) == 3
    await chassis.close(client)


async def test_an_index_that_an_earlier_version_declared_otherwise_is_made_anew(
    mongo: settings.Mongo, driver: Any
) -> None:
    client = chassis.connect(mongo.model_copy(update={"driver": driver}))
    things = client[mongo.database]["things"]
    await things.insert_one({"_id": "1", "name": "a"})
    for sparse in (False, True, True):
        index = Index("things", (("name", 1),), unique=True, sparse=sparse)
        await chassis.declare_indexes(client[mongo.database], [index])
    await things.insert_many([{"_id": "2"}, {"_id": "3"}])
    with pytest.raises(chassis.DuplicateKeyError):
        await things.insert_one({"_id": "4", "name": "a"})
    await chassis.close(client)
