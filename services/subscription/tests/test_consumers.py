"""Facts in: whose is what, and what is to be read; in whatever order they come, nothing is lost."""

from typing import Any

from purser_common.testing import eventually
from purser_events.tenant import TenantConsented, TenantConsentRequested


async def kept(database: Any, shop: Any, sequence: int) -> None:
    """Wait until the copy of the shop's tenant is as new as this."""

    async def there() -> bool:
        found = await database["connections"].find_one({"_id": shop.tenant_id})
        return found is not None and found["sequence"] >= sequence

    await eventually(there, within=20)


async def status(service: Any, shop: Any, bought: str) -> int:
    answer = await service.get(f"/v1/subscriptions/{shop.id(bought)}")
    return int(answer.status_code)


async def test_a_connection_brings_every_subscription_of_the_customer(
    service: Any, shop: Any
) -> None:
    bought = [await shop.buy(quantity) for quantity in (1, 2, 3)]
    await service.tell(shop.tenant())
    for id, quantity in zip(bought, (1, 2, 3), strict=True):
        await service.seats(shop, id, quantity)


async def test_a_purchase_is_read_soon(service: Any, shop: Any, readings: Any) -> None:
    await service.tell(shop.tenant())
    await readings.over(shop)
    bought = await shop.buy(4)
    assert await status(service, shop, bought) == 404
    await service.purchased(shop, bought, 4)
    await service.seats(shop, bought, 4)


async def test_a_purchase_that_comes_before_its_tenants_facts_is_not_lost(
    service: Any, shop: Any, readings: Any
) -> None:
    bought = await shop.buy(4)
    await service.purchased(shop, bought, 4)
    await readings.over(shop, bought)
    assert await status(service, shop, bought) == 404
    await service.tell(shop.tenant(), sequence=7, kind=TenantConsented)
    await service.seats(shop, bought, 4)


async def test_nothing_is_asked_of_the_marketplace_for_whom_nobody_is_connected(
    service: Any, shop: Any, readings: Any
) -> None:
    bought = await shop.buy(4)
    await service.purchased(shop, bought, 4)
    await readings.over(shop, bought)
    assert await shop.reads(f"/subscriptions/{bought}") == 0


async def test_an_older_fact_that_comes_late_brings_no_connection_back(
    service: Any, shop: Any, database: Any, readings: Any
) -> None:
    bought = await shop.buy(4)
    await service.tell(shop.tenant(connection=None), sequence=6, kind=TenantConsentRequested)
    await kept(database, shop, 6)
    await service.tell(shop.tenant(), sequence=5)
    await readings.over(shop)
    assert await status(service, shop, bought) == 404
    found = await database["connections"].find_one({"_id": shop.tenant_id})
    assert (found["sequence"], found["state"]["connection"]) == (6, None)


async def test_a_repeated_fact_reads_again_and_changes_nothing(service: Any, shop: Any) -> None:
    """It may be the rest of a handling that ended half-way, so it is as good as a new one."""
    bought = await shop.buy(4)
    await service.tell(shop.tenant())
    found = await service.mirrored(shop, bought)
    before = await shop.reads(f"/subscriptions/{bought}")
    await service.tell(shop.tenant())

    async def read_again() -> bool:
        return bool(await shop.reads(f"/subscriptions/{bought}") > before)

    await eventually(read_again, within=20)
    again = await service.get(f"/v1/subscriptions/{shop.id(bought)}")
    assert again.headers["etag"] == found.headers["etag"] == '"1"'


async def test_a_subscription_belongs_to_the_tenant_it_names_and_not_to_the_customers_first(
    service: Any, shop: Any, readings: Any
) -> None:
    """Two tenants are connected to one marketplace customer; Microsoft's id tells them apart."""
    bought = await shop.buy(4)
    named = shop.tenant()
    other = shop.tenant(
        id=f"another-{shop.tenant_id}", entra_tenant_id="00000000-0000-4000-8000-000000000000"
    )
    await service.tell(other)
    await readings.over(shop)
    assert await shop.reads(f"/subscriptions/{bought}") == 1
    assert await status(service, shop, bought) == 404
    await service.tell(named)
    await service.mirrored(shop, bought, tenant_id=named.id)


async def test_a_tenant_that_changes_hands_takes_its_subscriptions_along(
    service: Any, shop: Any
) -> None:
    bought = await shop.buy(4)
    await service.tell(shop.tenant())
    await service.mirrored(shop, bought, customer_id=shop.customer_id)
    await service.tell(shop.tenant(customer_id="customer-after"), sequence=6)
    moved = await service.mirrored(shop, bought, customer_id="customer-after")
    assert moved.headers["etag"] == '"2"'
