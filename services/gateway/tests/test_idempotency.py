"""The same keyed call has one effect and one answer, whatever happens between."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway_service.store import ANSWERS
from purser_common.outbox import Request
from purser_common.testing import eventually

BODY = {"name": "Northwind"}
MADE = {"id": "c1", "name": "Northwind"}


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


async def create(public: Any, key: str, body: Any = None, **options: Any) -> Any:
    return await public.call("POST", "/v1/customers", key=key, json=body or BODY, **options)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "ä", "a b"])
async def test_a_post_without_a_good_key_is_refused(public: Any, owners: Any, key: str) -> None:
    before = len(owners.seen)
    headers = {"Idempotency-Key": key.encode()} if key else {}
    answer = await public.call("POST", "/v1/customers", key="", json=BODY, headers=headers)
    assert code(answer) == (400, "idempotency_key_required")
    assert len(owners.seen) == before


async def test_a_repeated_call_gets_the_stored_answer_and_reaches_nobody(
    public: Any, owners: Any, key: str
) -> None:
    owners.plan(key, 201, MADE, etag='"1"', location="/v1/customers/c1")
    owners.plan(key, 201, {"id": "another"})
    first, second = await create(public, key), await create(public, key)
    assert (first.status_code, first.json()) == (201, MADE)
    assert (second.status_code, second.content) == (201, first.content)
    for name in ("etag", "location", "content-type"):
        assert second.headers[name] == first.headers[name]
    assert len(owners.of(key)) == 1


async def test_a_key_with_another_body_is_refused_and_reaches_nobody(
    public: Any, owners: Any, key: str
) -> None:
    owners.plan(key, 201, MADE)
    await create(public, key)
    assert code(await create(public, key, {"name": "Southwind"})) == (422, "idempotency_key_reused")
    assert len(owners.of(key)) == 1


async def test_another_body_is_refused_while_the_first_is_under_way(
    public: Any, owners: Any, key: str
) -> None:
    plan = owners.plan(key, 201, MADE, held=True)
    first = asyncio.create_task(create(public, key))
    await eventually(lambda: owners.of(key))
    assert code(await create(public, key, {"name": "Southwind"})) == (422, "idempotency_key_reused")
    plan.go.set()
    assert (await first).status_code == 201


async def test_a_call_under_way_is_not_passed_on_twice(public: Any, owners: Any, key: str) -> None:
    plan = owners.plan(key, 201, MADE, held=True)
    first = asyncio.create_task(create(public, key))
    await eventually(lambda: owners.of(key))
    again = await create(public, key)
    assert code(again) == (409, "request_in_flight")
    assert int(again.headers["retry-after"]) >= 1
    assert len(owners.of(key)) == 1
    plan.go.set()
    assert (await first).status_code == 201
    assert (await create(public, key)).json() == MADE


async def test_of_many_at_once_one_is_passed_on(public: Any, owners: Any, key: str) -> None:
    owners.plan(key, 201, MADE)
    answers = await asyncio.gather(*(create(public, key) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len(owners.of(key)) == 1


async def test_a_call_left_under_way_for_30_seconds_is_passed_on_again_under_the_same_digest(
    public: Any, owners: Any, kept: Any, key: str
) -> None:
    plan = owners.plan(key, 201, MADE, held=True)
    owners.plan(key, 201, MADE)
    first = asyncio.create_task(create(public, key))
    await eventually(lambda: owners.of(key))
    id = Request("user:root", "add_customer", key, "").id()
    for seconds, expected in ((29, 409), (31, 201)):
        past = {"$set": {"since": datetime.now(UTC) - timedelta(seconds=seconds)}}
        moved = await kept[ANSWERS].update_one({"_id": id}, past)
        assert moved.matched_count == 1
        assert (await create(public, key)).status_code == expected
    plan.go.set()
    assert (await first).status_code == 201
    one, two = owners.of(key)
    assert one.headers["purser-request-digest"] == two.headers["purser-request-digest"] != ""
    assert one.headers["idempotency-key"] == two.headers["idempotency-key"] == key
    assert one.body == two.body


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 500, 503])
async def test_a_refusal_releases_the_key(public: Any, owners: Any, key: str, status: int) -> None:
    owners.plan(key, status, {"code": "in_the_way", "detail": "no"})
    owners.plan(key, 201, MADE)
    assert (await create(public, key)).status_code == status
    assert (await create(public, key)).status_code == 201
    assert len(owners.of(key)) == 2


async def test_an_owner_that_was_away_is_asked_again_under_the_same_key(
    deployment: Any, public: Any, owners: Any, key: str
) -> None:
    async with deployment.start(
        role="api", tenant_connection_url="http://127.0.0.1:9"
    ) as elsewhere:
        away = await create(elsewhere, key)
    assert code(away) == (503, "tenant_connection_unavailable")
    owners.plan(key, 201, MADE)
    assert (await create(public, key)).status_code == 201


async def test_a_key_is_its_callers_and_its_operations_own(
    public: Any, owners: Any, key: str
) -> None:
    owners.plan(key, 201, MADE)
    await create(public, key)
    other = await public.grant("credential_admin", "all")
    assert (await create(public, key, {"name": "Eastwind"}, user=other)).status_code == 201
    path = f"/v1/customers/{key}/tenants"
    assert (await public.call("POST", path, key=key, json=BODY)).status_code == 201
    assert len(owners.of(key)) == 3


async def test_the_gateways_own_post_is_repeatable(public: Any, key: str) -> None:
    user = f"user:{key}"
    body = {"principal": user, "role": "viewer", "scope": "all"}
    made = [await public.call("POST", "/v1/role-assignments", key=key, json=body) for _ in range(2)]
    assert [one.status_code for one in made] == [201, 201]
    assert made[0].content == made[1].content
    other = await public.call("POST", "/v1/role-assignments", key=key, json={**body, "role": "x"})
    assert code(other) == (422, "idempotency_key_reused")
