"""What a reading of the marketplace means for the mirror."""

from datetime import UTC, datetime
from typing import Any

from purser_events.subscription import Subscription
from subscription_service.domain import observed, subscription_id

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
