"""Letting go of a reseller, or of what tenants were connected to: it refuses references first (design §3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from purser_common.errors import Conflict
from purser_events.envelope import Change
from purser_events.reseller import Reseller, ResellerDeleted, ResellerFact

ACTIVE, DELETED = "active", "deleted"
SHOWN = 100
"""How many of the tenants or requests that stand in the way are named."""

Named = Mapping[str, Any]


@dataclass(frozen=True)
class Closing:
    """A deletion or a move that is under way: meanwhile no tenant may be connected.

    `settle_at` is real time: from then on whoever began is taken for dead, and a job settles it in the
    name of `actor`: a deletion by asking again, a move by giving it up.
    """

    deleting: bool
    settle_at: datetime
    actor: str
    correlation_id: str


@dataclass(frozen=True)
class Kept:
    """A reseller with what only its owner needs to know."""

    reseller: Reseller
    closing: Closing | None = None


def require_open(kept: Kept, now: datetime) -> None:
    """Raises Conflict while a deletion or a move is under way; `now` is real time."""
    if kept.closing is not None:
        raise Conflict(
            "the reseller is being deleted or moved; read it again in a moment",
            code="reseller_closing",
            retry_after=max(1.0, (kept.closing.settle_at - now).total_seconds()),
        )


def require_unconnected(tenants: Sequence[Named]) -> None:
    """Raises Conflict naming the tenants that are connected, or about to be."""
    if tenants:
        named = ", ".join(tenant["name"] for tenant in tenants[:3])
        more = f" and {len(tenants) - 3} more" if len(tenants) > 3 else ""
        raise Conflict(
            f"tenants are connected to this reseller: {named}{more}; disconnect them first",
            code="reseller_in_use",
            tenants=list(tenants[:SHOWN]),
            tenant_count=len(tenants),
        )


def require_settled(requests: Sequence[Named]) -> None:
    """Raises Conflict naming the requests whose orders are not settled."""
    if requests:
        raise Conflict(
            "orders under this reseller are not settled; wait for them, or settle their reviews",
            code="orders_unsettled",
            requests=list(requests[:SHOWN]),
        )


def reseller_deleted(reseller: Reseller) -> tuple[Reseller, tuple[ResellerFact, ...]]:
    """The reseller is gone: nothing is bought through it, and its credentials are forgotten (R8)."""
    state = reseller.model_copy(update={"status": DELETED, "buying_enabled": False})
    changes = (
        Change(pointer="/status", before=reseller.status, after=DELETED),
        Change(pointer="/credentials", before="set"),
    )
    return state, (ResellerDeleted(state=state, changes=changes),)
