"""A cap leaves room for what is left of the day, and unknown is not zero."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from examples import NOW, change_request, license_request
from hypothesis import given
from hypothesis import strategies as st

from order_service import store
from order_service.commands.spending import Purse, reserve, room_for, set_cap
from order_service.domain import following, review, spending
from order_service.domain import purchase as rules
from order_service.domain.offers import Permission
from order_service.domain.purchase import NotSent, Purchase, Refused, Taken, Unknown
from order_service.domain.spending import Spent
from purser_common.errors import Conflict, Forbidden, Invalid, NotFound, Stale
from purser_common.identity import Caller, Grant
from purser_common.mongo import Database
from purser_common.outbox import Loaded, Outbox, Request, Stamp
from purser_common.telemetry import Cause
from purser_events.license import LicenseChangeRequest, MarketplaceOrder, SpendCap
from purser_events.values import Money

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
CAUSE = Cause("service:order", "correlation-1")
ORDER = MarketplaceOrder(id="1000201", number="SO000012", status="submitted")


def usd(amount: str) -> Money:
    return Money(currency="USD", amount=Decimal(amount))


def cap(daily: Money | None = None) -> SpendCap:
    return SpendCap(id="r1", reseller_id="r1", daily=daily, set_by="user:admin", set_at=NOW)


def request(**over: Any) -> LicenseChangeRequest:
    return license_request(**{"unit_price": usd("10.00"), **over})


def spent(**by: str) -> Spent:
    return Spent({id: Decimal(amount) for id, amount in by.items()}, len(by))


def test_the_last_cent_may_be_spent_and_no_more() -> None:
    before = spent(first="20.00", second="30.00")
    assert spending.objection(cap(usd("100.00")), request(), before) is None
    refusal = spending.objection(cap(usd("99.99")), request(), before)
    assert refusal is not None
    assert refusal[0] == "spend_cap_reached"
    assert "49.99" in refusal[1]
    with pytest.raises(Conflict) as raised:
        spending.must_fit(cap(usd("99.99")), request(), before)
    assert raised.value.members["missing_step"] == "PUT /v1/spend-caps/r1"


def test_without_a_cap_everything_fits() -> None:
    assert spending.objection(cap(None), request(unit_price=None), Spent()) is None


@pytest.mark.parametrize("price", [None, Money(currency="EUR", amount=Decimal(1))])
def test_a_price_that_cannot_be_compared_does_not_fit(price: Money | None) -> None:
    refusal = spending.objection(cap(usd("1000000")), request(unit_price=price), Spent())
    assert refusal is not None
    assert refusal[0] == "spend_not_comparable"


def test_what_was_reserved_for_a_request_is_not_counted_twice() -> None:
    reserved = spent(**{request().id: "50"})
    assert spending.objection(cap(usd("50")), request(), reserved) is None


def test_a_change_spends_what_it_adds_and_fewer_seats_spend_nothing() -> None:
    more = change_request(unit_price=usd("10.00"), quantity=8, expected_quantity=5)
    fewer = change_request(unit_price=None, quantity=2, expected_quantity=5)
    assert spending.spend(more) == usd("30.00")
    assert spending.objection(cap(usd("29.99")), more, Spent()) is not None
    assert spending.objection(cap(usd("0.01")), fewer, Spent()) is None


@pytest.mark.parametrize("amount", ["0", "-1"])
def test_a_cap_that_leaves_nothing_names_the_field(amount: str) -> None:
    with pytest.raises(Invalid) as raised:
        spending.cap_changed(None, "r1", usd(amount), "user:admin", NOW)
    assert raised.value.errors[0].pointer == "/daily/amount"


def test_the_same_cap_again_is_no_fact() -> None:
    first, facts = spending.cap_changed(None, "r1", usd("10"), "user:admin", NOW)
    assert [fact.TOPIC for fact in facts] == ["spend-cap.changed"]
    assert spending.cap_changed(first, "r1", usd("10"), "user:other", NOW) == (first, ())
    lifted, facts = spending.cap_changed(first, "r1", None, "user:admin", NOW)
    assert lifted.daily is None
    (change,) = facts[0].model_dump(mode="json")["changes"]
    assert (change["before"]["amount"], change["after"]) == ("10", None)


@given(st.lists(st.integers(min_value=1, max_value=300), max_size=30))
def test_what_is_let_through_never_exceeds_the_cap(quantities: list[int]) -> None:
    limit, let_through = cap(usd("2500.00")), dict[str, Decimal]()
    for number, quantity in enumerate(quantities):
        wanted = request(id=str(number), quantity=quantity)
        if spending.objection(limit, wanted, Spent(let_through, number)) is None:
            money = spending.spend(wanted)
            assert money is not None
            let_through[wanted.id] = money.amount
    assert sum(let_through.values(), Decimal()) <= Decimal("2500.00")


@dataclass
class Day:
    """A reseller with a cap of 100 USD, and the requests of its day; five seats spend 50 USD."""

    requests: store.Requests
    spending: store.Spending
    now: datetime = NOW
    known: set[str] = field(default_factory=lambda: {"r1"})

    @property
    def purse(self) -> Purse:
        resellers: Any = self
        return Purse(self.spending, resellers, lambda: self.now)

    async def permission(self, reseller_id: str, cause: Cause) -> Permission:
        """What the reseller service says."""
        if reseller_id not in self.known:
            raise NotFound("there is no such reseller")
        return Permission(True, None, None)

    async def capped(self, daily: Money | None) -> None:
        before = await self.spending.cap("r1")
        await self.spending.keep(before, cap(daily), (), CAUSE)

    async def asked(self, id: str, **over: Any) -> Loaded[Purchase]:
        wanted = request(id=id, tenant_id=f"t-{id}", po_number_sent=f"PO-{id}", **over)
        purchase, facts = rules.requested(wanted, "correlation-1", None, NOW)
        key = Request("user:requester", "POST", id, "digest")
        return await self.requests.insert(purchase, facts, CAUSE, key)

    async def sending(self, id: str) -> Loaded[Purchase]:
        """A request that has its reservation and is on its way."""
        loaded = await self.asked(id)
        assert await reserve(self.purse, loaded.state.request) is None
        return await self.keep(loaded, rules.start_sending(loaded.state, NOW, NOW, NOW))

    async def keep(self, loaded: Loaded[Purchase], purchase: Purchase) -> Loaded[Purchase]:
        return await self.requests.save(loaded, purchase, (), CAUSE)

    async def refused(self, id: str) -> Loaded[Purchase]:
        """A request that was reserved for and came to nothing."""
        loaded = await self.sending(id)
        failed, _ = rules.answered(loaded.state, Refused(False, "no credit"), NOW, SECOND)
        return await self.keep(loaded, failed)

    async def total(self) -> Decimal:
        return (await self.spending.spent("r1", self.now.date())).total

    async def refusal(self, wanted: LicenseChangeRequest) -> str | None:
        """Why the cap refuses, as it is asked when a request is made and when one is sent."""
        told = await reserve(self.purse, wanted)
        if told is None:
            await room_for(self.purse, wanted)
            return None
        with pytest.raises(Conflict) as raised:
            await room_for(self.purse, wanted)
        assert raised.value.code == told[0]
        return raised.value.code


@pytest.fixture
async def day(database: Database, outbox: Outbox, requests: store.Requests) -> Day:
    opened = Day(requests, store.Spending(database, outbox))
    await opened.capped(usd("100.00"))
    return opened


async def test_a_request_that_failed_gives_back_what_was_reserved_for_it(day: Day) -> None:
    await day.sending("first")
    failed = await day.refused("second")
    assert (failed.state.phase, await day.total()) == (rules.FAILED, Decimal("50.00"))
    assert await day.refusal(request(id="third")) is None
    assert await day.total() == Decimal("100.00")
    assert await day.refusal(request(id="fourth", quantity=1)) == "spend_cap_reached"


async def test_an_order_that_shows_up_after_the_failure_counts_again_even_above_the_cap(
    day: Day,
) -> None:
    await day.sending("first")
    failed = await day.refused("second")
    await day.sending("third")
    placed, _ = rules.taken(failed.state, ORDER, "reference", NOW, "service:order")
    await day.keep(failed, placed)
    assert await day.total() == Decimal("150.00")
    assert await day.refusal(request(id="fourth", quantity=1)) == "spend_cap_reached"


async def test_evidence_of_an_order_that_nobody_has_taken_in_yet_counts(day: Day) -> None:
    failed = await day.refused("first")
    seen = rules.Evidence(ORDER.id, "reference", NOW, "service:order")
    await day.requests.push_evidence(failed.state.id, seen)
    assert await day.total() == Decimal("50.00")


def _unknown(purchase: Purchase) -> Purchase:
    return rules.answered(purchase, Unknown("reset", True), NOW, SECOND)[0]


def _in_review(purchase: Purchase) -> Purchase:
    return review.looked(_unknown(purchase), NOW, True, NOW + DAY, SECOND)[0]


def _given_up(purchase: Purchase) -> Purchase:
    return review.give_up(_in_review(purchase), "user:purchaser", "not seen")[0]


def _not_sent(purchase: Purchase) -> Purchase:
    return rules.answered(purchase, NotSent("breaker"), NOW, SECOND)[0]


def _placed(purchase: Purchase) -> Purchase:
    return rules.answered(purchase, Taken(ORDER), NOW, SECOND)[0]


def _order_failed(purchase: Purchase) -> Purchase:
    order = ORDER.model_copy(update={"status": "error"})
    return following.followed(_placed(purchase), order, NOW)[0]


@pytest.mark.parametrize(
    ("goes_on", "phase"),
    [
        (_unknown, rules.VERIFYING),
        (_in_review, rules.NEEDS_REVIEW),
        (_given_up, rules.CANCELLED),
        (_not_sent, rules.READY),
        (_placed, rules.PLACED),
        (_order_failed, rules.FAILED),
    ],
)
async def test_whatever_may_have_been_ordered_stays_reserved(
    day: Day, goes_on: Callable[[Purchase], Purchase], phase: str
) -> None:
    loaded = await day.sending("first")
    kept = await day.keep(loaded, goes_on(loaded.state))
    assert (kept.state.phase, await day.total()) == (phase, Decimal("50.00"))


async def test_a_reservation_that_a_crash_left_without_an_attempt_is_given_back_on_failure(
    day: Day,
) -> None:
    loaded = await day.asked("first")
    assert await reserve(day.purse, loaded.state.request) is None
    assert await day.total() == Decimal("50.00")
    failed, _ = rules.failed(loaded.state, "tenant_removed", "gone")
    await day.keep(loaded, failed)
    assert await day.total() == 0
    # a worker that stood still meanwhile reserves for a request that has ended
    assert await reserve(day.purse, loaded.state.request) is None
    assert await day.total() == 0


async def test_a_request_reserves_once_however_often_it_is_sent(day: Day) -> None:
    loaded = await day.sending("first")
    for _ in range(3):
        assert await day.refusal(loaded.state.request) is None
    reserved = await day.spending.spent("r1", day.now.date())
    assert (reserved.total, reserved.seen) == (Decimal("50.00"), 1)


async def test_of_two_that_reserve_at_once_only_what_fits_is_let_through(day: Day) -> None:
    wanted = [request(id=str(number), quantity=4) for number in range(5)]
    told = await asyncio.gather(*(reserve(day.purse, one) for one in wanted))
    assert sorted(one[0] for one in told if one) == ["spend_cap_reached"] * 3
    assert await day.total() == Decimal("80.00")


async def test_a_day_and_a_reseller_have_a_cap_of_their_own(day: Day) -> None:
    await day.sending("first")
    await day.sending("second")
    assert await day.refusal(request(id="third")) == "spend_cap_reached"
    assert await day.refusal(request(id="third", reseller_id="r2")) is None
    day.now = NOW + DAY
    assert await day.refusal(request(id="third")) is None
    assert await day.total() == Decimal("50.00")


async def test_nothing_is_reserved_without_a_cap_or_for_fewer_seats(day: Day) -> None:
    fewer = change_request(id="fewer", unit_price=None, quantity=2, expected_quantity=5)
    assert await reserve(day.purse, fewer) is None
    await day.capped(None)
    assert await reserve(day.purse, request(id="any", quantity=300)) is None
    assert await day.total() == 0


PURCHASER = Caller("user:purchaser", (Grant("purchaser", "all"),))


async def test_a_cap_is_set_by_who_may_and_has_seen_it(day: Day) -> None:
    async def put(daily: Money | None, expected: int, caller: Caller = PURCHASER) -> Stamp:
        kept = await set_cap(day.purse, "r1", daily, expected, caller, CAUSE)
        assert kept.state.daily == daily
        return kept.stamp

    with pytest.raises(Forbidden):
        await put(usd("10"), 0, replace(PURCHASER, grants=(Grant("requester", "all"),)))
    with pytest.raises(Stale):
        await put(usd("10"), 1)
    first = await put(usd("10"), 0)
    assert first.sequence == 1
    assert await put(usd("10"), 1) == first
    assert (await put(None, 1)).sequence == 2
    with pytest.raises(NotFound):
        await set_cap(day.purse, "r9", usd("10"), 0, PURCHASER, CAUSE)
