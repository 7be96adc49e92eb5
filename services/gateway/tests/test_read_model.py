"""The read model: fed by facts and by answers, the newest state wins; and the overview over it."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from purser_common.testing import eventually, records
from purser_events.envelope import TYPE_HEADER, Fact, envelop
from purser_events.tenant import (
    Consent,
    Customer,
    CustomerAdded,
    Tenant,
    TenantAdded,
    TenantConsented,
    TenantRegistered,
)
from purser_events.topics import BY_NAME

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def tenant(id: str, name: str = "Head office", **changed: Any) -> Tenant:
    fields: dict[str, Any] = {
        "id": id,
        "customer_id": f"customer-of-{id}",
        "entra_tenant_id": str(uuid.uuid4()),
        "name": name,
        "domain": "northwind.example",
        "consent": Consent(status="missing"),
        "marketplaces": (),
        "registered_at": NOW,
    }
    return Tenant(**fields | changed)


async def publish(producer: Any, fact: Fact, sequence: int, key: str | None = None) -> None:
    state = fact.state  # type: ignore[attr-defined]
    subject = f"{BY_NAME[fact.TOPIC].aggregate}/{state.id}"
    envelope = envelop(
        fact,
        source="purser/tenant-connection",
        subject=subject,
        sequence=sequence,
        time=NOW,
        actor="user:a",
        correlation_id="correlation-1",
    )
    value = envelope.model_dump_json(exclude_none=True, serialize_as_any=True).encode()
    headers = [(TYPE_HEADER, envelope.type.encode())]
    await producer.send(fact.TOPIC, key or state.id, value, headers)


async def folded(kept: Any, collection: str, subject: str, sequence: int) -> dict[str, Any]:
    """The document once it has got this far."""

    async def reached() -> Any:
        found = await kept[collection].find_one({"_id": subject})
        assert found is not None, f"{subject} is not there"
        assert found["sequence"] >= sequence, found["sequence"]
        return found

    document: dict[str, Any] = await eventually(reached, within=30)
    return document


async def test_facts_in_any_order_and_again_leave_the_newest_state(
    public: Any, producer: Any, kept: Any
) -> None:
    id = uuid.uuid4().hex
    states = {sequence: tenant(id, f"v{sequence}") for sequence in range(1, 6)}
    facts: Sequence[type[Any]] = (TenantRegistered, TenantConsented, TenantAdded)
    for sequence in (3, 1, 5, 5, 2, 4, 1):
        await publish(producer, facts[sequence % 3](state=states[sequence]), sequence)
    document = await folded(kept, "tenants", f"tenant/{id}", 5)
    assert document["state"] == states[5].model_dump(mode="json")
    assert (document["tenant_id"], document["customer_id"]) == (id, f"customer-of-{id}")


async def test_a_batch_of_many_subjects_is_folded_whole(
    public: Any, producer: Any, kept: Any
) -> None:
    ids = [uuid.uuid4().hex for _ in range(60)]
    for id in ids:
        for sequence in (2, 1, 3):
            fact = TenantRegistered(state=tenant(id, f"v{sequence}"))
            await publish(producer, fact, sequence)
    for id in ids:
        document = await folded(kept, "tenants", f"tenant/{id}", 3)
        assert document["state"]["name"] == "v3"


async def test_what_was_removed_stays_removed_when_an_older_fact_comes_late(
    public: Any, producer: Any, kept: Any
) -> None:
    id = uuid.uuid4().hex
    await publish(producer, TenantAdded(state=tenant(id, status="removed")), 4)
    await folded(kept, "tenants", f"tenant/{id}", 4)
    for sequence in (1, 2, 3):
        await publish(producer, TenantAdded(state=tenant(id)), sequence)
    # behind them in the same partition: once it is there, they have been handled
    await publish(producer, TenantAdded(state=tenant(f"behind-{id}")), 1, key=id)
    await folded(kept, "tenants", f"tenant/behind-{id}", 1)
    document = await folded(kept, "tenants", f"tenant/{id}", 4)
    assert (document["sequence"], document["state"]["status"]) == (4, "removed")


@pytest.mark.parametrize("poison", [b"", b"not json", b'{"specversion":"1.0"}'])
async def test_an_unreadable_record_is_put_aside_and_the_rest_of_its_batch_is_folded(
    public: Any, producer: Any, kept: Any, provisioned: Any, poison: bytes
) -> None:
    ids = [uuid.uuid4().hex for _ in range(4)]
    mark = ids[0].encode()
    for number, id in enumerate(ids):
        if number == 2:
            headers = [(TYPE_HEADER, b"purser.tenant.added.v1"), ("mark", mark)]
            await producer.send("tenant.added", id, poison, headers)
        await publish(producer, TenantAdded(state=tenant(id)), 1)
    for id in ids:
        await folded(kept, "tenants", f"tenant/{id}", 1)

    def mine(found: list[Any]) -> list[Any]:
        return [one for one in found if ("mark", mark) in one.headers]

    (dead,) = mine(await records(provisioned, "gateway.read-model.dlq", until=mine, within=30))
    assert dead.value == poison
    assert dict(dead.headers)["dlq_topic"] == b"tenant.added"


async def test_a_caller_reads_its_own_write_and_the_late_fact_changes_nothing(
    public: Any, owners: Any, producer: Any, kept: Any
) -> None:
    id, key = uuid.uuid4().hex, uuid.uuid4().hex
    made = Customer(id=id, name="Own write", added_at=NOW)
    owners.plan(key, 201, made.model_dump(mode="json"), etag='"3"', purser_subject=f"customer/{id}")
    await public.call("POST", "/v1/customers", key=key, json={"name": "Own write"})
    overview = (await public.call("GET", "/v1/overview")).json()
    assert id in [one["id"] for one in overview["customers"]]
    older = made.model_copy(update={"name": "Before"})
    await publish(producer, CustomerAdded(state=older), 2)
    newer = made.model_copy(update={"name": "After"})
    await publish(producer, CustomerAdded(state=newer), 4)
    document = await folded(kept, "customers", f"customer/{id}", 4)
    assert document["state"]["name"] == "After"


async def test_an_answer_that_is_older_than_a_fact_does_not_turn_the_model_back(
    public: Any, owners: Any, producer: Any, kept: Any
) -> None:
    id = uuid.uuid4().hex
    await publish(producer, TenantAdded(state=tenant(id, "newest")), 9)
    await folded(kept, "tenants", f"tenant/{id}", 9)
    asked = {"tenant": tenant(id, "older").model_dump(mode="json"), "authorization_url": "x"}
    later = tenant(id, "later").model_dump(mode="json")
    owners.plan(id, 201, asked, etag='"8"', purser_subject=f"tenant/{id}")
    owners.plan(id, 200, later, etag='"10"', purser_subject=f"tenant/{id}")
    await public.call("POST", f"/v1/tenants/{id}/consent-requests", json={})
    assert (await folded(kept, "tenants", f"tenant/{id}", 9))["state"]["name"] == "newest"
    await public.call("PUT", f"/v1/tenants/{id}/connection", json={})
    assert (await folded(kept, "tenants", f"tenant/{id}", 10))["state"]["name"] == "later"


@pytest.mark.parametrize("status", [202, 404, 412])
async def test_only_an_answer_with_a_state_is_folded(
    public: Any, owners: Any, kept: Any, status: int
) -> None:
    id = uuid.uuid4().hex
    subject = {} if status == 202 else {"purser_subject": f"tenant/{id}"}
    owners.plan(id, status, {"code": "x", "detail": "y"}, etag='"1"', **subject)
    await public.call("PUT", f"/v1/tenants/{id}/connection", json={})
    assert await kept["tenants"].find_one({"_id": f"tenant/{id}"}) is None


def ids(overview: dict[str, Any], collection: str) -> set[str]:
    return {one["id"] for one in overview[collection]}


async def test_the_overview_keeps_to_the_callers_scope(
    public: Any, producer: Any, kept: Any
) -> None:
    mine, other = uuid.uuid4().hex, uuid.uuid4().hex
    for id in (mine, other):
        owner = Customer(id=f"customer-of-{id}", name="Northwind", added_at=NOW)
        await publish(producer, CustomerAdded(state=owner), 1)
        await folded(kept, "customers", f"customer/{owner.id}", 1)
        await publish(producer, TenantRegistered(state=tenant(id)), 1)
        await folded(kept, "tenants", f"tenant/{id}", 1)
    by_customer = await public.grant("requester", f"customer/customer-of-{mine}")
    by_tenant = await public.grant("viewer", f"tenant/{mine}")
    for user, customers in ((by_customer, {f"customer-of-{mine}"}), (by_tenant, set())):
        seen = (await public.call("GET", "/v1/overview", user=user)).json()
        assert ids(seen, "tenants") == {mine}
        assert ids(seen, "customers") == customers
        assert seen["counts"]["tenants"] == 1
        assert seen["resellers"] == []
    nobody = (await public.call("GET", "/v1/overview", user=uuid.uuid4().hex)).json()
    assert all(nobody[name] == [] for name in ("customers", "tenants", "requests", "resellers"))
    whole = (await public.call("GET", "/v1/overview")).json()
    assert {mine, other} <= ids(whole, "tenants")


async def test_the_overview_answers_with_its_age_while_every_owner_is_away(
    deployment: Any, public: Any, producer: Any, kept: Any
) -> None:
    id = uuid.uuid4().hex
    await publish(producer, TenantRegistered(state=tenant(id)), 1)
    document = await folded(kept, "tenants", f"tenant/{id}", 1)
    viewer = await public.grant("viewer", f"tenant/{id}")
    urls = ("reseller", "tenant_connection", "subscription", "order", "audit")
    away = {f"{owner}_url": "http://127.0.0.1:9" for owner in urls}
    async with deployment.start(role="api", **away) as lonely:
        assert (await lonely.call("GET", f"/v1/tenants/{id}/orders")).status_code == 503
        seen = (await lonely.call("GET", "/v1/overview", user=viewer)).json()
    assert ids(seen, "tenants") == {id}
    as_of = datetime.fromisoformat(seen["as_of"])
    assert as_of == document["at"]
    assert datetime.now(UTC) - as_of < timedelta(minutes=2)


async def test_what_an_earlier_version_kept_is_listed_once_it_is_completed(
    deployment: Any, public: Any, known: Any, kept: Any
) -> None:
    customer, id = uuid.uuid4().hex, uuid.uuid4().hex
    await known.put("tenant.registered", id, customer_id=customer)
    now = {"place": "", "shown": "", "status": ""}
    await kept["tenants"].update_one({"_id": f"tenant/{id}"}, {"$unset": now})
    path = f"/v1/tenants?customer_id={customer}"
    assert (await public.call("GET", path)).json()["items"] == []
    async with deployment.start(role="api") as newer:

        async def listed() -> bool:
            return bool((await newer.call("GET", path)).json()["items"])

        await eventually(listed)
