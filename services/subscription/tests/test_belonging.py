"""Whose a subscription is: the tenant's that it names, else nobody's and a finding, never two's."""

import json
from typing import Any

import pytest

from purser_common.testing import eventually, records
from purser_events.finding import FindingClosed, FindingOpened, finding_id
from purser_events.subscription import SubscriptionChanged
from purser_events.tenant import Tenant, TenantConsented
from subscription_service.domain.finding import object_of
from subscription_service.domain.mirror import MISMATCH, UNCLEAR

FOREIGN = "77aa0c1e-5d2b-4f7e-8c9d-2b3a4c5d6e7f"
OTHER = "19f0b6d2-3c4e-4a5b-9d8e-7f6a5b4c3d2e"


class Belongings:
    """What is found of a shop's subscriptions, and who has them."""

    def __init__(self, service: Any, shop: Any, database: Any) -> None:
        self.service, self.shop = service, shop
        self.findings, self.mirror = database["findings"], database["subscriptions"]

    async def finding(self, bought: str, kind: str, status: str) -> dict[str, Any]:
        """A finding once it has this status."""
        id = finding_id(kind, object_of(self.shop.id(bought)))

        async def found() -> dict[str, Any]:
            document = await self.findings.find_one({"_id": id})
            assert document is not None
            assert document["state"]["status"] == status
            state: dict[str, Any] = document["state"]
            return state

        return await eventually(found, within=20)

    async def listed(self, tenant_id: str, former: bool = False) -> list[str]:
        """The ids of a tenant's subscriptions, newest first."""
        found = await self.mirror.find({"tenant_id": tenant_id}).to_list(None)
        there = [d for d in found if former or d["state"]["connected"]]
        return [d["_id"] for d in sorted(there, key=lambda d: d["created_at"], reverse=True)]

    async def has(self, tenant: Tenant, *bought: str) -> None:
        """Wait until a tenant has exactly these subscriptions."""

        async def has() -> bool:
            return sorted(await self.listed(tenant.id)) == sorted(map(self.shop.id, bought))

        await eventually(has, within=20)


@pytest.fixture
def belongings(service: Any, shop: Any, database: Any) -> Belongings:
    return Belongings(service, shop, database)


def another(shop: Any, **changed: Any) -> Tenant:
    """A second tenant of the same customer, connected to the same marketplace customer."""
    given = {"id": f"another-{shop.tenant_id}", "entra_tenant_id": OTHER, **changed}
    tenant: Tenant = shop.tenant(**given)
    return tenant


async def test_one_that_names_nobody_connected_is_a_finding_until_it_names_the_tenant(
    service: Any, shop: Any, belongings: Belongings, provisioned: Any
) -> None:
    bought, own = await shop.buy(1), await shop.buy(2)
    await shop.touch(bought, entra_tenant_id=FOREIGN)
    await service.tell(shop.tenant())
    opened = await belongings.finding(bought, MISMATCH, "open")
    assert (opened["times_opened"], opened["tenant_id"]) == (1, None)
    assert opened["customer_id"] == shop.customer_id
    assert FOREIGN in opened["detail"]
    assert bought in opened["detail"]
    await belongings.has(shop.tenant(), own)

    await shop.touch(bought, entra_tenant_id=shop.customer["entra_tenants"][0]["id"].upper())
    await service.tell(shop.tenant())
    closed = await belongings.finding(bought, MISMATCH, "closed")
    assert closed["closed_at"] >= closed["opened_at"]
    await belongings.has(shop.tenant(), bought, own)

    await shop.touch(bought, entra_tenant_id=FOREIGN)
    await service.tell(shop.tenant())
    again = await belongings.finding(bought, MISMATCH, "open")
    assert (again["times_opened"], again.get("closed_at")) == (2, None)
    await belongings.has(shop.tenant(), own)
    state = (await service.get(f"/v1/subscriptions/{shop.id(bought)}")).json()
    assert (state["connected"], state["tenant_id"]) == (False, shop.tenant_id)

    def told(read: Any) -> list[str]:
        return [
            r.topic for r in read if json.loads(r.value)["subject"] == f"finding/{opened['id']}"
        ]

    topics = (FindingOpened.TOPIC, FindingClosed.TOPIC)
    read = await records(provisioned, *topics, until=lambda read: len(told(read)) == 3)
    assert sorted(told(read)) == ["finding.closed", "finding.opened", "finding.opened"]


async def test_of_several_tenants_the_named_one_has_it_and_nobody_what_names_none(
    service: Any, shop: Any, belongings: Belongings
) -> None:
    first, second = shop.tenant(), another(shop)
    named, other, unnamed = [await shop.buy(quantity) for quantity in (1, 2, 3)]
    await shop.touch(other, entra_tenant_id=OTHER)
    await shop.touch(unnamed, entra_tenant_id=None)
    await service.tell(first)
    await belongings.has(first, named, unnamed)
    await service.tell(second)
    await belongings.has(first, named)
    await belongings.has(second, other)
    assert (await belongings.finding(unnamed, UNCLEAR, "open"))["tenant_id"] is None

    await service.tell(another(shop, connection=None), sequence=6, kind=TenantConsented)
    await belongings.has(first, named, unnamed)
    await belongings.finding(unnamed, UNCLEAR, "closed")
    await belongings.finding(other, MISMATCH, "open")
    await belongings.has(second)
    assert await belongings.listed(second.id, former=True) == [shop.id(other)]


async def test_one_that_names_another_connected_tenant_becomes_that_ones(
    service: Any, shop: Any, belongings: Belongings, provisioned: Any
) -> None:
    bought = await shop.buy(4)
    first, second = shop.tenant(), another(shop)
    await service.tell(first)
    await service.tell(second)
    await belongings.has(first, bought)
    await shop.touch(bought, entra_tenant_id=OTHER)
    await service.get(f"/v1/subscriptions/{shop.id(bought)}", refresh=True)
    await belongings.has(second, bought)
    await belongings.has(first)
    assert await belongings.listed(first.id, former=True) == []
    found = await service.get(f"/v1/subscriptions/{shop.id(bought)}")
    assert (found.json()["entra_tenant_id"], found.headers["etag"]) == (OTHER, '"2"')

    def changes(read: Any) -> list[dict[str, Any]]:
        told = [json.loads(r.value) for r in read]
        mine = [one for one in told if one["subject"] == f"subscription/{shop.id(bought)}"]
        return [change for one in mine for change in one["data"]["changes"]]

    read = await records(provisioned, SubscriptionChanged.TOPIC, until=lambda r: bool(changes(r)))
    changed = {c["pointer"]: (c["before"], c["after"]) for c in changes(read)}
    assert changed["/tenant_id"] == (first.id, second.id)


async def test_a_tenant_that_leaves_keeps_what_was_read_and_it_is_read_no_more(
    service: Any, shop: Any, belongings: Belongings, readings: Any
) -> None:
    bought = await shop.buy(4)
    await service.tell(shop.tenant())
    await belongings.has(shop.tenant(), bought)
    # no reading is needed for it: the marketplace may be away
    away = await shop.fault("/subscriptions", "status", status=503, times=None)
    await service.tell(shop.tenant(connection=None), sequence=6, kind=TenantConsented)
    await belongings.has(shop.tenant())
    assert await belongings.listed(shop.tenant_id, former=True) == [shop.id(bought)]
    await shop.mend(away)
    await shop.change(bought, 9)
    reads = await shop.reads(f"/subscriptions/{bought}")
    found = await service.get(f"/v1/subscriptions/{shop.id(bought)}", refresh=True)
    assert (found.json()["connected"], found.json()["options"][0]["quantity"]) == (False, 4)
    assert found.headers["purser-stale"] == "true"
    assert await shop.reads(f"/subscriptions/{bought}") == reads

    await service.tell(shop.tenant(), sequence=7)
    back = await service.mirrored(shop, bought, connected=True)
    assert back.json()["options"][0]["quantity"] == 9
    await belongings.has(shop.tenant(), bought)


async def test_a_move_to_another_account_shows_what_is_there_and_keeps_what_was(
    service: Any, shop: Any, market: Any, belongings: Belongings
) -> None:
    before = await shop.buy(4)
    await service.tell(shop.tenant())
    await belongings.has(shop.tenant(), before)
    other = await market.shop()
    other.tenant_id, other.customer_id = shop.tenant_id, shop.customer_id
    after = await other.buy(5)
    await service.tell(other.tenant(), sequence=6)

    async def moved() -> bool:
        return await belongings.listed(shop.tenant_id) == [other.id(after)]

    await eventually(moved, within=20)
    kept = await belongings.listed(shop.tenant_id, former=True)
    assert kept == [other.id(after), shop.id(before)]


async def test_findings_of_whom_nobody_is_connected_to_close(
    service: Any, shop: Any, belongings: Belongings
) -> None:
    bought = await shop.buy(1)
    await shop.touch(bought, entra_tenant_id=FOREIGN)
    await service.tell(shop.tenant())
    await belongings.finding(bought, MISMATCH, "open")
    await service.tell(shop.tenant(connection=None), sequence=6, kind=TenantConsented)
    await belongings.finding(bought, MISMATCH, "closed")
