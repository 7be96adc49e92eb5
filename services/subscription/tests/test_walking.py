"""Reading a whole customer: what a list says is new is read, and one bad list says nothing."""

from typing import Any

from purser_common.testing import eventually
from purser_events.finding import finding_id
from subscription_service.domain.finding import VANISHED, object_of

LONG_AGO = "2026-01-05"
GONE = {"kind": "status", "status": 404, "message": "Subscription is not found."}


async def known(service: Any, shop: Any, readings: Any, *quantities: int) -> list[str]:
    """Subscriptions that were read, and changed long before that."""
    bought = [await shop.buy(quantity) for quantity in quantities]
    for id in bought:
        await shop.touch(id, modified_on=LONG_AGO)
    await service.tell(shop.tenant())
    for id in bought:
        await service.mirrored(shop, id)
    await readings.over(shop)
    return bought


async def walk(service: Any, shop: Any, readings: Any) -> None:
    """Read the customer again, to the end."""
    lists = await shop.reads("/subscriptions")
    await service.tell(shop.tenant())

    async def listed() -> bool:
        return bool(await shop.reads("/subscriptions") > lists)

    await eventually(listed, within=20)
    await readings.over(shop)


async def vanished(database: Any, shop: Any, bought: str) -> str | None:
    id = finding_id(VANISHED, object_of(shop.id(bought)))
    document = await database["findings"].find_one({"_id": id})
    return str(document["state"]["status"]) if document else None


async def test_only_what_is_new_is_read_in_detail(service: Any, shop: Any, readings: Any) -> None:
    same, changed = await known(service, shop, readings, 1, 2)
    reads = [await shop.reads(f"/subscriptions/{id}") for id in (same, changed)]
    await walk(service, shop, readings)
    assert [await shop.reads(f"/subscriptions/{id}") for id in (same, changed)] == reads
    await shop.change(changed, 7)
    bought = await shop.buy(3)
    await walk(service, shop, readings)
    assert await shop.reads(f"/subscriptions/{same}") == reads[0]
    await service.seats(shop, changed, 7)
    await service.seats(shop, bought, 3)


async def test_a_second_change_of_the_same_day_is_seen_too(
    service: Any, shop: Any, readings: Any
) -> None:
    (bought,) = await known(service, shop, readings, 1)
    for quantity in (2, 3):
        await shop.change(bought, quantity)
        await walk(service, shop, readings)
        await service.seats(shop, bought, quantity)


async def test_what_was_not_read_for_long_is_read_although_its_row_is_the_same(
    service: Any, shop: Any, readings: Any, database: Any
) -> None:
    (bought,) = await known(service, shop, readings, 1)
    await shop.change(bought, 5)
    await shop.touch(bought, modified_on=LONG_AGO)
    await walk(service, shop, readings)
    state = (await service.get(f"/v1/subscriptions/{shop.id(bought)}")).json()
    assert state["options"][0]["quantity"] == 1
    await database["readings"].update_one(
        {"_id": shop.id(bought)}, {"$set": {"read_on": "2026-11-01"}}
    )
    await walk(service, shop, readings)
    await service.seats(shop, bought, 5)


async def test_one_list_without_it_proves_nothing_and_two_without_an_answer_are_a_finding(
    service: Any, shop: Any, readings: Any, database: Any
) -> None:
    (bought,) = await known(service, shop, readings, 4)
    gone = await shop.fault(f"/subscriptions/{bought}", times=None, **GONE)
    empty = await shop.fault("/subscriptions", "empty_list", times=None)
    await walk(service, shop, readings)
    assert await vanished(database, shop, bought) is None
    await walk(service, shop, readings)
    assert await vanished(database, shop, bought) == "open"
    state = (await service.get(f"/v1/subscriptions/{shop.id(bought)}")).json()
    assert (state["status"], state["connected"]) == ("active", True)
    for fault in (gone, empty):
        await shop.mend(fault)
    await walk(service, shop, readings)
    assert await vanished(database, shop, bought) == "closed"


async def test_lists_that_leave_out_what_is_there_are_not_believed(
    service: Any, shop: Any, readings: Any, database: Any
) -> None:
    (bought,) = await known(service, shop, readings, 4)
    await shop.fault("/subscriptions", "empty_list", times=3)
    reads = await shop.reads(f"/subscriptions/{bought}")
    for _ in range(3):
        await walk(service, shop, readings)
    assert await vanished(database, shop, bought) is None
    assert await shop.reads(f"/subscriptions/{bought}") == reads + 1


async def test_what_breaks_off_goes_on_where_it_was(service: Any, shop: Any, readings: Any) -> None:
    """A pause without a time, a page of a proxy, half an answer: nothing is lost or half saved."""
    bought = [await shop.buy(quantity) for quantity in (1, 2, 3)]
    for id in bought:
        await shop.touch(id, modified_on=LONG_AGO)
    await shop.fault("/subscriptions", "status", status=504, family="html", times=1)
    await shop.fault("/subscriptions", "bad_json", times=1, after=1)
    oldest = bought[0]
    await shop.fault(f"/subscriptions/{oldest}", "rate_limit", times=1)
    await service.tell(shop.tenant())
    for id, quantity in zip(bought, (1, 2, 3), strict=True):
        await service.seats(shop, id, quantity)
    await readings.over(shop)
    newest = [await shop.reads(f"/subscriptions/{id}") for id in bought[1:]]
    assert newest == [1, 1]
