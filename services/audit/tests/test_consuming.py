"""Everything that is published is kept, once and for ever as it came."""

from typing import Any

import pytest

from purser_common.testing import eventually, records
from purser_events.topics import TOPICS


async def kept(database: Any, *envelopes: Any) -> list[dict[str, Any]]:
    """The records of these events once all are there."""

    async def there() -> list[dict[str, Any]]:
        wanted = [envelope.id for envelope in envelopes]
        found: list[dict[str, Any]] = (
            await database["records"].find({"_id": {"$in": wanted}}).to_list(None)
        )
        assert {document["_id"] for document in found} == set(wanted)
        return sorted(found, key=lambda document: wanted.index(document["_id"]))

    return await eventually(there, within=30)


async def behind(publisher: Any, database: Any, topic: str = "tenant.added") -> None:
    """Wait until what was published before on this topic has been handled."""
    await kept(database, await publisher.fact(topic))


async def test_a_fact_of_every_topic_is_kept(service: Any, publisher: Any, database: Any) -> None:
    published = [await publisher.fact(topic.name) for topic in TOPICS]
    found = await kept(database, *published)
    assert [document["type"] for document in found] == [topic.event_type for topic in TOPICS]


async def test_every_fact_of_one_subject_is_kept_not_only_the_newest(
    service: Any, publisher: Any, database: Any
) -> None:
    published = [await publisher.fact() for _ in range(20)]
    found = await kept(database, *reversed(published))
    assert [document["sequence"] for document in found] == list(range(20, 0, -1))


async def test_a_record_never_changes_whatever_comes_under_its_id(
    service: Any, publisher: Any, database: Any
) -> None:
    first = await publisher.fact(actor="user:who-did-it")
    (before,) = await kept(database, first)
    forged = first.model_copy(update={"actor": "user:somebody-else", "data": {"state": {}}})
    for copy in (first, forged):
        await publisher.again("tenant.added", copy)
    await behind(publisher, database)
    assert await kept(database, first) == [before]
    assert before["actor"] == "user:who-did-it"
    assert await database["records"].count_documents({"subject": first.subject}) == 2


async def test_a_batch_with_repetitions_keeps_what_is_new(
    service: Any, publisher: Any, database: Any
) -> None:
    published = []
    for _ in range(30):
        published.append(await publisher.fact())
        await publisher.again("tenant.added", published[0])
    await kept(database, *published)
    assert await database["records"].count_documents({"tenant_id": publisher.tenant}) == 30


async def test_a_record_has_everything_of_its_fact(
    service: Any, publisher: Any, database: Any
) -> None:
    fact = await publisher.fact(
        "license.purchased",
        subject="license-change-request/r1",
        marketplace="ingram-micro-xvantage",
        causationid="event-before",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        data={
            "changes": [{"pointer": "/seats", "before": 1, "after": 3}],
            "state": {
                "customer_id": "c1",
                "reseller_id": "s1",
                "quantity": 3,
                "product_name": "Business Premium",
                "po_number": "PO-1",
                "not_heard_of_yet": {"deep": [1, None]},
            },
        },
    )
    (found,) = await kept(database, fact)
    assert found["data"] == fact.data
    assert found["changes"] == fact.data["changes"]
    expected = {
        "subject": "license-change-request/r1",
        "tenant_id": publisher.tenant,
        "customer_id": "c1",
        "reseller_id": "s1",
        "marketplace": "ingram-micro-xvantage",
        "actor": "user:ada",
        "correlation_id": f"correlation-{publisher.tenant}",
        "causation_id": "event-before",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "at": fact.time,
        "summary": "3 x Business Premium were purchased, PO PO-1",
    }
    assert {name: found[name] for name in expected} == expected


async def test_a_type_that_this_version_has_not_heard_of_is_kept(
    service: Any, publisher: Any, database: Any
) -> None:
    fact = await publisher.fact(type_="purser.tenant.added.v2")
    (found,) = await kept(database, fact)
    assert found["summary"] == "Tenant Contoso was added to the marketplace"


@pytest.mark.parametrize("poison", [b"", b"not json", b"{}"])
async def test_an_unreadable_record_is_put_aside_and_the_next_is_kept(
    service: Any, publisher: Any, database: Any, provisioned: Any, poison: bytes
) -> None:
    mark = ("mark", publisher.tenant.encode())
    await publisher.producer.send("tenant.added", publisher.tenant, poison, [mark])
    await behind(publisher, database)

    def mine(found: list[Any]) -> list[Any]:
        return [one for one in found if mark in one.headers]

    (dead,) = mine(await records(provisioned, "audit.record.dlq", until=mine, within=30))
    assert dead.value == poison
