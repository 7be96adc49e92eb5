"""Copies of what others own: the newest state stays, in whatever order the facts come."""

import random
from typing import Any

import pytest

from purser_common.mongo import BulkWriteError, keep_newest


async def test_the_newest_state_stays_in_whatever_order_states_come(written: Any) -> None:
    states = [
        {"_id": f"t{one}", "sequence": sequence, "name": f"{one} as of {sequence}"}
        for one in range(5)
        for sequence in range(1, 11)
    ] * 2
    random.shuffle(states)
    while states:
        batch, states = states[:7], states[7:]
        await keep_newest(written.collection, batch)
    kept = await written.collection.find({}).sort([("_id", 1)]).to_list(None)
    assert kept == [
        {"_id": f"t{one}", "sequence": 10, "name": f"{one} as of 10"} for one in range(5)
    ]


async def test_a_field_that_is_empty_in_the_newest_state_is_emptied(written: Any) -> None:
    await keep_newest(written.collection, [{"_id": "t1", "sequence": 1, "reseller_id": "r1"}])
    await keep_newest(written.collection, [{"_id": "t1", "sequence": 2, "reseller_id": None}])
    assert await written.load("t1") == {"_id": "t1", "sequence": 2, "reseller_id": None}


class Counted:
    """The driver's collection, with how often it is written to and what happens just before."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.calls = 0
        self.lost: dict[str, Any] | None = None
        """A document that somebody else inserts first, so that the server refuses the upsert."""

    async def bulk_write(self, writes: Any, *, ordered: bool) -> Any:
        self.calls += 1
        if self.lost is not None:
            await self._collection.insert_one(self.lost)
            self.lost = None
            raise BulkWriteError({"writeErrors": [{"index": 0, "code": 11000}]})
        return await self._collection.bulk_write(writes, ordered=ordered)


async def test_a_batch_that_comes_again_costs_no_call_for_each_of_its_states(written: Any) -> None:
    counted: Any = Counted(written.collection)
    states = [{"_id": f"t{one}", "sequence": 1, "name": "a"} for one in range(50)]
    await keep_newest(counted, states)
    await keep_newest(counted, states)
    assert counted.calls == 3


async def test_who_loses_the_race_to_insert_still_overwrites_an_older_state(written: Any) -> None:
    counted: Any = Counted(written.collection)
    counted.lost = {"_id": "t1", "sequence": 1, "name": "older"}
    newest = {"_id": "t1", "sequence": 2, "name": "newest"}
    await keep_newest(counted, [newest])
    assert await written.load("t1") == newest


async def test_nothing_to_keep_is_no_call(written: Any) -> None:
    await keep_newest(written.collection, [])
    assert await written.collection.count_documents({}) == 0


async def test_another_failure_than_the_gate_is_raised(written: Any) -> None:
    await keep_newest(written.collection, [{"_id": "t1", "sequence": 1, "name": "old"}])
    unwritable = {"_id": "t2", "sequence": 1, "$name": "no field of a document"}
    with pytest.raises(BulkWriteError):
        await keep_newest(written.collection, [unwritable])
