"""What does not fit together about subscriptions: found, changed, and gone again by itself."""

from dataclasses import dataclass
from datetime import datetime

from purser_events.finding import (
    Finding,
    FindingChanged,
    FindingClosed,
    FindingFact,
    FindingOpened,
    finding_id,
)
from subscription_service.domain.mirror import MISMATCH, UNCLEAR, changes

VANISHED = "subscription_vanished"
KINDS = (MISMATCH, UNCLEAR, VANISHED)
OWNER = "subscription"
_OPEN, _CLOSED = "open", "closed"


@dataclass(frozen=True)
class Found:
    """Something that was found of a subscription."""

    kind: str
    subscription_id: str
    marketplace: str
    reseller_id: str
    marketplace_customer_id: str
    marketplace_subscription_id: str
    customer_id: str | None
    tenant_id: str | None = None
    ms_customer_id: str | None = None

    @property
    def object(self) -> str:
        """What it is about, as events name it."""
        return object_of(self.subscription_id)

    @property
    def detail(self) -> str:
        """What was found and what can be done."""
        what = (
            f"subscription {self.marketplace_subscription_id} of the marketplace customer "
            f"{self.marketplace_customer_id}"
        )
        if self.kind == MISMATCH:
            return (
                f"{what} names the Microsoft tenant {self.ms_customer_id}, which is not connected to "
                "that customer: connect that tenant, or correct the subscription at the marketplace"
            )
        if self.kind == UNCLEAR:
            return (
                f"{what} names no Microsoft tenant, and several tenants are connected to that "
                "customer: have the marketplace name the tenant, or connect one tenant only"
            )
        return (
            f"{what} is neither listed nor shown by the marketplace any more, and nothing said that "
            "it ended: ask the marketplace what became of it"
        )


def object_of(subscription_id: str) -> str:
    """A subscription as events name it."""
    return f"subscription/{subscription_id}"


def found(
    before: Finding | None, what: Found, now: datetime
) -> tuple[Finding, tuple[FindingFact, ...]]:
    """Opens a finding, opens one again that was closed, or changes one that is open."""
    is_open = before is not None and before.status == _OPEN
    times = before.times_opened if before else 0
    state = Finding(
        id=finding_id(what.kind, what.object),
        kind=what.kind,
        object=what.object,
        marketplace=what.marketplace,
        reseller_id=what.reseller_id,
        customer_id=what.customer_id,
        tenant_id=what.tenant_id,
        owner=OWNER,
        detail=what.detail,
        status=_OPEN,
        opened_at=before.opened_at if before and is_open else now,
        times_opened=times if is_open else times + 1,
    )
    changed = changes(before, state)
    if not is_open:
        return state, (FindingOpened(state=state, changes=changed),)
    return state, (FindingChanged(state=state, changes=changed),) if changed else ()


def closed(before: Finding, now: datetime) -> tuple[Finding, tuple[FindingFact, ...]]:
    """Closes a finding that no longer holds; one that is closed stays as it is."""
    if before.status != _OPEN:
        return before, ()
    state = before.model_copy(update={"status": _CLOSED, "closed_at": now})
    return state, (FindingClosed(state=state, changes=changes(before, state)),)
