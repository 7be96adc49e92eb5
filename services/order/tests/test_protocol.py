"""The purchase protocol as a pure function: never sent twice, nothing seen is lost."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from examples import ID, NOW, change_request, license_request
from hypothesis import given
from hypothesis import strategies as st

from order_service.domain import purchase as rules
from order_service.domain import review
from order_service.domain.following import completed, has_its_seats, next_read
from order_service.domain.purchase import NotSent, Purchase, Refused, Taken, Unknown
from purser_common.errors import Conflict, Invalid
from purser_events.license import (
    LicensePurchased,
    LicenseQuantityChanged,
    MarketplaceOrder,
)

SECOND = timedelta(seconds=1)
ORDER = MarketplaceOrder(id="1000201", number="SO000012", status="submitted")


def ready(**over: Any) -> Purchase:
    purchase, _ = rules.requested(license_request(), "correlation-1", None, NOW)
    return replace(purchase, **over)


def sending(purchase: Purchase | None = None) -> Purchase:
    return rules.start_sending(purchase or ready(), NOW, NOW + 20 * SECOND, NOW + 15 * SECOND)


def uncertain(fenced: bool = True) -> Purchase:
    purchase, _ = rules.answered(sending(), Unknown("reset", fenced), NOW, SECOND)
    return purchase


def in_review(fenced: bool = True) -> Purchase:
    purchase, _ = review.looked(uncertain(fenced), NOW, True, NOW + timedelta(hours=1), SECOND)
    assert purchase.phase == rules.NEEDS_REVIEW
    return purchase


def test_an_answer_with_an_order_places_the_request() -> None:
    purchase, facts = rules.answered(sending(), Taken(ORDER), NOW, SECOND)
    assert (purchase.phase, purchase.request.status) == (rules.PLACED, "placed")
    assert [fact.TOPIC for fact in facts] == ["order.placed"]


def test_what_did_not_leave_is_ready_again_and_does_not_count() -> None:
    purchase = ready()
    for _ in range(rules.MAX_ATTEMPTS * 2):
        purchase, facts = rules.answered(sending(purchase), NotSent("breaker"), NOW, SECOND)
        assert (purchase.phase, facts) == (rules.READY, ())
    purchase, _ = rules.answered(sending(purchase), Refused(True, "429"), NOW, SECOND)
    assert purchase.phase == rules.READY


def test_a_retryable_refusal_is_given_up_after_three_attempts() -> None:
    purchase = ready()
    for _ in range(rules.MAX_ATTEMPTS):
        purchase, _ = rules.answered(sending(purchase), Refused(True, "429"), NOW, SECOND)
    assert purchase.phase == rules.FAILED
    assert purchase.slot_buy is None


def test_anything_else_is_uncertain_and_keeps_the_slot() -> None:
    purchase, facts = rules.answered(sending(), Unknown("504"), NOW, SECOND)
    assert (purchase.phase, purchase.request.status) == (rules.VERIFYING, "uncertain")
    assert [fact.TOPIC for fact in facts] == ["order.uncertain"]
    assert purchase.slot_buy is not None


def test_a_late_answer_after_takeover_still_places_the_request() -> None:
    purchase, facts = rules.answered(in_review(), Taken(ORDER), NOW, SECOND)
    assert purchase.phase == rules.PLACED
    assert [fact.TOPIC for fact in facts] == ["order.placed"]


@pytest.mark.parametrize("late", [NotSent("closed"), Refused(False, "no"), Unknown("reset")])
def test_a_late_answer_without_an_order_changes_nothing(late: Any) -> None:
    before = in_review()
    assert rules.answered(before, late, NOW, SECOND) == (before, ())


def test_a_second_order_is_flagged_and_never_explained_away() -> None:
    purchase, _ = rules.answered(sending(), Taken(ORDER), NOW, SECOND)
    other = MarketplaceOrder(id="1000202", number="SO000013", status="submitted")
    purchase, facts = rules.taken(purchase, other, "reference", NOW, "service:order")
    assert purchase.phase == rules.DUPLICATE_SUSPECTED
    assert facts[0].model_dump()["order_ids"] == ("1000201", "1000202")


def test_the_same_order_seen_again_changes_nothing() -> None:
    purchase, _ = rules.answered(sending(), Taken(ORDER), NOW, SECOND)
    assert rules.taken(purchase, ORDER, "reference", NOW, "service:order") == (purchase, ())


def test_evidence_that_was_pushed_aside_is_adopted_by_the_next_look() -> None:
    seen = rules.Evidence(ORDER.id, "reference", NOW, "service:order")
    waiting = replace(uncertain(), evidence=(seen,))
    purchase, _ = rules.taken(waiting, ORDER, "reference", NOW, "service:order")
    assert (purchase.phase, purchase.evidence) == (rules.PLACED, (seen,))


def test_evidence_pushed_beside_a_placed_request_is_flagged_by_the_next_look() -> None:
    other = rules.Evidence("1000202", "reference", NOW, "service:order")
    placed, _ = rules.answered(sending(), Taken(ORDER), NOW, SECOND)
    placed = replace(placed, evidence=(*placed.evidence, other))
    seen = MarketplaceOrder(id=other.order_id, status="submitted")
    purchase, facts = rules.taken(placed, seen, "reference", NOW, "service:order")
    assert purchase.phase == rules.DUPLICATE_SUSPECTED
    assert facts[0].TOPIC == "order.duplicate-suspected"
    assert rules.adopted(ready(evidence=placed.evidence))[0].phase == rules.DUPLICATE_SUSPECTED


def test_a_request_with_evidence_is_never_sent() -> None:
    seen = rules.Evidence(ORDER.id, "reference", NOW, "service:order")
    with pytest.raises(Conflict):
        sending(ready(evidence=(seen,)))
    adopted, facts = rules.adopted(ready(evidence=(seen,)))
    assert (adopted.phase, facts[0].TOPIC) == (rules.PLACED, "order.placed")


def test_completion_publishes_the_order_and_the_purchase_together() -> None:
    purchase, _ = rules.answered(sending(), Taken(ORDER), NOW, SECOND)
    purchase, facts = completed(purchase, ORDER, "1000300", seats=12)
    assert [fact.TOPIC for fact in facts] == ["order.completed", "license.purchased"]
    bought = facts[1]
    assert isinstance(bought, LicensePurchased)
    assert (bought.quantity_before, bought.quantity_after) == (7, 12)
    assert purchase.slot_buy is None


def changing() -> Purchase:
    return rules.requested(change_request(), "correlation-1", None, NOW)[0]


def test_a_change_holds_its_subscription_and_a_purchase_its_product() -> None:
    assert changing().slot_now == "r1|900"
    assert changing().slot_buy is None
    assert ready().slot_now is None
    assert ready().slot_buy is not None


def test_a_change_is_complete_at_its_total_and_tells_both_numbers() -> None:
    purchase, _ = rules.answered(sending(changing()), Taken(ORDER), NOW, SECOND)
    assert not has_its_seats(purchase, 13)
    assert not has_its_seats(purchase, None)
    assert has_its_seats(purchase, 12)
    purchase, facts = completed(purchase, ORDER, "900", seats=12)
    assert [fact.TOPIC for fact in facts] == ["order.completed", "license.quantity-changed"]
    changed = facts[1]
    assert isinstance(changed, LicenseQuantityChanged)
    assert (changed.quantity_before, changed.quantity_after) == (5, 12)
    assert purchase.slot_now is None


def test_an_order_that_a_conflict_named_is_kept_with_the_attempt() -> None:
    answer = Unknown("500: only one order at a time", True, "CH000012")
    purchase, _ = rules.answered(sending(changing()), answer, NOW, SECOND)
    assert (purchase.phase, purchase.attempt.named_order) == (rules.VERIFYING, "CH000012")


def test_an_order_that_shows_up_late_is_linked_without_the_slot_it_gave_up() -> None:
    gone, _ = review.give_up(in_review(), "user:purchaser", "not seen")
    assert gone.slot_buy is None
    placed, _ = rules.taken(gone, ORDER, "reference", NOW, "service:order")
    assert (placed.phase, placed.slot_buy) == (rules.PLACED, None)


def test_sending_again_waits_until_it_is_safe() -> None:
    quarantine = timedelta(minutes=30)
    purchase = in_review()
    safe = purchase.attempt.send_by + quarantine

    def answer(purchase: Purchase, now: datetime) -> Purchase:
        return review.not_placed(purchase, "user:purchaser", "checked", now, quarantine)[0]

    with pytest.raises(Conflict) as refusal:
        answer(purchase, safe - SECOND)
    assert refusal.value.code == "too_early"
    with pytest.raises(Conflict) as refusal:
        answer(purchase, safe)
    assert refusal.value.code == "absence_not_shown"
    absent = replace(purchase, absence_shown_at=safe)
    assert answer(absent, safe + SECOND).phase == rules.READY
    with pytest.raises(Conflict) as refusal:
        answer(replace(in_review(fenced=False), absence_shown_at=safe), safe + SECOND)
    assert refusal.value.code == "sender_not_fenced"


def test_a_listing_without_its_control_proves_nothing() -> None:
    purchase, _ = review.looked(uncertain(), NOW, True, NOW, timedelta(hours=1))
    assert purchase.absence_shown_at == NOW
    purchase, _ = review.looked(purchase, NOW + SECOND, False, NOW, timedelta(hours=1))
    assert purchase.absence_shown_at is None


def test_the_latest_listing_counts_not_the_first() -> None:
    purchase, _ = review.looked(uncertain(), NOW, True, NOW, timedelta(hours=1))
    purchase, _ = review.looked(purchase, NOW + SECOND, True, NOW, timedelta(hours=1))
    assert purchase.absence_shown_at == NOW + SECOND


@pytest.mark.parametrize("po", ["", " ", "x" * 33, "a\nb", "ü", " padded "])
def test_an_unusable_po_number_names_the_field(po: str) -> None:
    with pytest.raises(Invalid) as refusal:
        rules.checked_po(po)
    assert refusal.value.errors[0].pointer == "/po_number"


def test_the_po_number_that_is_sent_names_one_request() -> None:
    other = ID.replace("6f1c", "7f1c")
    assert rules.po_to_send("PO-1", ID, suffix=True) != rules.po_to_send("PO-1", other, suffix=True)
    assert rules.po_to_send("PO-1", ID, suffix=False) == "PO-1"


@given(st.integers(min_value=0, max_value=10_000))
def test_following_never_stops_and_never_hurries(reads: int) -> None:
    assert SECOND <= next_read(reads) <= next_read(reads + 1) <= timedelta(minutes=15)


ANSWERS = st.sampled_from(
    [
        NotSent("away"),
        Refused(True, "429"),
        Refused(False, "400"),
        Unknown("reset", True),
        Taken(ORDER),
        Taken(MarketplaceOrder(id="1000202", status="submitted")),
    ]
)


@given(st.lists(ANSWERS, max_size=8))
def test_whatever_is_answered_an_order_once_seen_is_kept_and_nothing_is_sent_after_it(
    answers: list[Any],
) -> None:
    purchase = ready()
    for answer in answers:
        if purchase.phase == rules.READY:
            purchase = sending(purchase)
        seen = set(purchase.evidence)
        purchase, _ = rules.answered(purchase, answer, NOW, SECOND)
        assert seen <= set(purchase.evidence)
        if purchase.evidence:
            assert purchase.phase not in (rules.READY, rules.SENDING)
        if isinstance(answer, Taken):
            assert answer.order.id in {evidence.order_id for evidence in purchase.evidence}
