"""What a reading of the marketplace means for the mirror: pure decisions."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from purser_events.envelope import Change, Fact
from purser_events.subscription import (
    Subscription,
    SubscriptionActivated,
    SubscriptionChanged,
    SubscriptionEnded,
)
from purser_events.tenant import Tenant

SERVICE = "service:subscription"
ENDED = frozenset({"terminated", "removed"})
MOST_FAILURES = 10
"""How many failures in a row of one reading are counted."""
_SUBSCRIPTIONS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:purser:subscriptions")


@dataclass(frozen=True)
class Refresh:
    """Something to read again: one subscription, or all of a marketplace customer."""

    id: str
    reseller_id: str
    marketplace_customer_id: str
    marketplace_subscription_id: str | None
    correlation_id: str
    causation_id: str | None
    traceparent: str | None
    wanted: int
    failures: int = 0


@dataclass(frozen=True)
class Reading:
    """One subscription as the marketplace shows it; the tenant that it belongs to comes after."""

    customer_id: str
    ms_customer_id: str | None
    fields: dict[str, object]


def subscription_id(reseller_id: str, marketplace_subscription_id: str) -> str:
    """The id of a mirrored subscription: the same for every reader."""
    return str(uuid.uuid5(_SUBSCRIPTIONS, f"{reseller_id}|{marketplace_subscription_id}"))


def owner(tenants: Sequence[Tenant], ms_customer_id: str | None) -> Tenant | None:
    """The connected tenant that a subscription names; without a name the only one, else nobody."""
    if ms_customer_id is not None:
        named = [t for t in tenants if t.entra_tenant_id.lower() == ms_customer_id.lower()]
        return named[0] if named else None
    return tenants[0] if len(tenants) == 1 else None


def observed(before: Subscription | None, now: Subscription) -> tuple[Fact, ...]:
    """The facts of a reading; none when only the time of reading differs.

    A subscription that is not active yet is changed by its first reading: nobody may use it before it
    is activated.
    """
    if before is not None and _content(before) == _content(now):
        return ()
    changes = _changes(before, now)
    was_active = before is not None and before.status == "active"
    if now.status == "active" and not was_active:
        return (SubscriptionActivated(state=now, changes=changes),)
    if now.status in ENDED and (before is None or before.status not in ENDED):
        return (SubscriptionEnded(state=now, changes=changes),)
    return (SubscriptionChanged(state=now, changes=changes),)


def _content(subscription: Subscription) -> dict[str, object]:
    return subscription.model_dump(exclude={"observed_at"})


def _changes(before: Subscription | None, now: Subscription) -> tuple[Change, ...]:
    if before is None:
        return ()
    old, new = (s.model_dump(mode="json", exclude={"observed_at"}) for s in (before, now))
    return tuple(
        Change(pointer=f"/{field}", before=old[field], after=new[field])
        for field in new
        if old[field] != new[field]
    )
