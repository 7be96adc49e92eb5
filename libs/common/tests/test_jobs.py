"""Leases save work, never safety; nudges save waiting."""

import asyncio
from datetime import timedelta
from typing import Any

from purser_common import jobs
from purser_common.clock import real_now
from purser_common.errors import Unavailable, VersionConflict
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


async def test_a_worker_that_dies_holds_its_document_for_a_lease_and_no_longer(
    written: Any,
) -> None:
    await written.collection.insert_one({"_id": "1", "due_at": real_now()})
    began, lease = real_now(), timedelta(seconds=0.5)
    assert await jobs.claim(written.collection, "due_at", lease) is not None

    async def again() -> Any:
        return await jobs.claim(written.collection, "due_at", lease)

    await eventually(again, within=5, every=0.02)
    assert real_now() - began >= lease


class Workshop:
    """Documents that are due; a job's work on each is one fenced save with one fact."""

    def __init__(self, written: Any, lease: timedelta) -> None:
        self._written = written
        self._lease = lease
        self.worked: list[str] = []
        self.hold: asyncio.Event | None = None

    async def add(self, *ids: str) -> None:
        for id in ids:
            document = await self._written.insert(id)
            await self._written.save(document, facts=0, due_at=real_now())

    async def once(self) -> bool:
        document = await jobs.claim(self._written.collection, "due_at", self._lease)
        if document is None:
            return False
        self.worked.append(document["_id"])
        if self.hold is not None:
            await self.hold.wait()
        await self._written.save(document, done=True, due_at=None)
        return True

    async def sequences(self) -> dict[str, int]:
        return {one["_id"]: one["sequence"] async for one in self._written.collection.find({})}


async def test_two_processes_do_the_work_of_each_document_once(written: Any) -> None:
    workshop, ids = Workshop(written, timedelta(minutes=1)), [f"c{n}" for n in range(20)]
    await workshop.add(*ids)
    processes = [jobs.Job("test.work", workshop.once, every=3600, workers=2) for _ in range(2)]
    running = [asyncio.create_task(jobs.run(job)) for job in processes]

    async def all_done() -> bool:
        return set((await workshop.sequences()).values()) == {2}

    await eventually(all_done)
    for task in running:
        task.cancel()
    assert sorted(workshop.worked) == sorted(ids)


async def test_a_worker_that_outlives_its_lease_does_no_harm(written: Any) -> None:
    workshop = Workshop(written, timedelta(0))
    workshop.hold = asyncio.Event()
    await workshop.add("c1")
    working = []
    for number in range(1, 4):
        working.append(asyncio.create_task(workshop.once()))
        await eventually(lambda number=number: workshop.worked == ["c1"] * number)
    workshop.hold.set()
    ended = await asyncio.gather(*working, return_exceptions=True)
    assert [type(one) for one in ended].count(VersionConflict) == 2
    assert await workshop.sequences() == {"c1": 2}
    assert not await workshop.once()


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
