"""Remembered answers, the read model's gate, and role assignments, on a real MongoDB."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway_service import domain, store, views
from gateway_service.store import Answer
from purser_common import settings, testing
from purser_common.clock import Clock
from purser_common.errors import Conflict, Invalid
from purser_common.identity import Caller, Grant
from purser_common.mongo import Database
from purser_common.outbox import Outbox, Request
from purser_common.telemetry import Cause

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FIRST = Request("user:a", "add_customer", "key-1", "digest-1")
CREATED = Answer(201, {"etag": '"1"'}, b'{"id":"c1"}')


@pytest.fixture
async def database(mongo: settings.Mongo) -> AsyncIterator[Database]:
    async with testing.opened(mongo, store.INDEXES) as database:
        yield database


async def test_the_same_keyed_call_gets_the_same_answer(database: Database) -> None:
    answers = store.Answers(database)
    assert await answers.begin(FIRST) is None
    await answers.end(FIRST, CREATED)
    assert await answers.begin(FIRST) == CREATED


async def test_a_key_with_another_body_is_refused_while_and_after(database: Database) -> None:
    answers = store.Answers(database)
    other = Request("user:a", "add_customer", "key-1", "digest-2")
    await answers.begin(FIRST)
    with pytest.raises(Invalid):
        await answers.begin(other)
    await answers.end(FIRST, CREATED)
    with pytest.raises(Invalid) as refusal:
        await answers.begin(other)
    assert refusal.value.code == "idempotency_key_reused"


async def test_a_call_under_way_is_not_forwarded_twice(database: Database) -> None:
    answers = store.Answers(database)
    await answers.begin(FIRST)
    with pytest.raises(Conflict) as refusal:
        await answers.begin(FIRST)
    assert refusal.value.code == "request_in_flight"


async def test_a_call_that_was_left_under_way_is_forwarded_again(database: Database) -> None:
    answers = store.Answers(database)
    await answers.begin(FIRST)
    past = {"$set": {"since": datetime.now(UTC) - timedelta(seconds=31)}}
    await database[store.ANSWERS].update_one({"_id": FIRST.id()}, past)
    assert await answers.begin(FIRST) is None
    with pytest.raises(Conflict):
        await answers.begin(FIRST)


async def test_a_refusal_releases_the_key(database: Database) -> None:
    answers = store.Answers(database)
    await answers.begin(FIRST)
    await answers.end(FIRST, Answer(409, {}, b"{}"))
    assert await answers.begin(FIRST) is None


async def test_two_callers_may_use_one_key(database: Database) -> None:
    answers = store.Answers(database)
    await answers.begin(FIRST)
    assert await answers.begin(Request("user:b", "add_customer", "key-1", "digest-1")) is None


async def test_answers_are_forgotten_after_a_day(database: Database) -> None:
    answers = store.Answers(database)
    await answers.begin(FIRST)
    await answers.end(FIRST, CREATED)
    past = {"$set": {"created_at": datetime.now(UTC) - timedelta(hours=25)}}
    await database[store.ANSWERS].update_one({"_id": FIRST.id()}, past)
    await answers.sweep()
    assert await answers.begin(FIRST) is None


def state(name: str) -> dict[str, Any]:
    return {"id": "t1", "customer_id": "c1", "name": name}


async def test_the_model_keeps_the_newest_state_whatever_the_order(database: Database) -> None:
    model = store.Model(database)
    for sequence in (2, 1, 3, 3, 2):
        await model.fold_answer("tenant/t1", sequence, state(f"v{sequence}"))
    document = await database["tenants"].find_one({"_id": "tenant/t1"})
    assert document is not None
    assert (document["sequence"], document["state"]["name"]) == (3, "v3")
    assert (document["tenant_id"], document["customer_id"]) == ("t1", "c1")


@pytest.mark.parametrize("scope", ["all", "tenant/t9"])
async def test_the_overview_shows_the_stops_that_hold_to_everybody_with_a_role(
    database: Database, scope: str
) -> None:
    model, shown = store.Model(database), views.Views(database)
    held = {"id": "all", "status": "stopped", "reason": "charged twice"}
    lifted = {"id": "r1", "reseller_id": "r1", "status": "resumed", "reason": "other"}
    await model.fold_answer("buying-stop/all", 1, held)
    await model.fold_answer("buying-stop/r1", 2, lifted)
    viewer = Caller("user:a", (Grant("viewer", scope),))
    overview = await shown.overview(viewer)
    assert (overview["buying_stops"], overview["counts"]["buying_stops"]) == ([held], 1)
    await model.fold_answer("buying-stop/all", 2, {**held, "status": "resumed"})
    assert (await shown.overview(viewer))["buying_stops"] == []
    assert (await shown.overview(Caller("user:b")))["buying_stops"] == []


async def test_a_role_is_given_once_taken_away_and_given_again(database: Database) -> None:
    outbox = Outbox("gateway", Clock(), lambda _collection, _id: None)
    assignments, cause = store.Assignments(database, outbox), Cause("user:admin", "c-1")
    given, facts = domain.granted("user:a", "viewer", "tenant/t1", NOW)
    first = await assignments.grant(given, facts, cause)
    again = await assignments.grant(given, facts, cause)
    assert again.sequence == first.sequence
    assert await assignments.grants(["user:a", "group:x"]) == (Grant("viewer", "tenant/t1"),)
    after, facts = domain.revoked(first.state)
    await assignments.save(first, after, facts, cause)
    assert await assignments.grants(["user:a"]) == ()
    given, facts = domain.granted("user:a", "viewer", "tenant/t1", NOW)
    await assignments.grant(given, facts, cause)
    assert await assignments.grants(["user:a"]) == (Grant("viewer", "tenant/t1"),)


@pytest.mark.parametrize(
    ("principal", "role", "scope", "pointer"),
    [
        ("a", "viewer", "all", "/principal"),
        ("user:a", "king", "all", "/role"),
        ("user:a", "viewer", "tenant", "/scope"),
    ],
)
def test_a_role_that_cannot_be_given_names_the_field(
    principal: str, role: str, scope: str, pointer: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        domain.granted(principal, role, scope, NOW)
    assert [error.pointer for error in refusal.value.errors] == [pointer]
