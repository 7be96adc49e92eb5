"""What a reading of the marketplace means for the mirror."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purser_events.finding import Finding, finding_id
from purser_events.subscription import Subscription, subscription_id
from purser_events.tenant import Tenant
from subscription_service.domain import finding as findings
from subscription_service.domain.finding import Found
from subscription_service.domain.mirror import (
    MISMATCH,
    UNCLEAR,
    Known,
    Listed,
    Whose,
    due,
    observed,
    owner,
    released,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def reading(**over: Any) -> Subscription:
    plain = {
        "id": "s1",
        "marketplace": "ingram-micro-xvantage",
        "reseller_id": "r1",
        "customer_id": "c1",
        "tenant_id": "t1",
        "entra_tenant_id": "e1",
        "marketplace_customer_id": "1000003",
        "marketplace_subscription_id": "1000201",
        "name": "Product",
        "status": "active",
        "observed_at": NOW,
    }
    return Subscription.model_validate({**plain, **over})


def topics(before: Subscription | None, now: Subscription) -> list[str]:
    return [fact.TOPIC for fact in observed(before, now)]


def test_the_first_active_reading_activates() -> None:
    assert topics(None, reading()) == ["subscription.activated"]
    assert topics(reading(status="pending"), reading()) == ["subscription.activated"]


def test_a_later_reading_of_the_same_is_no_fact() -> None:
    assert topics(reading(), reading(observed_at=datetime(2026, 1, 3, tzinfo=UTC))) == []


def test_an_unknown_status_is_kept_as_it_came() -> None:
    facts = observed(reading(), reading(status="awaitingVendor"))
    assert [fact.TOPIC for fact in facts] == ["subscription.changed"]
    assert facts[0].changes[0].after == "awaitingVendor"


def test_an_ended_subscription_ends_once() -> None:
    assert topics(reading(), reading(status="terminated")) == ["subscription.ended"]
    assert topics(reading(status="terminated"), reading(status="removed")) == [
        "subscription.changed"
    ]


def test_ids_are_the_same_for_every_reader() -> None:
    assert subscription_id("r1", "1") == subscription_id("r1", "1") != subscription_id("r2", "1")


TODAY = date(2026, 2, 3)
ROW = {"status": "active"}
FRESH = NOW + timedelta(hours=1)


def tenant(number: int) -> Tenant:
    plain = {
        "id": f"t{number}",
        "customer_id": "c1",
        "entra_tenant_id": f"E{number}",
        "name": "Head office",
        "domain": "example.org",
        "consent": {"status": "granted"},
        "marketplaces": (),
        "registered_at": NOW,
    }
    return Tenant.model_validate(plain)


@given(
    connected=st.sets(st.integers(0, 3)).map(sorted), named=st.none() | st.integers(0, 3).map(str)
)
def test_a_subscription_has_one_owner_or_is_one_finding_or_nobodys_business(
    connected: list[int], named: str | None
) -> None:
    tenants = [tenant(number) for number in connected]
    whose = owner(tenants, f"e{named}" if named else None)
    if not tenants:
        assert whose == Whose(None)
    elif named is None:
        assert whose == (Whose(tenants[0]) if len(tenants) == 1 else Whose(None, UNCLEAR))
    elif int(named) in connected:
        assert whose == Whose(tenant(int(named)))
    else:
        assert whose == Whose(None, MISMATCH)


def known(**over: Any) -> Known:
    plain = {
        "id": "s1",
        "reseller_id": "r1",
        "marketplace_customer_id": "1000003",
        "marketplace_subscription_id": "1000201",
        "ms_customer_id": "e1",
        "whose": Whose(tenant(1)).key,
        "row": ROW,
        "read_on": TODAY,
        "read_at": FRESH,
    }
    return Known(**{**plain, **over})


def listed(row: dict[str, str | None] = ROW, ended: bool = False, days: int = 30) -> Listed:
    return Listed("1000201", row, ended, TODAY - timedelta(days=days))


@pytest.mark.parametrize(
    ("row", "before", "whose", "read"),
    [
        (listed(), known(), tenant(1), False),
        (listed(), None, tenant(1), True),
        (listed({"status": "hold"}), known(), tenant(1), True),
        (listed(), known(row=None), tenant(1), True),
        (listed(days=0), known(), tenant(1), True),
        (listed(days=1), known(), tenant(1), True),
        (listed(days=2), known(), tenant(1), False),
        (listed(), known(missing=1), tenant(1), True),
        (listed(), known(), tenant(2), True),
        (listed(), known(read_on=TODAY - timedelta(days=1)), tenant(1), True),
        (listed(), known(read_at=NOW), tenant(1), True),
        (listed(ended=True), known(read_on=date(2026, 1, 20), read_at=NOW), tenant(1), False),
        (listed({"status": "removed"}, ended=True), known(), tenant(1), True),
    ],
)
def test_what_a_list_says_is_new_is_read(
    row: Listed, before: Known | None, whose: Tenant, read: bool
) -> None:
    assert due(row, before, Whose(whose), TODAY, NOW) is read


def test_a_released_subscription_is_changed_once() -> None:
    free = released(reading())
    facts = observed(reading(), free)
    assert [fact.TOPIC for fact in facts] == ["subscription.changed"]
    assert [(c.pointer, c.after) for c in facts[0].changes] == [("/connected", False)]
    assert topics(free, released(free)) == []
    assert topics(free, reading()) == ["subscription.changed"]


def found(**over: Any) -> Found:
    plain = {
        "kind": MISMATCH,
        "subscription_id": "s1",
        "marketplace": "ingram-micro-xvantage",
        "reseller_id": "r1",
        "marketplace_customer_id": "1000003",
        "marketplace_subscription_id": "1000201",
        "customer_id": "c1",
        "ms_customer_id": "e9",
    }
    return Found(**{**plain, **over})


@given(st.lists(st.sampled_from(["e8", "e9", None])))
def test_a_finding_opens_and_closes_and_counts_how_often_it_came(seen: list[str | None]) -> None:
    state: Finding | None = None
    is_open, times = False, 0
    for number, name in enumerate(seen):
        now = NOW + timedelta(minutes=number)
        if name is not None:
            before = state
            state, facts = findings.found(state, found(ms_customer_id=name), now)
            times += not is_open
            told = [fact.TOPIC for fact in facts]
            same = is_open and before is not None and before.detail == state.detail
            assert told == ([] if same else ["finding.changed" if is_open else "finding.opened"])
            assert (state.status, state.closed_at) == ("open", None)
            is_open = True
        elif state is not None:
            state, facts = findings.closed(state, now)
            assert [fact.TOPIC for fact in facts] == (["finding.closed"] if is_open else [])
            assert state.status == "closed"
            is_open = False
        if state is not None:
            assert state.times_opened == times
            assert state.id == finding_id(MISMATCH, "subscription/s1")
