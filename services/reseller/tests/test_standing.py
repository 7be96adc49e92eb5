"""An account's standing: pure decisions about pauses, places, the breaker and what is unresolved."""

from datetime import UTC, datetime, timedelta
from typing import Any

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reseller_service.domain import accounts
from reseller_service.domain.accounts import Limits, Refusal, Standing

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LIMITS = Limits()
REST = timedelta(seconds=LIMITS.breaker_rest_seconds)


def take(standing: Standing, attempt: str, now: datetime = NOW, **more: Any) -> Standing:
    after, refused = accounts.taken(standing, attempt, 30, more.get("limits", LIMITS), now)
    assert refused is None
    return after


def outcomes(*ambiguous: bool, at: datetime = NOW) -> Standing:
    """The standing after sends with these outcomes, a second apart; the last one at `at`."""
    standing = Standing()
    for n, one in enumerate(ambiguous):
        when = at - timedelta(seconds=len(ambiguous) - 1 - n)
        standing = accounts.settled(standing, f"r{n}/1", one, LIMITS, when)
    return standing


def phase(standing: Standing, now: datetime = NOW) -> str:
    return accounts.breaker(standing, LIMITS, now).phase


def test_a_pause_lasts_as_long_as_it_says_and_at_most_an_hour() -> None:
    def pause(seconds: float) -> Any:
        return accounts.rested(Standing(), seconds, 0.5, NOW).paused_until

    assert pause(30) == NOW + timedelta(seconds=30)
    assert pause(1e9) == NOW + timedelta(hours=1)
    assert pause(0) > NOW


def test_pauses_that_nobody_times_double_and_calls_under_way_count_once() -> None:
    first = accounts.rested(Standing(), None, 0, NOW)
    assert first.paused_until == NOW + timedelta(seconds=5)
    same = accounts.rested(first, None, 0, NOW + timedelta(seconds=1))
    assert same.strikes == 1
    later = first.paused_until + timedelta(seconds=1)
    second = accounts.rested(first, None, 0, later)
    assert second.paused_until == later + timedelta(seconds=10)
    calm = second.paused_until + timedelta(minutes=10)
    assert accounts.rested(second, None, 0, calm).strikes == 1


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    long = Standing(paused_until=NOW + timedelta(minutes=5), strikes=1)
    assert accounts.rested(long, 1, 0, NOW).paused_until == long.paused_until


def test_a_paused_account_refuses_and_says_for_how_long() -> None:
    paused = Standing(paused_until=NOW + timedelta(seconds=9), strikes=1)
    assert accounts.refusal(paused, None, LIMITS, NOW) == Refusal("account_paused", 9)
    assert accounts.refusal(paused, None, LIMITS, NOW + timedelta(seconds=9)) is None


def test_permission_names_the_first_thing_in_the_way() -> None:
    reseller = examples.reseller()
    assert accounts.forbidden(reseller, True) == Refusal("buying_stopped", None)
    assert accounts.forbidden(reseller, False) == Refusal("buying_disabled", None)
    buying = reseller.model_copy(update={"buying_enabled": True})
    assert accounts.forbidden(buying, False) is None
    full = take(take(Standing(strikes=1), "a/1"), "b/1")
    for n in range(3):
        full = accounts.verifying(full, f"r{n}", LIMITS, NOW)
    paused = full.model_copy(update={"paused_until": NOW + timedelta(seconds=9)})
    reasons = [
        refused.reason
        for standing in (paused, full, full.model_copy(update={"unresolved": ()}))
        if (refused := accounts.refusal(standing, None, LIMITS, NOW))
    ]
    assert reasons == ["account_paused", "breaker_open", "sends_in_flight"]
    told = accounts.permission("r", Refusal("account_paused", 9))
    assert (told.sending_allowed, told.retry_after_seconds) == (False, 9)
    assert accounts.permission("r", None).sending_allowed


def test_two_attempts_have_a_place_and_the_third_waits_for_one() -> None:
    full = take(take(Standing(), "a/1"), "b/1")
    assert accounts.taken(full, "c/1", 30, LIMITS, NOW) == (full, Refusal("sends_in_flight", 1.0))
    take(accounts.freed(full, "a/1", NOW), "c/1")


def test_a_place_is_renewed_by_its_own_attempt_and_never_shortened() -> None:
    full = take(take(Standing(), "a/1"), "b/1")
    again = take(full, "a/1", NOW + timedelta(seconds=10))
    assert {send.attempt: send.until for send in again.sends} == {
        "a/1": NOW + timedelta(seconds=40),
        "b/1": NOW + timedelta(seconds=30),
    }
    earlier, _ = accounts.taken(again, "a/1", 1, LIMITS, NOW)
    assert {send.attempt: send.until for send in earlier.sends}["a/1"] == NOW + timedelta(
        seconds=40
    )


def test_a_place_that_nobody_gives_back_expires() -> None:
    full = take(take(Standing(), "a/1"), "b/1")
    later = take(full, "c/1", NOW + timedelta(seconds=30))
    assert [send.attempt for send in later.sends] == ["c/1"]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(("take", "free")),
            st.integers(0, 6),
            st.floats(0, 40, allow_nan=False),
        ),
        max_size=40,
    ),
    cap=st.integers(1, 4),
)
def test_whatever_happens_no_more_than_the_cap_is_under_way(
    steps: list[tuple[str, int, float]], cap: int
) -> None:
    standing, now, limits = Standing(), NOW, Limits(sends_in_flight=cap)
    for what, number, seconds in steps:
        now += timedelta(seconds=seconds)
        if what == "take":
            standing, refused = accounts.taken(standing, f"r{number}/1", 30, limits, now)
            held = f"r{number}/1" in {s.attempt for s in accounts.live(standing.sends, now)}
            assert held is (refused is None)
        else:
            standing = accounts.freed(standing, f"r{number}/1", now)
        assert len(accounts.live(standing.sends, now)) <= cap
        assert len(standing.sends) <= cap


@pytest.mark.parametrize(("count", "expected"), [(0, "closed"), (2, "closed"), (3, "open")])
def test_three_unresolved_orders_open_the_breaker(count: int, expected: str) -> None:
    standing = Standing()
    for n in range(count):
        standing = accounts.verifying(standing, f"r{n}", LIMITS, NOW)
        standing = accounts.verifying(standing, f"r{n}", LIMITS, NOW)
    assert phase(standing) == expected
    resolved = accounts.resolved(accounts.resolved(standing, "r0", NOW), "r0", NOW)
    assert phase(resolved) == "closed"
    assert accounts.resolved(standing, "never", NOW) == standing


def test_unresolved_orders_that_nobody_speaks_of_any_more_stop_counting() -> None:
    standing = Standing()
    for n in range(3):
        standing = accounts.verifying(standing, f"r{n}", LIMITS, NOW)
    almost = NOW + timedelta(seconds=LIMITS.unresolved_seconds - 1)
    assert phase(standing, almost) == "open"
    assert phase(standing, almost + timedelta(seconds=1)) == "closed"
    again = accounts.verifying(standing, "r0", LIMITS, almost)
    assert len(again.unresolved) == 3


def test_the_list_of_unresolved_orders_is_bounded() -> None:
    standing = Standing()
    for n in range(accounts.MOST_UNRESOLVED + 20):
        standing = accounts.verifying(standing, f"r{n}", LIMITS, NOW)
    assert len(standing.unresolved) == accounts.MOST_UNRESOLVED


def test_more_than_a_fifth_of_the_last_ten_ambiguous_opens_the_breaker() -> None:
    assert phase(outcomes(*[True] * 2)) == "closed"
    assert phase(outcomes(*[True] * 2, *[False] * 8)) == "closed"
    assert phase(outcomes(*[True] * 3)) == "open"
    assert phase(outcomes(True, True, *[False] * 7, True)) == "open"
    # the first of the three has left the window of ten
    assert phase(outcomes(True, *[False] * 8, True, True)) == "closed"


def test_an_open_breaker_refuses_until_its_rest_is_over_and_then_lets_one_send_probe() -> None:
    tripped = outcomes(True, True, True)
    assert accounts.refusal(tripped, None, LIMITS, NOW) == Refusal("breaker_open", 60)
    half = NOW + REST / 2
    assert accounts.refusal(tripped, None, LIMITS, half) == Refusal("breaker_open", 30)
    rested = NOW + REST
    assert phase(tripped, rested) == "probing"
    probing = take(tripped, "probe/1", rested)
    assert accounts.taken(probing, "other/1", 30, LIMITS, rested)[1] == Refusal("breaker_open", 1.0)
    take(probing, "probe/1", rested)


def test_a_probe_with_a_clear_outcome_closes_the_breaker_and_an_ambiguous_one_opens_it() -> None:
    tripped, rested = outcomes(True, True, True), NOW + REST
    clear = accounts.settled(tripped, "probe/1", False, LIMITS, rested)
    assert phase(clear, rested) == "closed"
    assert [settled.attempt for settled in clear.recent] == ["probe/1"]
    unclear = accounts.settled(tripped, "probe/1", True, LIMITS, rested)
    assert phase(unclear, rested) == "open"
    assert phase(unclear, rested + REST) == "probing"


def test_a_send_that_was_under_way_when_the_breaker_opened_does_not_close_it() -> None:
    tripped = outcomes(True, True, True)
    later = accounts.settled(tripped, "late/1", False, LIMITS, NOW + timedelta(seconds=1))
    assert phase(later, NOW + timedelta(seconds=1)) == "open"


def test_while_orders_are_unresolved_no_probe_leaves_however_long_it_takes() -> None:
    tripped = outcomes(True, True, True)
    for n in range(3):
        tripped = accounts.verifying(tripped, f"r{n}", LIMITS, NOW)
    rested = NOW + 10 * REST
    assert phase(tripped, rested) == "open"
    assert phase(accounts.resolved(tripped, "r1", rested), rested) == "probing"


def test_the_same_outcome_told_twice_counts_once_and_a_better_known_one_replaces_it() -> None:
    once = outcomes(True)
    later = NOW + timedelta(seconds=5)
    assert accounts.settled(once, "r0/1", True, LIMITS, later) == once
    known = accounts.settled(once, "r0/1", False, LIMITS, later)
    assert [(s.attempt, s.ambiguous) for s in known.recent] == [("r0/1", False)]


def test_at_most_the_window_of_outcomes_is_kept() -> None:
    assert len(outcomes(*[False] * 50).recent) == LIMITS.breaker_window
