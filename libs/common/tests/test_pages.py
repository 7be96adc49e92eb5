"""Keyset pages over any filters, and the watch that knows whether an index serves them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from purser_common import mongo as chassis_mongo
from purser_common import settings, testing
from purser_common.errors import Malformed
from purser_common.mongo import Collection, Index, IndexWatch
from purser_common.web import cursor, newest

START = datetime(2026, 1, 2, tzinfo=UTC)
INDEXES = (
    Index("things", (("at", -1), ("_id", -1))),
    Index("things", (("owner", 1), ("at", -1), ("_id", -1))),
)


@pytest.fixture
async def things(mongo: settings.Mongo) -> AsyncIterator[Collection]:
    """Twelve things of three owners, two of them at each time."""
    async with testing.opened(mongo, INDEXES) as database:
        for number in range(12):
            await database["things"].insert_one(thing(number))
        yield database["things"]


def thing(number: int) -> dict[str, Any]:
    at = START + timedelta(seconds=number // 2)
    state = {"number": number}
    return {"_id": f"t{number:02}", "at": at, "owner": f"o{number % 3}", "state": state}


async def walked(
    things: Collection, limit: int, *wanted: dict[str, Any] | None, insert: bool = False
) -> list[int]:
    """All pages, joined; new things may arrive between them."""
    seen: list[int] = []
    after: str | None = None
    for page_number in range(20):
        page = await newest(things, "at", after, limit, *wanted)
        assert len(page["items"]) <= limit
        seen += [state["number"] for state in page["items"]]
        after = page["next"]
        if after is None:
            return seen
        if insert:
            await things.insert_one(thing(100 + page_number))
    raise AssertionError("the pages never end")


EITHER = {"$or": [{"owner": {"$in": ["o1"]}}, {"owner": {"$in": ["o2"]}}]}


@pytest.mark.parametrize("limit", [1, 2, 5, 12, 13])
@pytest.mark.parametrize(
    ("wanted", "owners"),
    [([], (0, 1, 2)), ([{}], (0, 1, 2)), ([{"owner": "o1"}], (1,)), ([EITHER], (1, 2))],
)
async def test_pages_join_without_gap_or_repetition(
    things: Collection, limit: int, wanted: list[dict[str, Any]], owners: tuple[int, ...]
) -> None:
    expected = [number for number in reversed(range(12)) if number % 3 in owners]
    assert await walked(things, limit, *wanted) == expected


async def test_a_page_stays_the_same_while_new_things_arrive(things: Collection) -> None:
    assert await walked(things, 2, {"owner": "o1"}, insert=True) == [10, 7, 4, 1]


async def test_all_that_is_wanted_holds_even_on_one_field(things: Collection) -> None:
    assert await walked(things, 2, {"owner": "o1"}, {"owner": "o2"}) == []
    since = {"at": {"$gte": START + timedelta(seconds=4)}}
    assert await walked(things, 1, EITHER, since, {"owner": "o1"}) == [10]


async def test_who_may_see_nothing_sees_nothing(things: Collection) -> None:
    assert await newest(things, "at", None, 5, None, {}) == {"items": [], "next": None}


@pytest.mark.parametrize("bad", ["x", "", cursor("no time", "id"), cursor(1), "ä"])
async def test_a_foreign_cursor_is_refused_also_of_who_may_see_nothing(
    things: Collection, bad: str
) -> None:
    for wanted in ([], [None]):
        with pytest.raises(Malformed) as refusal:
            await newest(things, "at", bad, 5, *wanted)
        assert refusal.value.code == "malformed_cursor"


@pytest.mark.parametrize(
    ("query", "served"),
    [
        ({"$and": [{"owner": "o1"}, {"at": {"$lt": START}}]}, True),
        ({"$and": [{"colour": "red"}, {"at": START}]}, True),
        ({"$and": [{"colour": "red"}]}, False),
        ({"$and": [{"owner": "o1"}, {"$or": [{"at": START}, {"colour": "red"}]}]}, True),
        ({"$or": [{"owner": "o1"}, {"colour": "red"}]}, False),
        ({"$or": [{"$and": [{"owner": "o1"}]}, {"owner": "o2"}]}, True),
        ({"colour": "red", "_id": {"$lt": "t"}}, True),
        ({"_id": "t1"}, True),
    ],
)
async def test_the_watch_sees_through_and_and_or(
    mongo: settings.Mongo, query: dict[str, Any], served: bool
) -> None:
    watch = IndexWatch(INDEXES)
    client = chassis_mongo.connect(mongo, [watch])
    await client[mongo.database]["things"].find_one(query)
    await chassis_mongo.close(client)
    assert (watch.unserved == []) == served
