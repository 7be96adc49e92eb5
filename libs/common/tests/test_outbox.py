"""One document, one write; published by the writer, in order, acknowledged, never lost."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from purser_common.errors import Invalid, Unavailable, VersionConflict
from purser_common.mongo import DuplicateKeyError
from purser_common.outbox import MAX_PENDING, RECENT_OPS, Publisher, Request, replayed
from purser_common.testing import eventually


class Recording:
    """Kafka as the publisher sees it; `refuse` fails the sends with these numbers."""

    def __init__(self, refuse: Sequence[int] = ()) -> None:
        self.sent: list[int] = []
        self.refuse = set(refuse)
        self.gate: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def send(
        self, topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        sequence = json.loads(value)["sequence"]
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if sequence in self.refuse:
            raise Unavailable("Kafka is away")
        self.sent.append(sequence)


async def test_a_write_keeps_state_version_and_facts_together(written: Any) -> None:
    document = await written.insert(facts=2)
    assert (document["version"], document["sequence"], len(document["outbox"])) == (1, 2, 2)
    document = await written.save(document, facts=1, name="new")
    assert (document["version"], document["sequence"], document["name"]) == (2, 3, "new")
    assert [entry["seq"] for entry in document["outbox"]] == [1, 2, 3]
    assert written.nudged == ["c1", "c1"]


async def test_a_write_without_a_fact_moves_the_version_and_not_the_etag(written: Any) -> None:
    document = await written.insert()
    document = await written.save(document, facts=0)
    assert (document["version"], document["sequence"]) == (2, 1)


async def test_of_two_saves_decided_on_one_state_one_conflicts(written: Any) -> None:
    document = await written.insert()
    await written.save(document)
    with pytest.raises(VersionConflict):
        await written.save(document)


async def test_evidence_is_never_refused_and_makes_an_unaware_save_decide_again(
    written: Any,
) -> None:
    document = await written.insert()
    await written.outbox.push(written.collection, "c1", "evidence", {"order": "1"})
    with pytest.raises(VersionConflict):
        await written.save(document)
    assert (await written.load())["evidence"] == [{"order": "1"}]


async def test_none_unsets_a_field_so_that_a_slot_frees(written: Any) -> None:
    document = await written.insert()
    document = await written.save(document, slot="a")
    document = await written.save(document, slot=None)
    assert "slot" not in document


async def test_fifty_writers_lose_nothing(written: Any) -> None:
    await written.insert(facts=0)

    async def add() -> None:
        while True:
            try:
                await written.save(await written.load(), facts=1)
                return
            except VersionConflict:
                continue

    await asyncio.gather(*(add() for _ in range(50)))
    document = await written.load()
    assert document["sequence"] == 50
    assert [entry["seq"] for entry in document["outbox"]] == list(range(1, 51))


async def test_a_full_outbox_refuses_further_facts_and_keeps_what_is_there(written: Any) -> None:
    document = await written.insert(facts=MAX_PENDING)
    with pytest.raises(Unavailable) as refusal:
        await written.save(document)
    assert refusal.value.code == "outbox_full"
    assert len((await written.load())["outbox"]) == MAX_PENDING


async def test_a_full_outbox_takes_facts_again_once_kafka_has_taken_them(written: Any) -> None:
    document = await written.insert(facts=MAX_PENDING)
    with pytest.raises(Unavailable):
        await written.save(document)
    await written.save(document, facts=0, noted=True)
    await Publisher(Recording()).publish(written.collection, "c1")
    document = await written.save(await written.load())
    assert (document["sequence"], len(document["outbox"])) == (MAX_PENDING + 1, 1)


async def test_an_oversize_fact_is_refused_before_anything_is_written(written: Any) -> None:
    document = await written.insert()
    with pytest.raises(Invalid, match="256 KiB"):
        await written.save(document, named="x" * 300_000)
    assert (await written.load())["version"] == 1
    with pytest.raises(Invalid, match="256 KiB"):
        await written.insert("c2", name="x" * 300_000)
    assert await written.collection.find_one({"_id": "c2"}) is None


async def test_a_document_remembers_its_latest_keyed_calls_and_no_more(written: Any) -> None:
    document = await written.insert()
    calls = [Request("user:a", "PUT /v1", f"key-{n}", "digest") for n in range(RECENT_OPS + 5)]
    for call in calls:
        document = await written.save(document, request=call)
    assert [replayed(document, call) for call in calls] == [False] * 5 + [True] * RECENT_OPS


async def test_a_repeated_keyed_insert_is_recognised_and_another_body_refused(
    written: Any,
) -> None:
    request = Request("user:a", "POST /v1/customers", "key-1", "digest-1")
    await written.insert(request.id(), request=request)
    with pytest.raises(DuplicateKeyError):
        await written.insert(request.id(), request=request)
    document = await written.load(request.id())
    assert replayed(document, request)
    with pytest.raises(Invalid) as refusal:
        replayed(document, Request("user:a", "POST /v1/customers", "key-1", "other"))
    assert refusal.value.code == "idempotency_key_reused"


async def test_publishing_empties_the_outbox_in_order(written: Any) -> None:
    await written.insert(facts=3)
    sender = Recording()
    assert await Publisher(sender).publish(written.collection, "c1") == 3
    assert sender.sent == [1, 2, 3]
    document = await written.load()
    assert document["outbox"] == []
    assert "outbox_since" not in document


async def test_publishing_stops_at_the_first_failure_and_removes_only_what_was_acknowledged(
    written: Any,
) -> None:
    await written.insert(facts=3)
    sender = Recording(refuse=[2])
    with pytest.raises(Unavailable):
        await Publisher(sender).publish(written.collection, "c1")
    assert sender.sent == [1]
    document = await written.load()
    assert [entry["seq"] for entry in document["outbox"]] == [2, 3]
    assert "outbox_since" in document


async def test_a_fact_written_while_publishing_is_kept(written: Any) -> None:
    document = await written.insert(facts=1)
    sender = Recording()
    sender.gate = asyncio.Event()
    publishing = asyncio.create_task(Publisher(sender).publish(written.collection, "c1"))
    await sender.asked.wait()
    await written.save(document, facts=1)
    sender.gate.set()
    await publishing
    left = await written.load()
    assert [entry["seq"] for entry in left["outbox"]] == [2]
    assert "outbox_since" in left


async def test_two_publishers_send_duplicates_and_never_disorder(written: Any) -> None:
    await written.insert(facts=3)
    sender = Recording()
    publisher, other = Publisher(sender), Publisher(sender)
    await asyncio.gather(
        publisher.publish(written.collection, "c1"), other.publish(written.collection, "c1")
    )
    firsts = list(dict.fromkeys(sender.sent))
    assert firsts == [1, 2, 3]
    assert (await written.load())["outbox"] == []


async def test_the_sweeper_finds_what_a_dead_writer_left(written: Any) -> None:
    await written.insert()
    sender = Recording()
    publisher = Publisher(sender)
    working = asyncio.create_task(publisher.run())
    await publisher.sweep([written.collection], older_than=timedelta(0))
    await eventually(lambda: sender.sent == [1])
    working.cancel()
