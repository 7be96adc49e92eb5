"""What the customer pays per seat, as the sandbox's estimates tell it; never the reseller's cost."""

from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_service.clients import quote_of
from order_service.domain.offers import Quote, seat_price
from purser_common import testing
from purser_events.values import Money, Period, ProductIdentity
from purser_marketplace.client import Marketplace
from purser_marketplace.models import Estimate, NewOrder
from purser_marketplace.models import Period as Span
from purser_marketplace.token import BasicAuthentication, TokenSource

Json = dict[str, Any]
Estimating = Callable[..., Coroutine[Any, Any, tuple[Estimate, Quote]]]
LENGTHS = {"M": Period(type="month", duration=1), "Y": Period(type="year", duration=1)}


def product(mpn: str, term: str, billing: str) -> ProductIdentity:
    return ProductIdentity(
        mpn=mpn,
        vendor="SIMMICROSOFT",
        subscription_period=LENGTHS[term],
        billing_period=LENGTHS[billing],
    )


STANDARD = product("SIMBS:0001_P1Y:M", "Y", "M")
YEARLY = product("SIMVIS:0001", "Y", "Y")
TIERED = product("SIMBAK:0001", "M", "M")
WITH_ADDITION = product("SIMXFS:0001", "M", "M")
BY_USE = product("SIMAZ:0001", "M", "M")


@pytest.fixture
async def estimate(sandbox: testing.Sandbox) -> Estimating:
    """Estimates a purchase for an account's first customer: as it came, and what we read in it."""

    async def ask(kind: str, product: ProductIdentity, quantity: int) -> tuple[Estimate, Quote]:
        account = await sandbox.account(kind=kind)
        login, customer = account["login"], account["resellers"][0]["customers"][0]
        base = f"{sandbox.url}/marketplace/{login['region']}"
        names = ("marketplace", "username", "password", "subscription_key")
        source = TokenSource(sandbox.http, base, *(login[name] for name in names))
        order = NewOrder.sales(
            customer_id=customer["id"],
            po_number=None,
            mpn=product.mpn,
            vendor=product.vendor,
            subscription_period=Span(**product.subscription_period.model_dump()),
            billing_period=Span(**product.billing_period.model_dump()),
            quantity=quantity,
        )
        found = await Marketplace(sandbox.http, base, BasicAuthentication(source)).estimate(order)
        return found, quote_of(found, customer["id"], product, quantity)

    return ask


@pytest.mark.parametrize("kind", ["parent", "leaf"])
async def test_a_parents_estimate_tells_the_customers_price_as_a_leafs_does(
    estimate: Estimating, kind: str
) -> None:
    for asked, quantity, price in ((STANDARD, 10, "13.34"), (YEARLY, 3, "194.50")):
        _, quote = await estimate(kind, asked, quantity)
        assert quote.unit_price == Money(currency="USD", amount=Decimal(price))


async def test_tiers_are_priced_by_the_quantity(estimate: Estimating) -> None:
    for quantity, price in ((1, "2.60"), (60, "2.30")):
        _, quote = await estimate("leaf", TIERED, quantity)
        assert quote.unit_price == Money(currency="USD", amount=Decimal(price))


async def test_a_product_that_brings_another_has_no_price_of_its_own(estimate: Estimating) -> None:
    found, quote = await estimate("parent", WITH_ADDITION, 5)
    assert len(found.lines) == 2
    assert quote.unit_price is None


async def test_what_is_billed_by_use_has_no_price_per_seat(estimate: Estimating) -> None:
    _, quote = await estimate("parent", BY_USE, 1)
    assert quote.unit_price is None


async def test_without_the_level_that_names_the_customer_nothing_is_made_up(
    estimate: Estimating,
) -> None:
    """What the reseller pays stands beside it, and in `total` another level's sum may stand."""
    found, _ = await estimate("parent", STANDARD, 10)
    (plan,) = found.subscriptions
    assert {tcv.buyer_id for tcv in plan.tcvs} > {plan.tcvs[-1].buyer_id}
    others = plan.model_copy(update={"tcvs": plan.tcvs[:-1]})
    silent = found.model_copy(update={"subscriptions": (others,)})
    customer = plan.tcvs[-1].buyer_id
    assert customer is not None
    assert quote_of(found, customer, STANDARD, 10).unit_price is not None
    assert quote_of(silent, customer, STANDARD, 10).unit_price is None


def money(amount: str, currency: str = "USD") -> Money:
    return Money(currency=currency, amount=Decimal(amount))


def test_a_figure_of_another_length_of_time_is_not_taken_for_a_billing_periods() -> None:
    assert seat_price(STANDARD, 10, money("133.40"), money("1600.80")) == money("13.34")
    assert seat_price(STANDARD, 10, money("1600.80"), money("1600.80")) is None
    assert seat_price(STANDARD, 10, money("133.40"), money("133.40")) is None
    assert seat_price(STANDARD, 10, money("133.40"), money("1600.80", "EUR")) is None
    assert seat_price(STANDARD, 10, None, money("1600.80")) is None
    assert seat_price(STANDARD, 10, money("133.40"), None) is None


def test_a_price_that_a_rounded_total_hides_is_unknown() -> None:
    assert seat_price(TIERED, 3, money("10.00"), money("10.00")) is None
    assert seat_price(TIERED, 8, money("0.01"), money("0.01")) is None
    assert seat_price(TIERED, 4, money("10.01"), money("10.01")) == money("2.5025")


def test_a_term_that_is_no_whole_number_of_billing_periods_tells_nothing() -> None:
    odd = STANDARD.model_copy(update={"billing_period": Period(type="statement_day", duration=1)})
    assert seat_price(odd, 1, money("1"), money("12")) is None
    same = odd.model_copy(update={"subscription_period": odd.billing_period})
    assert seat_price(same, 1, money("1"), money("1")) == money("1.00")
    longer = STANDARD.model_copy(update={"billing_period": Period(type="month", duration=24)})
    assert seat_price(longer, 1, money("1"), money("1")) is None


@given(
    st.decimals(min_value="0.01", max_value="10000", places=2),
    st.integers(min_value=1, max_value=10_000),
)
def test_a_price_in_cents_is_found_again_in_its_totals(price: Decimal, quantity: int) -> None:
    once = price * quantity
    totals = (Money(currency="USD", amount=once), Money(currency="USD", amount=once * 12))
    assert seat_price(STANDARD, quantity, *totals) == Money(currency="USD", amount=price)
