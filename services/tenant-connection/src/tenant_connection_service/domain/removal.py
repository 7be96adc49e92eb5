"""Leaving altogether (R43, R44): typed out, not while something is at the marketplace, kept as a state."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from purser_common.errors import FieldError, Invalid
from purser_events.tenant import TenantRemoved
from tenant_connection_service.domain.connection import (
    OpenRequest,
    must_close,
    replaced,
    require_unused,
    untied,
)
from tenant_connection_service.domain.tenants import (
    REMOVED,
    Closing,
    Decision,
    ManagedTenant,
    changed,
    with_state,
)

CONFIRMATION = "Yes"


def require_confirmation(typed: str) -> None:
    """Raises Invalid for anything but the word itself."""
    if typed != CONFIRMATION:
        raise Invalid(
            "removing a tenant needs the word Yes",
            code="confirmation_required",
            errors=(FieldError("/confirmation", f"type exactly {CONFIRMATION}"),),
        )


def removing(managed: ManagedTenant, closing: Closing, now: datetime) -> Decision | None:
    """What is saved before the order service is asked; None for a tenant that is gone already."""
    if managed.tenant.status == REMOVED:
        return None
    must_close(managed, closing, now)
    return replace(managed, pending=None, closing=closing), ()


def require_nothing_sent(requests: Sequence[OpenRequest]) -> None:
    """Raises Conflict naming the requests that may be at the marketplace; others are withdrawn."""
    require_unused([one for one in requests if one.sent])


def removed(managed: ManagedTenant, closing: Closing) -> Decision:
    """The tenant is gone: without connection and modules, its Entra tenant free to be registered.

    Raises Conflict when somebody else has taken over meanwhile.
    """
    if managed.closing != closing:
        if managed.tenant.status == REMOVED:
            return managed, ()
        raise replaced()
    return let_go(managed)


def let_go(managed: ManagedTenant) -> Decision:
    """The removed state, whatever there was before it."""
    left, facts = untied(managed)
    before = left.tenant
    after = with_state(left, marketplaces=(), status=REMOVED)
    changes = changed(before, after.tenant, "marketplaces", "status")
    fact = TenantRemoved(state=after.tenant, changes=changes)
    return ManagedTenant(after.tenant), (*facts, fact)
