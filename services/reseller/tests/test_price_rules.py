"""The arithmetic and the rules of own prices."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purser_common.errors import Conflict, Invalid
from purser_events.price import PricePlan, PriceTier
from purser_events.values import Money
from reseller_service.domain import prices
from reseller_service.domain.catalogue import Kept, Listing
from reseller_service.domain.prices import Act, Entry, GivenTier, Plan, Seen

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ACT = Act("user:anna", NOW, "set")
PRODUCT: dict[str, Any] = {
    "mpn": "M",
    "vendor": "V",
    "subscription_period": {"type": "month", "duration": 1},
    "billing_period": {"type": "month", "duration": 1},
}

amounts = st.decimals(0, 10**6, places=4) | st.decimals(0, 10**6, places=2)
percents = st.decimals(Decimal("-99.9999"), 1000, places=4)
limits = st.lists(st.integers(1, 10**6), min_size=1, max_size=5, unique=True)


def tier(amount: Decimal | str, limit: int | None = None, currency: str = "USD") -> PriceTier:
    money = Money(currency=currency, amount=Decimal(amount))
    return PriceTier(type="recurring", model="FLAT", lower_limit=limit, money=money)


@st.composite
def tiers(draw: st.DrawFn) -> tuple[PriceTier, ...]:
    currency = draw(st.sampled_from(["USD", "EUR", "JPY"]))
    return tuple(tier(draw(amounts), limit, currency) for limit in sorted(draw(limits)))


def listing(costs: tuple[PriceTier, ...] | None, asked: tuple[PriceTier, ...] = ()) -> Listing:
    def rows(found: tuple[PriceTier, ...]) -> list[dict[str, Any]]:
        return [one.model_dump() for one in found]

    return Listing.model_validate(
        {
            "product": PRODUCT,
            "name": "Product",
            "service_name": "",
            "minimum_quantity": 1,
            "maximum_quantity": 10,
            "billing_model": "unknown",
            "depends_on": [],
            "prices": rows(asked),
            "costs": None if costs is None else rows(costs),
        }
    )


def kept(costs: tuple[PriceTier, ...] | None, listed: bool = True) -> Kept:
    return Kept("p", "r", listing(costs), NOW, listed)


def a_plan(costs: tuple[PriceTier, ...] | None = (tier("20.00"),)) -> Plan:
    plan, _ = prices.plan_added(None, kept(costs), None, ACT)
    return plan


# -- the uniform price -----------------------------------------------------------------------------


@given(base=tiers(), percent=percents)
def test_each_tier_is_raised_exactly_and_rounded_half_up_to_its_places(
    base: tuple[PriceTier, ...], percent: Decimal
) -> None:
    raised = prices.uniform(base, percent)
    assert len(raised) == len(base)
    for before, after in zip(base, raised, strict=True):
        amount = before.money.amount
        places = min(max(-int(amount.as_tuple().exponent), 2), 4)
        exact = amount * (100 + percent) / 100
        assert after.money.amount == exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
        assert -int(after.money.amount.as_tuple().exponent) == places
        same = {"money": before.money}
        assert after.model_copy(update=same) == before
        assert after.money.currency == before.money.currency
        assert after.money.amount >= 0


@given(base=tiers(), percent=percents)
def test_ten_percent_twice_is_ten_percent(base: tuple[PriceTier, ...], percent: Decimal) -> None:
    once, _ = prices.price_set(a_plan(base), prices.uniform(base, percent), seen(base), ACT)
    twice, facts = prices.price_set(once, prices.uniform(base, percent), seen(base), ACT)
    assert (twice, facts) == (once, ())


def seen(costs: tuple[PriceTier, ...] | None, listed: bool = True) -> Seen:
    return Seen(listed=listed, costs=costs)


@given(base=tiers(), one=percents, other=percents)
def test_more_percent_is_never_less_money(
    base: tuple[PriceTier, ...], one: Decimal, other: Decimal
) -> None:
    less, more = sorted((one, other))
    pairs = zip(prices.uniform(base, less), prices.uniform(base, more), strict=True)
    assert all(a.money.amount <= b.money.amount for a, b in pairs)


def test_half_a_cent_is_rounded_up() -> None:
    [raised] = prices.uniform((tier("0.25"),), Decimal(10))
    assert raised.money.amount == Decimal("0.28")
    [raised] = prices.uniform((tier("0.25"),), Decimal(-50))
    assert raised.money.amount == Decimal("0.13")
    [raised] = prices.uniform((tier("0.1234"),), Decimal(10))
    assert raised.money.amount == Decimal("0.1357")
    [raised] = prices.uniform((tier("100"),), Decimal("-99.9999"))
    assert raised.money.amount == Decimal("0.00")


@pytest.mark.parametrize(
    "now",
    [
        seen((tier("1"),), listed=False),
        seen(None),
        seen((tier("1", 1), tier("2", 2, "EUR"))),
        seen((tier("0"), tier("0.00", 5))),
    ],
    ids=["vanished", "unknown", "several currencies", "zero"],
)
def test_there_is_no_baseline_to_compute_from(now: Seen) -> None:
    base, why = prices.baseline(now)
    assert base is None
    assert why


def test_a_first_tier_for_nothing_is_a_baseline() -> None:
    free = (tier("0", 1), tier("2", 10))
    assert prices.baseline(seen(free)) == (free, "")


@pytest.mark.parametrize("percent", ["-100", "-100.0001", "10000.0001"])
def test_an_increase_that_leaves_nothing_is_refused(percent: str) -> None:
    with pytest.raises(Invalid) as refused:
        prices.percentage(percent)
    assert refused.value.code == "percentage_out_of_range"
    assert [error.pointer for error in refused.value.errors] == ["/increase_percent"]


# -- the form of an own price ----------------------------------------------------------------------


def given_tier(amount: str, limit: int | None = None, currency: str = "USD") -> GivenTier:
    return GivenTier(Money(currency=currency, amount=Decimal(amount)), lower_limit=limit)


def test_one_price_takes_the_form_that_the_marketplace_has() -> None:
    flat = listing((tier("2", 1),))
    assert prices.shaped([given_tier("3")], flat) == (tier("3", 1),)


@pytest.mark.parametrize(
    "given_tiers",
    [
        [given_tier("3", 1)],
        [given_tier("3", 1), given_tier("2", 10)],
        [given_tier("3", 1), given_tier("3", 1)],
        [given_tier("3", 1), given_tier("2", 50), given_tier("1", 90)],
        [given_tier("3"), given_tier("2")],
    ],
)
def test_other_tiers_are_refused_and_the_right_ones_named(given_tiers: list[GivenTier]) -> None:
    tiered = listing((tier("2", 1), tier("1", 50)))
    with pytest.raises(Invalid) as refused:
        prices.shaped(given_tiers, tiered)
    assert refused.value.code == "tiers_differ"
    assert "recurring FLAT from 50" in refused.value.errors[0].detail
    both = prices.shaped([given_tier("2", 50), given_tier("3", 1)], tiered)
    assert both == (tier("3", 1), tier("2", 50))


def test_another_currency_is_refused_by_name() -> None:
    with pytest.raises(Invalid) as refused:
        prices.shaped([given_tier("3", None, "EUR")], listing((tier("2"),)))
    assert refused.value.code == "currency_differs"
    assert "USD" in refused.value.detail
    assert refused.value.errors[0].pointer == "/own_price/0/money/currency"


def test_without_a_known_price_the_form_is_free_but_the_currency_is_one() -> None:
    unknown = listing(None)
    assert prices.shaped([given_tier("3")], unknown) == (tier("3"),)
    with pytest.raises(Invalid):
        prices.shaped([given_tier("3", 1), given_tier("2", 5, "EUR")], unknown)
    with pytest.raises(Invalid):
        prices.shaped([given_tier("3", 1), given_tier("2", 1)], unknown)
    asked = listing(None, (tier("5"),))
    with pytest.raises(Invalid):
        prices.shaped([given_tier("3", None, "EUR")], asked)


@given(own=tiers(), paid=tiers())
def test_a_difference_is_told_only_between_equal_tiers_of_one_currency(
    own: tuple[PriceTier, ...], paid: tuple[PriceTier, ...]
) -> None:
    left = prices.difference(own, paid)
    alike = [t.lower_limit for t in own] == [t.lower_limit for t in paid]
    assert (left is not None) == (alike and own[0].money.currency == paid[0].money.currency)
    assert prices.difference(own, None) is None
    same = prices.difference(own, own)
    assert same is not None
    assert {one.money.amount for one in same} == {Decimal(0)}


# -- plans -----------------------------------------------------------------------------------------


def test_a_plan_is_there_once_and_may_come_back() -> None:
    plan, [fact] = prices.plan_added(None, kept((tier("20"),)), (tier("25"),), ACT)
    assert fact.state == plan.state
    with pytest.raises(Conflict) as refused:
        prices.plan_added(plan, kept((tier("20"),)), None, ACT)
    assert (refused.value.code, refused.value.members) == ("plan_exists", {"plan_id": "p"})
    gone, [fact] = prices.plan_deleted(plan, ACT)
    assert (fact.state.status, fact.state.own_price) == ("deleted", None)
    again, [fact] = prices.plan_added(gone, kept((tier("20"),)), (tier("26"),), ACT)
    assert fact.state.status == "active"
    assert [entry.after for entry in again.history] == [(tier("25"),), None, (tier("26"),)]
    assert [entry.number for entry in again.history] == [1, 2, 3]


def test_a_mark_comes_with_the_reseller_price_and_goes_when_somebody_has_looked() -> None:
    plan = a_plan()
    cheaper, gone, unknown = (tier("19.00"),), seen((tier("20.00"),), listed=False), seen(None)
    assert prices.marked(plan, seen((tier("20"),))) == (plan, ())
    for now, mark in ((seen(cheaper), "changed"), (gone, "vanished"), (unknown, "unknown")):
        marked, [fact] = prices.marked(plan, now)
        assert (marked.state.mark, fact.state.mark) == (mark, mark)
        assert prices.marked(marked, now) == (marked, ())
        back, [fact] = prices.marked(marked, seen((tier("20"),)))
        assert back.state.mark is None
        looked, [fact] = prices.acknowledged(marked, now)
        assert (looked.state.mark, looked.accepted) == (None, now)
        assert prices.marked(looked, now) == (looked, ())
        priced, [fact] = prices.price_set(marked, (tier("30"),), now, ACT)
        assert [change.pointer for change in fact.changes] == ["/mark", "/own_price"]
        assert prices.marked(priced, now) == (priced, ())


def test_a_deleted_plan_is_never_marked() -> None:
    gone, _ = prices.plan_deleted(a_plan(), ACT)
    assert prices.marked(gone, seen(None)) == (gone, ())


def test_what_the_reseller_pays_is_in_no_fact() -> None:
    secret = "777.77"
    plan, added = prices.plan_added(None, kept((tier(secret),)), (tier("800"),), ACT)
    _, set_ = prices.price_set(plan, (tier("900"),), seen((tier("778.88"),)), ACT)
    _, marked = prices.marked(plan, seen((tier("778.88"),)))
    for fact in (*added, *set_, *marked):
        assert secret not in fact.model_dump_json()
        assert "778.88" not in fact.model_dump_json()


def test_the_history_is_bounded() -> None:
    plan = a_plan()
    for number in range(prices.MOST_ENTRIES + 3):
        plan, _ = prices.price_set(plan, (tier(Decimal(number)),), seen(None), ACT)
    assert len(plan.history) == prices.MOST_ENTRIES
    assert plan.changes == prices.MOST_ENTRIES + 3
    assert isinstance(plan.history[-1], Entry)
    assert plan.history[-1].number == plan.changes


@given(own=tiers() | st.none(), asked=tiers())
def test_an_own_price_goes_before_what_the_marketplace_asks(
    own: tuple[PriceTier, ...] | None, asked: tuple[PriceTier, ...]
) -> None:
    row = listing(None, asked)
    state: PricePlan = a_plan().state.model_copy(update={"own_price": own})
    plan = Plan(state, seen(None))
    assert prices.effective(plan, row) == (asked if own is None else own)
    assert prices.effective(None, row) == asked
    gone = Plan(state.model_copy(update={"status": "deleted"}), seen(None))
    assert prices.effective(gone, row) == asked
