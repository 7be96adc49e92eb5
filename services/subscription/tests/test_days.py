"""Seats and prices by day: a day follows its latest reading, and a closed one never changes."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from purser_common import mongo as chassis_mongo
from purser_common import settings
from purser_common.identity import Caller, Grant
from purser_common.testing import eventually
from purser_events.price import PriceCustomized, PricePlan
from purser_events.subscription import Subscription
from purser_events.values import Money, product_id
from subscription_service import store
from subscription_service.domain.price import own_prices
from subscription_service.views import OptionDay, Views

FIRST, SECOND = date(2026, 2, 3), date(2026, 2, 4)
MORNING = datetime(2026, 2, 3, 8, tzinfo=UTC)
PERIODS = {
    "subscription_period": {"type": "year", "duration": 1},
    "billing_period": {"type": "month", "duration": 1},
}
COST = Money(currency="USD", amount=Decimal("11.20"))


def option(mpn: str, quantity: int, price: str | None = "13.34") -> dict[str, Any]:
    return {
        "product": {"mpn": mpn, "vendor": "V", **PERIODS},
        "name": mpn,
        "quantity": quantity,
        "unit_price": {"currency": "USD", "amount": price} if price else None,
    }


def subscription(*options: dict[str, Any], **changed: Any) -> Subscription:
    plain = {
        "id": str(uuid.uuid4()),
        "marketplace": "ingram-micro-xvantage",
        "reseller_id": "r1",
        "customer_id": "c1",
        "tenant_id": "t1",
        "entra_tenant_id": "e1",
        "marketplace_customer_id": "1000003",
        "marketplace_subscription_id": "1000201",
        "name": "Product",
        "status": "active",
        "observed_at": MORNING,
        "options": options,
    }
    return Subscription.model_validate(plain | changed)


class Kept:
    """The days of subscriptions as somebody may see them."""

    def __init__(self, database: chassis_mongo.Database) -> None:
        self._days, self._views = store.Days(database), Views(database)

    async def record(self, of: Subscription, costs: Any, day: date, at: datetime) -> None:
        await self._days.record(of, own_prices(of, {}), costs, day, at)

    async def page(self, of: Subscription, role: str = "viewer", **asked: Any) -> dict[str, Any]:
        caller = Caller("user:tester", (Grant(role, asked.pop("scope", "all")),))
        given = {"since": None, "until": None, "after": None, "limit": 50, **asked}
        return await self._views.history(caller, of.id, **given)

    async def seats(self, of: Subscription) -> list[tuple[str, str, int]]:
        items: list[OptionDay] = (await self.page(of))["items"]
        return sorted((one.day.isoformat(), one.option, one.quantity) for one in items)


@pytest.fixture
async def kept(mongo: settings.Mongo) -> AsyncIterator[Kept]:
    client = chassis_mongo.connect(mongo)
    await chassis_mongo.declare_indexes(client[mongo.database], store.INDEXES)
    yield Kept(client[mongo.database])
    await chassis_mongo.close(client)


async def test_a_day_follows_its_latest_reading_and_a_closed_one_stays(kept: Kept) -> None:
    five = subscription(option("A", 5))
    six = five.model_copy(update={"options": subscription(option("A", 6)).options})
    await kept.record(five, (COST,), FIRST, MORNING)
    await kept.record(six, (COST,), FIRST, MORNING + timedelta(hours=1))
    await kept.record(five, (COST,), FIRST, MORNING + timedelta(minutes=1))
    assert await kept.seats(five) == [("2026-02-03", "V/A", 6)]
    await kept.record(five, (COST,), SECOND, MORNING + timedelta(days=1))
    assert await kept.seats(five) == [("2026-02-03", "V/A", 6), ("2026-02-04", "V/A", 5)]


async def test_an_option_that_is_gone_is_no_longer_of_today(kept: Kept) -> None:
    both = subscription(option("A", 5), option("B", 2), option("A", 3))
    one = both.model_copy(update={"options": both.options[:1]})
    await kept.record(both, (), FIRST, MORNING)
    await kept.record(both, (), SECOND, MORNING + timedelta(days=1))
    await kept.record(one, (), SECOND, MORNING + timedelta(days=1, hours=1))
    assert await kept.seats(both) == [
        ("2026-02-03", "V/A", 5),
        ("2026-02-03", "V/A#2", 3),
        ("2026-02-03", "V/B", 2),
        ("2026-02-04", "V/A", 5),
    ]


async def test_the_day_on_which_it_ends_is_its_last(kept: Kept) -> None:
    active = subscription(option("A", 5))
    ended = active.model_copy(update={"status": "terminated"})
    await kept.record(active, (), FIRST, MORNING)
    await kept.record(ended, (), FIRST, MORNING + timedelta(hours=1))
    await kept.record(ended, (), SECOND, MORNING + timedelta(days=1))
    items = (await kept.page(active))["items"]
    assert [(one.day, one.status) for one in items] == [(FIRST, "terminated")]


async def test_costs_are_for_price_admins_there_and_what_is_unknown_stays_so(kept: Kept) -> None:
    sold = subscription(option("A", 5), option("B", 1, price=None))
    await kept.record(sold, (COST,), FIRST, MORNING)

    async def prices(role: str, scope: str) -> list[tuple[Money | None, Money | None]]:
        items = (await kept.page(sold, role, scope=scope))["items"]
        return [(one.own_price, one.reseller_price) for one in sorted(items, key=lambda i: i.name)]

    own = Money(currency="USD", amount=Decimal("13.34"))
    assert await prices("viewer", "all") == [(own, None), (None, None)]
    for scope in ("all", "customer/c1", "tenant/t1"):
        assert await prices("price_admin", scope) == [(own, COST), (None, None)]
    assert await prices("price_admin", "tenant/t2") == []


async def test_days_come_page_by_page_between_two_days(kept: Kept) -> None:
    sold = subscription(option("A", 5), option("B", 1))
    for number in range(4):
        at = MORNING + timedelta(days=number)
        await kept.record(sold, (), at.date(), at)
    whole = (await kept.page(sold))["items"]
    asked: dict[str, Any] = {"limit": 3}
    seen: list[OptionDay] = []
    while True:
        page = await kept.page(sold, **asked)
        seen += page["items"]
        if page["next"] is None:
            break
        asked["after"] = page["next"]
    assert seen == whole
    assert len(seen) == 8
    some = await kept.page(sold, since=date(2026, 2, 4), until=date(2026, 2, 5))
    assert {one.day.day for one in some["items"]} == {4, 5}


@pytest.mark.parametrize(("kind", "known"), [("leaf", True), ("parent", False)])
async def test_a_reading_is_recorded_with_what_the_reseller_pays_by_its_own_account(
    service: Any, market: Any, kind: str, known: bool
) -> None:
    shop = await market.shop(kind=kind)
    bought = await shop.buy(5)
    await service.tell(shop.tenant())
    await service.mirrored(shop, bought)
    address = f"/v1/subscriptions/{shop.id(bought)}"
    await service.get(address, refresh=True)
    for roles in (("viewer",), ("price_admin",)):
        (day,) = (await service.get(f"{address}/history", roles=roles)).json()["items"]
        assert (day["quantity"], day["option"]) == (5, "SIMMICROSOFT/SIMBS:0001_P1Y:M")
        assert day["own_price"] == {"currency": "USD", "amount": "13.34"}
        shown = known and roles == ("price_admin",)
        assert day["reseller_price"] == ({"currency": "USD", "amount": "11.20"} if shown else None)
    assert (await service.get(f"{address}/history", "tenant/another")).status_code == 404
    wrong = await service.get(f"{address}/history", **{"from": "2026-02-02", "to": "2026-02-01"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/from")


def plan(*tiers: tuple[int | None, str], model: str = "FLAT", **over: Any) -> PricePlan:
    prices = [
        {
            "type": "recurring",
            "model": model,
            "lower_limit": limit,
            "money": {"currency": "USD", "amount": amount},
        }
        for limit, amount in tiers
    ]
    given = {
        "id": "p1",
        "marketplace": "ingram-micro-xvantage",
        "reseller_id": "r1",
        "product": option("A", 1)["product"],
        "product_name": "A",
        "own_price": prices or None,
    }
    return PricePlan.model_validate(given | over)


@pytest.mark.parametrize(
    ("set_price", "amount"),
    [
        (None, "13.34"),
        (plan(), "13.34"),
        (plan((None, "15.00")), "15.00"),
        (plan((1, "15.00"), (5, "14.00"), (50, "12.00"), model="VOLUME_SUBSCRIPTION"), "14.00"),
        (plan((1, "15.00"), (5, "14.00"), model="TIERED"), None),
        (plan((10, "15.00"), (50, "14.00"), model="VOLUME_ORDER"), None),
    ],
)
def test_what_a_seat_costs_is_the_resellers_own_price_where_one_is_set(
    set_price: PricePlan | None, amount: str | None
) -> None:
    sold = subscription(option("A", 5), option("B", 5, price=None))
    id = product_id("r1", sold.options[0].product)
    price, other = own_prices(sold, {id: set_price} if set_price else {})
    assert (str(price.amount) if price else None) == amount
    assert other is None


async def test_a_price_that_was_set_is_in_the_days_from_then_on(service: Any, shop: Any) -> None:
    bought = await shop.buy(5)
    await service.tell(shop.tenant())
    found = (await service.mirrored(shop, bought)).json()
    address = f"/v1/subscriptions/{shop.id(bought)}"

    async def recorded(amount: str) -> None:
        async def shown() -> bool:
            await service.get(address, refresh=True)
            (day,) = (await service.get(f"{address}/history")).json()["items"]
            return bool(day["own_price"]["amount"] == amount)

        await eventually(shown, within=20)

    await recorded("13.34")
    product = found["options"][0]["product"]
    given = {"id": f"plan-{shop.reseller_id}", "reseller_id": shop.reseller_id, "product": product}
    for sequence, (state, amount) in enumerate(
        [
            (plan((None, "15.00"), **given), "15.00"),
            (plan((None, "15.00"), **given, status="deleted"), "13.34"),
        ],
        start=1,
    ):
        fact = PriceCustomized(state=state)
        await service.publish(fact, f"price-plan/{state.id}", sequence, shop.reseller_id)
        await recorded(amount)
    unchanged = await service.get(address)
    assert unchanged.json()["options"][0]["unit_price"]["amount"] == "13.34"
