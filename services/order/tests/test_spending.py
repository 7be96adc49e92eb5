"""A cap leaves room for what is left of the day, and unknown is not zero."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_service.domain import spending
from purser_common.errors import Conflict, Invalid
from purser_events.license import LicenseChangeRequest, SpendCap
from purser_events.values import Money, Period, ProductIdentity

NOW = datetime(2026, 2, 3, 12, tzinfo=UTC)


def usd(amount: str) -> Money:
    return Money(currency="USD", amount=Decimal(amount))


def cap(daily: Money | None = None) -> SpendCap:
    return SpendCap(id="r1", reseller_id="r1", daily=daily, set_by="user:admin", set_at=NOW)


def request(**over: Any) -> LicenseChangeRequest:
    month = Period(type="month", duration=1)
    fields: dict[str, Any] = {
        "id": "one",
        "kind": "buy",
        "status": "placing",
        "marketplace": "ingram-micro-xvantage",
        "reseller_id": "r1",
        "customer_id": "c1",
        "tenant_id": "t1",
        "entra_tenant_id": "e1",
        "marketplace_customer_id": "1000003",
        "product": ProductIdentity(
            mpn="M", vendor="V", subscription_period=month, billing_period=month
        ),
        "product_name": "Product",
        "quantity": 5,
        "po_number": "PO-1",
        "po_number_sent": "PO-1-AAAA",
        "origin": "person",
        "requested_by": "user:requester",
        "requested_at": NOW,
        "unit_price": usd("10.00"),
    }
    return LicenseChangeRequest(**{**fields, **over})


def test_the_last_cent_may_be_spent_and_no_more() -> None:
    spent = {"earlier": Decimal("50.00")}
    assert spending.objection(cap(usd("100.00")), request(), spent) is None
    refusal = spending.objection(cap(usd("99.99")), request(), spent)
    assert refusal is not None
    assert refusal[0] == "spend_cap_reached"
    assert "49.99" in refusal[1]
    with pytest.raises(Conflict) as raised:
        spending.must_fit(cap(usd("99.99")), request(), spent)
    assert raised.value.members["missing_step"] == "PUT /v1/spend-caps/r1"


def test_without_a_cap_everything_fits() -> None:
    assert spending.objection(cap(None), request(unit_price=None), {}) is None


@pytest.mark.parametrize("price", [None, Money(currency="EUR", amount=Decimal(1))])
def test_a_price_that_cannot_be_compared_does_not_fit(price: Money | None) -> None:
    refusal = spending.objection(cap(usd("1000000")), request(unit_price=price), {})
    assert refusal is not None
    assert refusal[0] == "spend_not_comparable"


def test_what_was_reserved_for_a_request_is_not_counted_twice() -> None:
    assert spending.objection(cap(usd("50")), request(), {"one": Decimal(50)}) is None


def test_a_change_spends_what_it_adds_and_fewer_seats_spend_nothing() -> None:
    more = request(kind="change_quantity", quantity=8, expected_quantity=5)
    fewer = request(kind="change_quantity", quantity=2, expected_quantity=5, unit_price=None)
    assert spending.spend(more) == usd("30.00")
    assert spending.objection(cap(usd("0.01")), fewer, {}) is None


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
    assert (lifted.daily, len(facts)) == (None, 1)


@given(st.lists(st.integers(min_value=1, max_value=300), max_size=30))
def test_what_is_let_through_never_exceeds_the_cap(quantities: list[int]) -> None:
    limit, spent = cap(usd("2500.00")), dict[str, Decimal]()
    for number, quantity in enumerate(quantities):
        wanted = request(id=str(number), quantity=quantity)
        if spending.objection(limit, wanted, spent) is None:
            money = spending.spend(wanted)
            assert money is not None
            spent[wanted.id] = money.amount
    assert sum(spent.values(), Decimal()) <= Decimal("2500.00")
