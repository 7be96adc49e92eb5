"""Consumers neither lose a record nor stop at one."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from purser_common import telemetry
from purser_common.errors import Unavailable
from purser_common.testing import eventually
from purser_events.envelope import TYPE_HEADER, Envelope
from purser_events.tenant import CustomerAdded


class Nowhere:
    """Takes the dead letters of what other tests sent."""

    async def send(self, *_: Any) -> None:
        return


async def test_a_new_group_hears_what_was_told_before_it(new_group: Any) -> None:
    await new_group.send("earlier")
    await new_group.join(dead_letters=Nowhere())
    await eventually(lambda: new_group.handled == ["earlier"], within=20)


@pytest.mark.parametrize("batch", [False, True])
async def test_known_facts_arrive_and_unknown_types_are_skipped(group: Any, batch: bool) -> None:
    vanished = b"purser.customer.vanished.v1"
    await group.join(batch=batch)
    await group.send("unknown", b"not even json", [(TYPE_HEADER, vanished)])
    told = group.fact("unknown").replace(CustomerAdded.event_type().encode(), vanished)
    await group.send("unknown", told, [])
    await group.send("known")
    await eventually(lambda: group.handled == ["known"], within=20)
    assert await group.letters() == []


async def test_one_subscriber_hears_all_its_topics(group: Any) -> None:
    await group.join(facts=None)
    await group.send("known")
    await eventually(lambda: group.handled == ["known"], within=20)


@pytest.mark.parametrize(
    "poison",
    [b"not json", b"5", b"[]", b"{}", b"\xff\xfe", b'{"specversion":"1.0"}'],
    ids=["text", "number", "list", "empty", "binary", "half"],
)
async def test_poison_goes_to_the_groups_dead_letters_and_the_next_record_is_handled(
    group: Any, poison: bytes
) -> None:
    await group.join()
    bad_header = [(TYPE_HEADER, CustomerAdded.event_type().encode()), ("odd", b"\xff")]
    await group.send("poison", poison, bad_header)
    await group.send("good")
    await eventually(lambda: group.handled == ["good"], within=20)
    (letter,) = await group.letters()
    assert letter.value == poison
    headers = dict(letter.headers)
    assert headers["dlq_topic"] == b"customer.added"
    assert headers["dlq_group"] == group.name.encode()


@pytest.mark.parametrize("batch", [False, True])
async def test_an_outage_waits_and_pours_nothing_into_the_dead_letters(
    group: Any, batch: bool
) -> None:
    away = [True, True, True]

    def trouble(name: str) -> None:
        if name == "1" and away:
            away.pop()
            raise Unavailable("the database is away")

    group.trouble = trouble
    for name in ("1", "poison", "2"):
        await group.send(name, b"poison" if name == "poison" else None)
    # with so little patience the batch is given back and comes again, its poison with it
    await group.join(batch=batch, patience=0.2 if batch else 60)
    await eventually(lambda: group.handled == ["1", "2"], within=40)
    assert not away
    assert [letter.value for letter in await group.letters()] == [b"poison"]


async def test_a_batch_that_takes_too_long_together_gets_on_one_by_one(group: Any) -> None:
    names = [str(number) for number in range(8)]
    for name in names:
        await group.send(name, key="one")
    group.trouble = lambda _: asyncio.sleep(0.2)
    await group.join(batch=True, patience=0.8)
    await eventually(lambda: group.handled == names, within=30)


@pytest.mark.parametrize("batch", [False, True])
async def test_records_that_always_fail_are_put_aside_once_each_after_some_attempts(
    group: Any, batch: bool
) -> None:
    tried: list[str] = []

    def trouble(name: str) -> None:
        tried.append(name)
        if name in ("bad1", "bad2"):
            raise KeyError("a defect")

    group.trouble = trouble
    for name in ("good1", "bad1", "good2", "bad2", "good3"):
        await group.send(name)
    await group.send("poison", b"poison")
    await group.join(batch=batch)
    await eventually(lambda: "good3" in group.handled, within=60)
    await group.send("last")
    await eventually(lambda: "last" in group.handled, within=20)
    assert min(tried.count("bad1"), tried.count("bad2")) >= 5
    assert set(group.handled) == {"good1", "good2", "good3", "last"}
    letters = [one.value for one in await group.letters()]
    assert [sum(name in value for value in letters) for name in (b"bad1", b"bad2")] == [1, 1]
    assert len(letters) == 3


async def test_a_handler_runs_under_the_trace_of_the_fact(group: Any) -> None:
    telemetry.configure("test", "1", None)
    traces: list[str | None] = []

    async def handle(envelopes: Sequence[Envelope[Any]]) -> None:
        if group.id in envelopes[0].subject:
            traces.append(telemetry.trace_id())

    await group.join(handle=handle)
    await group.send("traced")
    await eventually(lambda: traces == ["0af7651916cd43dd8448eb211c80319c"], within=20)
