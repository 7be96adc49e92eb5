"""One object: its owner's answer, or what the gateway knows of it, marked stale."""

import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

PAGES = {
    "/v1/resellers/{}": "reseller.added",
    "/v1/customers/{}": "customer.added",
    "/v1/tenants/{}": "tenant.registered",
    "/v1/subscriptions/{}": "subscription.activated",
    "/v1/license-change-requests/{}": "license.change-requested",
}


def new() -> str:
    return uuid.uuid4().hex


@pytest.mark.parametrize("path", PAGES)
async def test_the_owners_word_comes_first(public: Any, owners: Any, known: Any, path: str) -> None:
    id = new()
    await known.put(PAGES[path], id)
    owners.plan(id, 200, {"id": id, "from": "the owner"}, etag='"9"')
    answer = await public.call("GET", path.format(id))
    assert answer.json() == {"id": id, "from": "the owner"}
    assert answer.headers["etag"] == '"9"'
    assert "purser-stale" not in answer.headers


@pytest.mark.parametrize("status", [403, 404])
async def test_the_owners_refusal_is_final(
    public: Any, owners: Any, known: Any, status: int
) -> None:
    id = new()
    await known.put("tenant.registered", id)
    owners.plan(id, status, {"code": "no", "detail": "no"})
    assert (await public.call("GET", f"/v1/tenants/{id}")).status_code == status


@pytest.mark.parametrize("path", PAGES)
async def test_an_owner_that_cannot_answer_is_stood_in_for(
    public: Any, owners: Any, known: Any, path: str
) -> None:
    id = new()
    state = await known.put(PAGES[path], id, 7)
    owners.plan(id, 503, {"code": "database_unavailable", "detail": "away"})
    answer = await public.call("GET", path.format(id))
    assert answer.status_code == 200
    shown = answer.json()
    if "license-change-requests" in path:
        assert shown.pop("execution") is None
    assert shown == state
    assert answer.headers["purser-stale"] == "true"
    assert answer.headers["etag"] == '"7"'
    assert datetime.fromisoformat(answer.headers["purser-read-at"]) <= datetime.now(UTC)


async def test_an_owner_that_takes_too_long_is_stood_in_for_unless_a_refresh_was_asked(
    public: Any, owners: Any, known: Any
) -> None:
    id = new()
    await known.put("subscription.activated", id, name="As it was")
    slow = owners.plan(id, 200, {"id": id, "name": "As it is"}, held=True)
    began = time.monotonic()
    answer = await public.call("GET", f"/v1/subscriptions/{id}")
    assert 1.5 < time.monotonic() - began < 4
    assert (answer.json()["name"], answer.headers["purser-stale"]) == ("As it was", "true")
    slow.go.set()
    fresh = await public.call("GET", f"/v1/subscriptions/{id}?refresh=true")
    assert fresh.json()["name"] == "As it is"
    assert "purser-stale" not in fresh.headers


async def test_nobody_learns_from_the_model_what_the_owner_would_not_show(
    public: Any, owners: Any, known: Any
) -> None:
    customer, tenant = new(), new()
    whose = {"customer_id": customer, "tenant_id": tenant}
    for path, topic in PAGES.items():
        id = new()
        fields = whose if topic.startswith(("subscription", "license")) else {}
        if topic.startswith("tenant"):
            id, fields = tenant, {"customer_id": customer}
        if topic.startswith("customer"):
            id = customer
        await known.put(topic, id, **fields)
        owners.plan(id, 503, {"code": "away", "detail": "away"})
        url = path.format(id)
        stranger = await public.grant("viewer", f"tenant/{new()}")
        by_customer = await public.grant("viewer", f"customer/{customer}")
        by_tenant = await public.grant("viewer", f"tenant/{tenant}")
        statuses = [
            (await public.call("GET", url, user=user)).status_code
            for user in (by_customer, by_tenant, stranger, new())
        ]
        if topic.startswith("reseller"):
            assert statuses == [200, 200, 200, 503]
        elif topic.startswith("customer"):
            assert statuses == [200, 503, 503, 503]
        else:
            assert statuses == [200, 200, 503, 503], url


async def test_what_is_gone_or_unknown_is_not_stood_in_for(
    public: Any, owners: Any, known: Any
) -> None:
    gone, unknown = new(), new()
    await known.put("tenant.registered", gone, status="removed")
    for id in (gone, unknown):
        owners.plan(id, 503, {"code": "away", "detail": "away"})
        answer = await public.call("GET", f"/v1/tenants/{id}")
        assert (answer.status_code, answer.json()["code"]) == (503, "away")


async def test_lists_and_pages_answer_while_every_owner_is_away(
    deployment: Any, public: Any, owners: Any, known: Any
) -> None:
    customer, id, key = new(), new(), new()
    await known.put("tenant.registered", id, customer_id=customer)
    made = await known.put("customer.added", customer, name="Before")
    body = {**made, "name": "My own write"}
    owners.plan(key, 201, body, etag='"2"', purser_subject=f"customer/{customer}")
    await public.call("POST", "/v1/customers", key=key, json={"name": "My own write"})
    viewer = await public.grant("viewer", f"customer/{customer}")
    urls = ("reseller", "tenant_connection", "subscription", "order", "audit")
    away = {f"{owner}_url": "http://127.0.0.1:9" for owner in urls}
    async with deployment.start(role="api", **away) as lonely:

        async def got(path: str) -> Any:
            answer = await lonely.call("GET", path, user=viewer)
            assert answer.status_code == 200, answer.text
            return answer.json()

        assert [one["id"] for one in (await got("/v1/tenants"))["items"]] == [id]
        assert (await got(f"/v1/tenants/{id}/overview"))["customer"]["name"] == "My own write"
        assert (await got(f"/v1/customers/{customer}"))["name"] == "My own write"
        assert (await got(f"/v1/tenants/{id}"))["id"] == id
        for path in ("/v1/resellers", "/v1/license-change-requests", "/v1/customers"):
            assert (await got(path))["as_of"]
