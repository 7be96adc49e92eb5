"""Subscriptions over HTTP: within the caller's scope, and honest about their age."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from purser_common.clock import real_now
from purser_common.testing import eventually

GONE = {"kind": "status", "status": 404, "message": "Subscription is not found."}


async def connected(service: Any, shop: Any, *quantities: int) -> list[str]:
    """A connected tenant's subscriptions, in the order in which they were mirrored."""
    bought = [await shop.buy(quantity) for quantity in quantities]
    await service.tell(shop.tenant())
    for id in bought:
        await service.mirrored(shop, id)
    return bought


async def test_a_subscription_shows_what_the_marketplace_shows(service: Any, shop: Any) -> None:
    (bought,) = await connected(service, shop, 7)
    found = await service.get(f"/v1/subscriptions/{shop.id(bought)}")
    state = found.json()
    assert state["marketplace_subscription_id"] == bought
    assert (state["tenant_id"], state["customer_id"]) == (shop.tenant_id, shop.customer_id)
    assert (state["status"], state["auto_renew"]) == ("active", True)
    assert state["subscription_period"] == {"type": "year", "duration": 1}
    assert state["entra_tenant_id"] == shop.customer["entra_tenants"][0]["id"]
    (option,) = state["options"]
    assert option["product"]["mpn"] == "SIMBS:0001_P1Y:M"
    assert option["quantity"] == 7
    assert option["unit_price"]["currency"] == "USD"
    assert option["vendor_subscription_id"]
    assert found.headers["etag"] == '"1"'
    age = real_now() - datetime.fromisoformat(found.headers["purser-read-at"])
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert "purser-stale" not in found.headers


async def test_every_scope_sees_its_own_and_a_foreign_one_finds_nothing(
    service: Any, shop: Any
) -> None:
    (bought,) = await connected(service, shop, 1)
    one = f"/v1/subscriptions/{shop.id(bought)}"
    own = ("all", f"customer/{shop.customer_id}", f"tenant/{shop.tenant_id}")
    for scope in own:
        assert (await service.get(one, scope)).status_code == 200, scope
    for scope in ("customer/another", "tenant/another", f"customer/{shop.tenant_id}"):
        for address in (one, f"{one}?refresh=true"):
            answer = await service.get(address, scope)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), address
    assert (await service.get(one, roles=())).status_code == 404
    assert (await service.get("/v1/subscriptions/none")).status_code == 404


async def test_a_refresh_reads_at_once_and_moves_the_etag_only_when_something_differs(
    service: Any, shop: Any
) -> None:
    (bought,) = await connected(service, shop, 5)
    one = f"/v1/subscriptions/{shop.id(bought)}"
    before = await service.get(one)
    same = await service.get(one, refresh=True)
    assert same.headers["etag"] == before.headers["etag"]
    assert same.headers["purser-read-at"] > before.headers["purser-read-at"]
    await shop.change(bought, 8)
    assert (await service.get(one)).json()["options"][0]["quantity"] == 5
    changed = await service.get(one, refresh=True)
    assert changed.json()["options"][0]["quantity"] == 8
    assert changed.headers["etag"] == '"2"'
    assert "purser-stale" not in changed.headers


async def test_opening_reads_again_what_is_older_than_fresh(
    deployment: Any, service: Any, shop: Any
) -> None:
    (bought,) = await connected(service, shop, 5)
    one = f"/v1/subscriptions/{shop.id(bought)}"
    await service.get(one)
    before = await shop.reads(f"/subscriptions/{bought}")
    await service.get(one)
    assert await shop.reads(f"/subscriptions/{bought}") == before
    await shop.change(bought, 6)
    async with deployment.start(role="api", fresh_seconds=0.0) as impatient:
        opened = await impatient.get(one)
    assert opened.json()["options"][0]["quantity"] == 6


async def test_who_opens_one_object_at_once_shares_one_reading(
    deployment: Any, service: Any, shop: Any
) -> None:
    bought, other = await connected(service, shop, 5, 5)
    one = f"/v1/subscriptions/{shop.id(bought)}"
    before = await shop.reads(f"/subscriptions/{bought}")
    await shop.change(bought, 6)
    slow = await shop.fault(f"/subscriptions/{bought}", "delay", seconds=1.5)
    async with deployment.start(role="api", fresh_seconds=0.0) as impatient:
        gives_up = asyncio.create_task(impatient.get(one))
        await eventually(lambda: shop.spent(slow))
        opened = [asyncio.create_task(impatient.get(one)) for _ in range(4)]
        assert (await impatient.get(f"/v1/subscriptions/{shop.id(other)}")).status_code == 200
        assert not any(task.done() for task in opened)
        gives_up.cancel()
        answers = await asyncio.gather(*opened)
        assert {a.json()["options"][0]["quantity"] for a in answers} == {6}
        assert not [a for a in answers if "purser-stale" in a.headers]
        assert await shop.reads(f"/subscriptions/{bought}") == before + 1
        await impatient.get(one)
        assert await shop.reads(f"/subscriptions/{bought}") == before + 2


async def test_what_cannot_be_read_again_is_shown_as_it_was_and_marked(
    service: Any, shop: Any
) -> None:
    (bought,) = await connected(service, shop, 5)
    one = f"/v1/subscriptions/{shop.id(bought)}"
    before = await service.get(one)
    for fault in ({"kind": "status", "status": 503}, {"kind": "bad_json"}, GONE):
        await shop.change(bought, int(before.json()["options"][0]["quantity"]) + 1)
        planted = await shop.fault("/subscriptions/*", times=None, **fault)
        stale = await service.get(one, refresh=True)
        await shop.mend(planted)
        assert stale.status_code == 200, fault
        assert stale.headers.get("purser-stale") == "true", fault
        assert stale.json() == before.json(), fault
        assert stale.headers["purser-read-at"] == before.headers["purser-read-at"], fault
        assert stale.headers["etag"] == before.headers["etag"], fault
        before = await service.get(one, refresh=True)
        assert "purser-stale" not in before.headers


async def test_what_belongs_to_nobody_connected_any_more_is_marked(service: Any, shop: Any) -> None:
    (bought,) = await connected(service, shop, 5)
    one = f"/v1/subscriptions/{shop.id(bought)}"
    await service.tell(shop.tenant(connection=None), sequence=6)

    async def marked() -> bool:
        return (await service.get(one, refresh=True)).headers.get("purser-stale") == "true"

    await eventually(marked)


async def test_many_readers_of_one_subscription_leave_one_state(service: Any, shop: Any) -> None:
    (bought,) = await connected(service, shop, 5)
    one = f"/v1/subscriptions/{shop.id(bought)}"
    await shop.change(bought, 9)
    answers = await asyncio.gather(*(service.get(one, refresh=True) for _ in range(6)))
    assert {a.json()["options"][0]["quantity"] for a in answers} == {9}
    assert {a.headers["etag"] for a in answers} == {'"2"'}
    assert not [a for a in answers if "purser-stale" in a.headers]
