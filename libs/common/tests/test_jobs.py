"""Leases save work; nudges save waiting; an index must serve every query."""

import asyncio
from datetime import timedelta
from typing import Any

from purser_common import jobs, settings
from purser_common import mongo as chassis_mongo
from purser_common.clock import real_now
from purser_common.errors import Unavailable
from purser_common.mongo import Index, IndexWatch
from purser_common.testing import eventually


async def test_twenty_workers_claim_each_due_document_once(written: Any) -> None:
    now = real_now()
    await written.collection.insert_many([{"_id": str(n), "due_at": now} for n in range(60)])
    claimed: list[str] = []

    async def work() -> None:
        while True:
            found = await jobs.claim(written.collection, "due_at", timedelta(minutes=1))
            if found is None:
                return
            claimed.append(found["_id"])

    await asyncio.gather(*(work() for _ in range(20)))
    assert sorted(claimed) == sorted(str(n) for n in range(60))


async def test_a_lapsed_lease_is_taken_again(written: Any) -> None:
    await written.collection.insert_one({"_id": "1", "due_at": real_now()})
    assert await jobs.claim(written.collection, "due_at", timedelta(0)) is not None
    assert await jobs.claim(written.collection, "due_at", timedelta(minutes=1)) is not None
    assert await jobs.claim(written.collection, "due_at", timedelta(minutes=1)) is None


async def test_a_nudge_wakes_a_job_and_an_error_does_not_end_it() -> None:
    runs: list[int] = []

    async def once() -> bool:
        runs.append(len(runs))
        if len(runs) == 1:
            raise Unavailable("away")
        if len(runs) == 2:
            raise KeyError("a defect")
        return False

    job = jobs.Job("test.nudged", once, every=3600)
    running = asyncio.create_task(jobs.run(job))
    for expected in (1, 2, 3):
        await eventually(lambda expected=expected: len(runs) == expected)
        job.nudge()
    running.cancel()


async def test_a_query_without_an_index_is_noticed(mongo: settings.Mongo) -> None:
    watch = IndexWatch([Index("things", (("tenant", 1), ("at", -1)))])
    client = chassis_mongo.connect(mongo, [watch])
    things = client[mongo.database]["things"]
    await things.find({"tenant": "1"}).sort([("at", -1)]).to_list(None)
    await things.find_one({"_id": "1"})
    await things.find_one({"tenant": "1", "name": "x"})
    assert watch.unserved == []
    await things.find_one({"name": "x"})
    await things.find({"tenant": "1"}).sort([("name", 1)]).to_list(None)
    await things.update_one({"at": {"$lt": 1}}, {"$set": {"x": 1}})
    assert len(watch.unserved) == 3
    await chassis_mongo.close(client)
