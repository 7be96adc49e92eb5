"""What a reading of the marketplace means for the mirror: pure decisions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from purser_events.envelope import Change, Fact, Published
from purser_events.subscription import (
    Subscription,
    SubscriptionActivated,
    SubscriptionChanged,
    SubscriptionEnded,
    SubscriptionOption,
)
from purser_events.tenant import Tenant
from purser_events.values import Money

SERVICE = "service:subscription"
ENDED = frozenset({"terminated", "removed"})
MOST_FAILURES = 10
"""How many failures in a row of one reading are counted."""
MISMATCH, UNCLEAR = "ms_customer_id_mismatch", "owner_unclear"


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
class Listed:
    """A subscription as a list of the marketplace shows it: without its seats and prices."""

    id: str
    row: dict[str, str | None]
    ended: bool
    modified_on: date | None


@dataclass(frozen=True)
class Reading:
    """One subscription as the marketplace shows it; the tenant that it belongs to comes after.

    `costs` has what the reseller pays per seat for each option, in their order.
    """

    customer_id: str
    ms_customer_id: str | None
    fields: dict[str, object]
    costs: tuple[Money | None, ...]


@dataclass(frozen=True)
class Known:
    """What is remembered of the last reading of a subscription, whoever it belongs to.

    `missing` counts the lists in a row that did not show it.
    """

    id: str
    reseller_id: str
    marketplace_customer_id: str
    marketplace_subscription_id: str
    ms_customer_id: str | None
    whose: str
    row: dict[str, str | None] | None
    read_on: date
    read_at: datetime
    missing: int = 0


@dataclass(frozen=True)
class Whose:
    """The tenant that a subscription belongs to; without one, perhaps the kind of finding that it is."""

    tenant: Tenant | None
    kind: str | None = None

    @property
    def key(self) -> str:
        """The answer as it is remembered: another one means that the mirror must change."""
        if self.tenant is None:
            return self.kind or ""
        return f"{self.tenant.id}|{self.tenant.customer_id}|{self.tenant.entra_tenant_id}"


def owner(tenants: Sequence[Tenant], ms_customer_id: str | None) -> Whose:
    """Whose a subscription is among the tenants that are connected to its marketplace customer.

    The one that it names; without a name the only one. Where neither is, it is nobody's and a finding;
    where no tenant is connected, it is nobody's business.
    """
    if not tenants:
        return Whose(None)
    if ms_customer_id is not None:
        named = [t for t in tenants if t.entra_tenant_id.lower() == ms_customer_id.lower()]
        return Whose(named[0]) if named else Whose(None, MISMATCH)
    return Whose(tenants[0]) if len(tenants) == 1 else Whose(None, UNCLEAR)


def due(
    listed: Listed, known: Known | None, whose: Whose, today: date, older_than: datetime
) -> bool:
    """Whether a listed subscription must be read in detail.

    An ended one is read when its row says something new. Another one is read on every day besides, and
    when its last reading is `older_than`. A list tells a change of seats by its day alone, in the
    marketplace's time zone: what changed since the day before the last reading may be new.
    """
    if known is None or known.missing or known.row != listed.row or known.whose != whose.key:
        return True
    if listed.modified_on and listed.modified_on >= known.read_on - timedelta(days=1):
        return True
    return not listed.ended and (known.read_on < today or known.read_at <= older_than)


def observed(before: Subscription | None, now: Subscription) -> tuple[Fact, ...]:
    """The facts of a reading; none when only the time of reading differs.

    A subscription that is not active yet is changed by its first reading: nobody may use it before it
    is activated.
    """
    if before is not None and _content(before) == _content(now):
        return ()
    changed = changes(before, now, "observed_at")
    was_active = before is not None and before.status == "active"
    if now.status == "active" and not was_active:
        return (SubscriptionActivated(state=now, changes=changed),)
    if now.status in ENDED and (before is None or before.status not in ENDED):
        return (SubscriptionEnded(state=now, changes=changed),)
    return (SubscriptionChanged(state=now, changes=changed),)


def released(before: Subscription) -> Subscription:
    """A subscription whose tenant is not, or no longer, the one that it belongs to: as it was last."""
    return before.model_copy(update={"connected": False})


def option_keys(options: Sequence[SubscriptionOption]) -> list[str]:
    """What tells the options of one subscription apart, in their order and the same on every day."""
    seen: Counter[str] = Counter()
    keys = []
    for option in options:
        name = f"{option.product.vendor}/{option.product.mpn}"
        seen[name] += 1
        keys.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return keys


def _content(subscription: Subscription) -> dict[str, object]:
    return subscription.model_dump(exclude={"observed_at"})


def changes(before: Published | None, now: Published, *ignored: str) -> tuple[Change, ...]:
    """Every field of a state that differs from the one before; nothing is before the first."""
    if before is None:
        return ()
    old, new = (s.model_dump(mode="json", exclude={*ignored}) for s in (before, now))
    pairs: list[tuple[str, Any, Any]] = [(field, old[field], new[field]) for field in new]
    return tuple(Change(pointer=f"/{name}", before=b, after=a) for name, b, a in pairs if b != a)
