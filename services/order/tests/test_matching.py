"""Which order is a request's, and when a listing proves that there is none."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from examples import ID, NOW, change_request, license_request

from order_service.domain import matching
from order_service.domain import purchase as rules
from order_service.domain.offers import Control, Listed, OrderedLine, Seen
from order_service.domain.purchase import Purchase, Unknown
from purser_events.license import MarketplaceOrder

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def seen(**over: Any) -> Seen:
    fields: dict[str, Any] = {
        "order": MarketplaceOrder(id="1", number="SO1", status="submitted"),
        "type": "sales",
        "customer_id": "1000003",
        "po_number": "PO-1-AAAA",
        "subscription_ids": (),
        "ordered_at": NOW + SECOND,
        "lines": (OrderedLine("M", 5),),
    }
    return Seen(**{**fields, **over})


def test_the_order_that_says_what_was_wanted_is_the_requests() -> None:
    assert matching.is_of(license_request(), seen())
    assert matching.is_of(license_request(), seen(lines=()))
    assert matching.is_of(license_request(), seen(lines=(OrderedLine("M", None),)))
    assert matching.is_of(license_request(), seen(lines=(OrderedLine("X", 1), OrderedLine("M", 5))))


@pytest.mark.parametrize(
    "other",
    [
        {"type": "renewal"},
        {"customer_id": "1000004"},
        {"lines": (OrderedLine("M", 6),)},
        {"lines": (OrderedLine("X", 5),)},
    ],
)
def test_a_purchase_order_number_alone_proves_nothing(other: dict[str, Any]) -> None:
    assert not matching.is_of(license_request(), seen(**other))


@pytest.mark.parametrize("shown", [12, 7])
def test_a_change_may_be_shown_as_a_total_or_as_a_difference(shown: int) -> None:
    order = seen(type="change", subscription_ids=("900",), lines=(OrderedLine("M", shown),))
    assert matching.is_of(change_request(), order)
    assert matching.is_of(change_request(), replace(order, subscription_ids=()))
    assert not matching.is_of(change_request(), replace(order, lines=(OrderedLine("M", 8),)))
    assert not matching.is_of(change_request(), replace(order, subscription_ids=("901",)))
    assert not matching.is_of(license_request(), order)


def waiting(id: str = ID, **over: Any) -> Purchase:
    request = license_request(id=id, po_number_sent="PO-1", **over)
    purchase, _ = rules.requested(request, "correlation", None, NOW)
    sent = rules.start_sending(purchase, NOW, NOW + 20 * SECOND, NOW + 15 * SECOND)
    return rules.answered(sent, Unknown("reset", True), NOW, SECOND)[0]


def test_without_an_own_number_one_request_and_one_order_find_each_other() -> None:
    purchase, order = waiting(), seen(po_number="PO-1")
    assert matching.by_likeness([purchase], [order], HOUR) == [(purchase, order)]


def test_two_orders_or_two_requests_that_fit_are_left_to_a_person() -> None:
    one, two = waiting(), waiting("7f1c7c0e-2d3b-5f4a-9c8d-0123456789ab")
    order = seen(po_number="PO-1")
    again = seen(po_number="PO-1", order=MarketplaceOrder(id="2", status="submitted"))
    assert matching.by_likeness([one], [order, again], HOUR) == []
    assert matching.by_likeness([one, two], [order], HOUR) == []


@pytest.mark.parametrize(
    ("at", "fits"),
    [
        (NOW - matching.SKEW - SECOND, False),
        (NOW - matching.SKEW, True),
        (NOW + 20 * SECOND + HOUR + matching.SKEW, True),
        (NOW + 21 * SECOND + HOUR + matching.SKEW, False),
        (None, False),
    ],
)
def test_only_an_order_from_the_time_of_an_attempt_is_alike(
    at: datetime | None, fits: bool
) -> None:
    purchase, order = waiting(), seen(po_number="PO-1", ordered_at=at)
    assert matching.by_likeness([purchase], [order], HOUR) == ([(purchase, order)] if fits else [])


def test_the_order_of_an_earlier_attempt_is_alike_too() -> None:
    first = waiting()
    late = rules.Attempt(2, NOW + 9 * HOUR, NOW + 9 * HOUR)
    purchase, order = replace(first, attempts=(*first.attempts, late)), seen(po_number="PO-1")
    assert matching.by_likeness([purchase], [order], HOUR) == [(purchase, order)]


@pytest.mark.parametrize("phase", sorted(rules.TRANSITIONS))
def test_only_a_request_whose_order_may_still_show_up_is_matched(phase: str) -> None:
    purchase, order = replace(waiting(), phase=phase), seen(po_number="PO-1")
    found = matching.by_likeness([purchase], [order], HOUR)
    assert bool(found) == (phase in (rules.VERIFYING, rules.NEEDS_REVIEW, rules.CANCELLED))


@pytest.mark.parametrize(
    "other",
    [
        {"po_number": "PO-2"},
        {"po_number": None},
        {"type": "renewal"},
        {"customer_id": "1000004"},
        {"lines": (OrderedLine("M", 6),)},
        {"lines": (OrderedLine("X", 5),)},
    ],
)
def test_an_order_that_says_something_else_is_not_alike(other: dict[str, Any]) -> None:
    order = seen(**{"po_number": "PO-1", **other})
    assert matching.by_likeness([waiting()], [order], HOUR) == []


@pytest.mark.parametrize(
    ("shown", "alike"),
    [
        (None, True),
        ("", True),
        ("PO-1", True),
        ("PO-1-AA", True),
        ("PO-1-AAAA", False),
        ("PO-2", False),
        ("PO-1-AAAAA", False),
    ],
)
def test_an_own_number_may_have_been_cut_or_dropped(shown: str | None, alike: bool) -> None:
    purchase = replace(waiting(), request=license_request(po_number_sent="PO-1-AAAA"))
    order = seen(po_number=shown)
    assert bool(matching.by_likeness([purchase], [order], HOUR)) is alike
    other = waiting("7f1c7c0e-2d3b-5f4a-9c8d-0123456789ab")
    twin = replace(other, request=license_request(id=other.id, po_number_sent="PO-1-BBBB"))
    both = matching.by_likeness([purchase, twin], [order], HOUR)
    assert both == ([(purchase, order)] if shown == "PO-1-AA" else [])


def row(id: str, at: datetime | None = NOW - HOUR) -> Listed:
    return Listed(id, "completed", "1000003", at)


CONTROL = Control("1", NOW - HOUR)


def test_two_passes_that_agree_and_show_the_known_order_prove_absence() -> None:
    rows = [row("2"), row("1")]
    assert matching.proves_absence(rows, rows, CONTROL, NOW)
    assert matching.proves_absence(rows, [row("3", NOW + SECOND), *rows], CONTROL, NOW)


@pytest.mark.parametrize(
    ("first", "second", "control"),
    [
        pytest.param([], [], None, id="an empty account is no proof"),
        pytest.param([], [], CONTROL, id="an empty answer"),
        pytest.param([row("2")], [row("2")], CONTROL, id="the known order is missing"),
        pytest.param([row("2"), row("1")], [row("1")], CONTROL, id="a row went missing"),
        pytest.param([row("1")], [row("2"), row("1")], CONTROL, id="an old row came up"),
        pytest.param([row("1")], [row("2", None), row("1")], CONTROL, id="a row of unknown age"),
    ],
)
def test_anything_less_proves_nothing(
    first: list[Listed], second: list[Listed], control: Control | None
) -> None:
    assert not matching.proves_absence(first, second, control, NOW)
