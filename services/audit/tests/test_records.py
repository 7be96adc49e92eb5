"""The trail: every fact once, readable, filtered, in stable pages, within the caller's scope."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audit_service import store
from audit_service.store import sentence
from audit_service.views import Views
from purser_common import settings, testing
from purser_common.identity import Caller, Grant
from purser_common.mongo import Database
from purser_events.envelope import Envelope
from purser_events.topics import TOPICS
from purser_events.values import ProductIdentity, product_id

START = datetime(2026, 1, 2, tzinfo=UTC)
AUDITOR = Caller("user:auditor", (Grant("auditor", "all"),))


def fact(number: int, tenant: str = "t1", type_: str = "tenant.added") -> Envelope[dict[str, Any]]:
    return Envelope[dict[str, Any]](
        id=f"e{number:03}",
        source="purser/tenant-connection",
        type=f"purser.{type_}.v1",
        subject=f"tenant/{tenant}",
        time=START + timedelta(seconds=number // 2),
        dataschema="urn:purser:schema:x",
        sequence=number + 1,
        tenantid=tenant,
        actor="user:admin",
        correlationid="c-1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        data={"state": {"name": "Contoso", "customer_id": "c1"}},
    )


@pytest.fixture
async def database(mongo: settings.Mongo) -> AsyncIterator[Database]:
    async with testing.opened(mongo, store.INDEXES) as database:
        yield database


async def ids(database: Database, caller: Caller = AUDITOR, **wanted: str) -> list[str]:
    found = await Views(database).records(caller, [wanted], None, None, None, 200)
    return [record["id"] for record in found["items"]]


async def test_redelivery_changes_nothing(database: Database) -> None:
    records = store.Records(database)
    await records.keep([fact(1), fact(2)])
    await records.keep([fact(2), fact(3)])
    assert await ids(database) == ["e003", "e002", "e001"]


async def test_pages_are_stable_while_new_records_arrive(database: Database) -> None:
    records, views = store.Records(database), Views(database)
    await records.keep([fact(number) for number in range(10)])
    seen: list[str] = []
    after = None
    for _ in range(10):
        page = await views.records(AUDITOR, [], None, None, after, 3)
        seen += [record["id"] for record in page["items"]]
        await records.keep([fact(100 + len(seen))])
        after = page["next"]
        if after is None:
            break
    assert seen == [f"e{number:03}" for number in reversed(range(10))]


async def test_a_tenants_viewer_sees_that_tenant_only(database: Database) -> None:
    await store.Records(database).keep([fact(1, "t1"), fact(2, "t2")])
    viewer = Caller("user:v", (Grant("viewer", "tenant/t2"),))
    assert await ids(database, viewer) == ["e002"]
    assert await ids(database, Caller("user:x", (Grant("viewer", "all"),))) == []
    assert await ids(database, tenant_id="t1") == ["e001"]


async def test_a_record_names_actor_cause_and_trace(database: Database) -> None:
    await store.Records(database).keep([fact(1)])
    found = await Views(database).records(AUDITOR, [], None, None, None, 1)
    record = found["items"][0]
    assert (record["actor"], record["correlation_id"]) == ("user:admin", "c-1")
    assert record["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert record["summary"] == "Tenant Contoso was added to the marketplace"


def test_every_fact_has_a_sentence() -> None:
    assert set(store.SENTENCES) == {topic.name for topic in TOPICS}


def test_a_fact_of_an_unknown_type_or_shape_still_has_a_sentence() -> None:
    assert sentence("purser.tenant.vanished.v3", {}) == "tenant.vanished"
    assert (
        sentence("purser.tenant.added.v1", {}) == "Tenant unknown name was added to the marketplace"
    )


def about(number: int, type_: str, state: dict[str, Any]) -> Envelope[dict[str, Any]]:
    return fact(number, type_=type_).model_copy(update={"data": {"state": state}})


def product(mpn: str) -> dict[str, Any]:
    month = {"type": "month", "duration": 1}
    return {"mpn": mpn, "vendor": "V", "subscription_period": month, "billing_period": month}


async def test_what_was_done_about_a_product_is_found_by_its_store_item_and_part_number(
    database: Database,
) -> None:
    bought = {"reseller_id": "r1", "product": product("BASE"), "product_name": "Base"}
    options = [{"product": product("BASE")}, {"product": product("ADDON")}, {"product": 7}, None]
    here = product_id("r1", ProductIdentity.model_validate(product("BASE")))
    previewed = {"operation": "preview_store_item", "subject": f"store-item/{here}"}
    await store.Records(database).keep(
        [
            about(1, "license.purchased", bought),
            about(2, "subscription.changed", {"reseller_id": "r1", "options": options}),
            about(3, "license.mapped", {**bought, "reseller_id": "r2"}),
            about(4, "action.performed", previewed),
            about(5, "tenant.added", {"name": "Contoso", "product": "Base"}),
        ]
    )
    assert await ids(database, store_items=here) == ["e004", "e002", "e001"]
    assert await ids(database, mpns="BASE") == ["e003", "e002", "e001"]
    assert await ids(database, mpns="ADDON") == ["e002"]
