"""Pure decisions."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purser_common.errors import Conflict, Invalid
from purser_events.values import Money
from reseller_service.domain import mapping, prices, resellers
from reseller_service.domain.mapping import CatalogPrice, CatalogProduct, Sku
from reseller_service.domain.resellers import Credentials, Proof, Region, VisibleReseller

NOW = datetime(2030, 1, 1, tzinfo=UTC)
REGION = Region(code="us", name="US", api_url="https://api.example/us/", marketplace_code="us")
ONE, TWO = VisibleReseller(id="1", name="One"), VisibleReseller(id="2", name="Two")


def added() -> Any:
    verification = resellers.verified("v", REGION, Proof((ONE, TWO), None), NOW)
    state, _ = resellers.reseller_added("r", verification, "Display", ONE, NOW)
    return state


def sold(premium: dict[str, Any], *prices: tuple[str, str]) -> CatalogProduct:
    return CatalogProduct(
        product=premium,
        name="Premium",
        service_name="Premium",
        minimum_quantity=1,
        maximum_quantity=300,
        billing_model="unknown",
        depends_on=(),
        prices=tuple(
            CatalogPrice(
                type=kind,
                model="FLAT",
                money=Money(currency="USD", amount=Decimal(amount)),
                lower_limit=None,
            )
            for kind, amount in prices
        ),
        costs=None,
    )


@pytest.mark.parametrize(
    ("proof", "kind", "shown"),
    [
        (Proof((ONE, TWO), None), "parent", (ONE, TWO)),
        (Proof((ONE,), TWO), "parent", (ONE,)),
        (Proof((ONE,), None), "parent", (ONE,)),
        (Proof((ONE,), ONE), "leaf", (ONE,)),
        (Proof((), ONE), "leaf", (ONE,)),
        (Proof(None, ONE), "leaf", (ONE,)),
        (Proof(None, None), "leaf", ()),
    ],
)
def test_the_kind_of_account_follows_from_what_it_sees(
    proof: Proof, kind: str, shown: tuple[VisibleReseller, ...]
) -> None:
    verification = resellers.verified("v", REGION, proof, NOW)
    assert (verification.account_kind, verification.resellers) == (kind, shown)
    # Whoever lists anybody may be a parent, whose prices are the reseller's costs.
    assert verification.own_prices is not bool(proof.listed)
    assert "own_prices" not in verification.model_dump()


def test_a_verification_lasts_fifteen_minutes() -> None:
    verification = resellers.verified("v", REGION, Proof((ONE,), ONE), NOW)
    resellers.require_valid(verification, NOW + timedelta(minutes=15, milliseconds=-1))
    with pytest.raises(Conflict):
        resellers.require_valid(verification, NOW + timedelta(minutes=15))


def test_a_leaf_that_shows_nobody_may_name_its_reseller_and_must_then_prove_it() -> None:
    verification = resellers.verified("v", REGION, Proof(None, None), NOW)
    assert resellers.chosen(verification, "7") is None
    derived = resellers.verified("v", REGION, Proof(None, ONE), NOW)
    with pytest.raises(Invalid):
        resellers.chosen(derived, "7")


def test_credentials_cannot_be_printed() -> None:
    credentials = Credentials(subscription_key="canary", username="canary", password="canary")
    assert "canary" not in f"{credentials!r} {credentials} {credentials.model_dump_json()}"


def test_the_fact_of_adding_says_that_credentials_were_set_and_not_which() -> None:
    verification = resellers.verified("v", REGION, Proof((ONE, TWO), None), NOW)
    _, (fact,) = resellers.reseller_added("r", verification, "Display", ONE, NOW)
    assert {c.pointer: c.after for c in fact.changes}["/credentials"] == "set"


def changed(reseller: Any, **fields: Any) -> Any:
    return resellers.reseller_changed(reseller, resellers.Edit(**fields), None, NOW)


def test_every_change_is_told_and_the_last_fact_has_the_whole_state() -> None:
    state, facts = changed(added(), display_name="Other", buying_enabled=True, po_suffix=False)
    assert [fact.TOPIC for fact in facts] == ["reseller.updated", "reseller.buying-enabled"]
    assert facts[-1].state == state
    assert (state.display_name, state.buying_enabled, state.po_suffix) == ("Other", True, False)
    told = {change.pointer: (change.before, change.after) for change in facts[0].changes}
    assert told == {"/display_name": ("Display", "Other"), "/po_suffix": (True, False)}
    _, (fact,) = changed(state, buying_enabled=False)
    assert fact.TOPIC == "reseller.buying-disabled"
    assert (fact.changes[0].before, fact.changes[0].after) == (True, False)


def test_changing_nothing_makes_no_fact() -> None:
    same = {"display_name": "Display", "buying_enabled": False, "po_suffix": True}
    assert changed(added(), **same) == (added(), ())
    assert changed(added()) == (added(), ())


@given(
    minimum=st.none() | st.decimals(0, 1000, places=1),
    maximum=st.none() | st.decimals(0, 10**12, places=1),
)
def test_seats_are_whole_positive_and_inside_the_stated_limits(
    minimum: Decimal | None, maximum: Decimal | None
) -> None:
    least, most = mapping.seats(minimum, maximum)
    assert least >= max(1, minimum or 0)
    assert most <= mapping.LARGEST_QUANTITY
    assert maximum is None or most <= maximum


def test_the_unit_price_is_unknown_when_tiers_leave_it_open(premium: dict[str, Any]) -> None:
    def unit(*tiers: tuple[str, str]) -> Money | None:
        return prices.unit_price(prices.tiers_of(sold(premium, *tiers).prices))

    assert unit(("setup", "5"), ("Recurring", "2.50")) == Money(
        currency="USD", amount=Decimal("2.50")
    )
    assert unit(("setup", "5")) is not None
    assert unit(("recurring", "2"), ("recurring", "1")) is None
    assert unit() is None


def test_period_types_are_the_only_thing_compared_without_letter_case(
    premium: dict[str, Any],
) -> None:
    one = sold(premium).product
    month = one.subscription_period.model_copy(update={"type": "MONTH"})
    assert mapping.same_product(one, one.model_copy(update={"subscription_period": month}))
    assert not mapping.same_product(one, one.model_copy(update={"mpn": one.mpn.lower()}))
    year = one.billing_period.model_copy(update={"duration": 12})
    assert not mapping.same_product(one, one.model_copy(update={"billing_period": year}))


def test_a_mapping_is_made_deleted_and_made_again(premium: dict[str, Any]) -> None:
    sku = Sku("s", "SPB", True)
    state, facts = mapping.license_mapped(None, "r", sold(premium), sku)
    assert [fact.TOPIC for fact in facts] == ["license.mapped"]
    with pytest.raises(Conflict):
        mapping.license_mapped(state, "r", sold(premium), sku)
    gone, facts = mapping.license_unmapped(state)
    assert [fact.TOPIC for fact in facts] == ["license.unmapped"]
    assert (gone.status, gone.is_default) == ("unmapped", False)
    assert mapping.license_unmapped(gone) == (gone, ())
    again, _ = mapping.license_mapped(gone, "r", sold(premium), sku)
    assert again == state
