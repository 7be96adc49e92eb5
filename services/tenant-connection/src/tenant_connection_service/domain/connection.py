"""The tie between a tenant and a marketplace customer: made, changed and taken back (R45–R49).

A new tie is pending until its reseller has confirmed it; what ends a tie is `closing` until the order
service has said that nothing depends on it (design §3).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from purser_common.errors import Conflict
from purser_events.tenant import (
    Connection,
    Tenant,
    TenantConnected,
    TenantConnectionChanged,
    TenantDisconnected,
)
from tenant_connection_service.domain.tenants import (
    CHANGE,
    MARKETPLACES,
    Closing,
    Decision,
    ManagedTenant,
    PendingConnection,
    changed,
    require_open,
    tenant_closing,
    with_state,
)

NAMED_REQUESTS = 20
"""As many open requests a refusal names."""


@dataclass(frozen=True)
class OpenRequest:
    """A licence change request that has not ended; `sent`: something may be at the marketplace."""

    id: str
    status: str
    sent: bool


def connecting(managed: ManagedTenant, wanted: PendingConnection, now: datetime) -> Decision | None:
    """The reference that is saved before its reseller is asked; None when the connection stands.

    `now` is real time. Raises Conflict before the tenant is added, while it is connected to something
    else or about to be let go of, and while somebody else is connecting it to something else.
    """
    require_open(managed, now)
    tenant = managed.tenant
    if not tenant.marketplaces:
        raise Conflict(
            "add the tenant to the marketplace first",
            code="tenant_not_added",
            missing_step=f"PUT /v1/marketplaces/{MARKETPLACES[0]}/tenants/{tenant.id}",
        )
    if tenant.connection is not None:
        require_same(tenant.connection, wanted)
        return None
    _require_nobody_else(managed, wanted.target, now)
    return replace(managed, pending=wanted), ()


def changing(
    managed: ManagedTenant,
    reseller_id: str | None,
    marketplace_customer_id: str | None,
    closing: Closing,
    now: datetime,
) -> Decision | None:
    """Another target for a connection that stands (R48); None when it is the target already.

    Both ends count as references until it is settled. Raises Conflict for a tenant that is not
    connected, and while it is changed to something else or let go of.
    """
    held = managed.tenant.connection
    if managed.closing is None or managed.closing.of != CHANGE:
        require_open(managed, now)
    if held is None:
        raise not_connected(managed.tenant)
    wanted = PendingConnection(
        reseller_id or held.reseller_id,
        marketplace_customer_id or held.marketplace_customer_id,
        closing.settle_at,
        closing.actor,
        closing.correlation_id,
    )
    if _is(held, wanted.target):
        return None
    _require_nobody_else(managed, wanted.target, now)
    return replace(managed, pending=wanted, closing=closing), ()


def disconnecting(managed: ManagedTenant, closing: Closing, now: datetime) -> Decision | None:
    """What is saved before the order service is asked (R49); None for a tenant without connection."""
    must_close(managed, closing, now)
    if managed.tenant.connection is None:
        return None
    return replace(managed, pending=None, closing=closing), ()


def must_close(managed: ManagedTenant, closing: Closing, now: datetime) -> None:
    """Raises Conflict while somebody is doing something else; the same thing may be taken over."""
    held = managed.closing
    if held is not None and held.of != closing.of:
        raise tenant_closing(held, now)
    if held is None and managed.pending is not None and now < managed.pending.settle_at:
        raise _pending(managed.pending, now)


def require_unused(requests: Sequence[OpenRequest]) -> None:
    """Raises Conflict naming the requests that a connection is still needed for."""
    if requests:
        raise Conflict(
            "licence change requests of this tenant are open; wait for them or settle them",
            code="purchases_open",
            requests=[{"id": one.id, "status": one.status} for one in requests[:NAMED_REQUESTS]],
        )


def require_own_customer(managed: ManagedTenant, others: Sequence[Tenant]) -> None:
    """Raises Conflict when tenants of another customer are at the same marketplace customer."""
    for other in others:
        if other.customer_id != managed.tenant.customer_id:
            raise Conflict(
                "a tenant of another customer is connected to this marketplace customer",
                code="marketplace_customer_taken",
                tenant_id=other.id,
                tenant_name=other.name,
                customer_id=other.customer_id,
            )


def require_same(held: Connection, wanted: PendingConnection) -> None:
    """Raises Conflict when the tenant is connected to something else than is wanted."""
    if not _is(held, wanted.target):
        raise Conflict(
            "the tenant is connected to another marketplace customer; change the connection with PATCH",
            code="already_connected",
            reseller_id=held.reseller_id,
            marketplace_customer_id=held.marketplace_customer_id,
        )


def not_connected(tenant: Tenant) -> Conflict:
    """The refusal of what needs a connection."""
    return Conflict(
        "the tenant is not connected to a marketplace customer",
        code="tenant_not_connected",
        missing_step=f"PUT /v1/tenants/{tenant.id}/connection",
    )


def confirmed(
    managed: ManagedTenant, agreed: PendingConnection, customer_name: str, now: datetime
) -> Decision:
    """The reseller confirmed the reference: the tenant's licences can be managed (R45, R47, R48).

    Raises Conflict when the reference was withdrawn or replaced while the reseller was asked.
    """
    before = managed.tenant
    held = before.connection
    if managed.pending is None and held is not None and _is(held, agreed.target):
        return managed, ()
    if managed.pending is None or managed.pending.target != agreed.target:
        raise replaced()
    connection = Connection(
        marketplace=held.marketplace if held else before.marketplaces[0],
        reseller_id=agreed.reseller_id,
        marketplace_customer_id=agreed.marketplace_customer_id,
        marketplace_customer_name=customer_name,
        connected_at=now,
    )
    after = with_state(managed, connection=connection)
    kind = TenantConnectionChanged if held else TenantConnected
    fact = kind(state=after.tenant, changes=changed(before, after.tenant, "connection"))
    return replace(after, pending=None, closing=None), (fact,)


def disconnected(managed: ManagedTenant, closing: Closing) -> Decision:
    """The tie is gone; the tenant stays and may be connected again (R49).

    Raises Conflict when somebody else has taken over meanwhile.
    """
    if managed.closing != closing:
        if managed.tenant.connection is None:
            return managed, ()
        raise replaced()
    return untied(replace(managed, closing=None))


def untied(managed: ManagedTenant) -> Decision:
    """The tenant without its connection, with the fact that says so where there was one."""
    before = managed.tenant
    if before.connection is None:
        return managed, ()
    after = with_state(managed, connection=None)
    fact = TenantDisconnected(
        state=after.tenant, changes=changed(before, after.tenant, "connection")
    )
    return after, (fact,)


def withdrawn(managed: ManagedTenant, given_up: PendingConnection) -> Decision:
    """The reference is given up, unless it is somebody else's by now."""
    if managed.pending is None or managed.pending.target != given_up.target:
        return managed, ()
    return replace(managed, pending=None, closing=None), ()


def reopened(managed: ManagedTenant, closing: Closing) -> Decision:
    """What was about to be let go of stays, unless somebody else is letting go of it by now."""
    if managed.closing != closing:
        return managed, ()
    pending = None if closing.of == CHANGE else managed.pending
    return replace(managed, closing=None, pending=pending), ()


def replaced() -> Conflict:
    """The refusal of what somebody else has overtaken."""
    return Conflict(
        "somebody else has changed this connection meanwhile; read the tenant and try again",
        code="connection_replaced",
    )


def _is(held: Connection, target: tuple[str, str]) -> bool:
    return (held.reseller_id, held.marketplace_customer_id) == target


def _require_nobody_else(managed: ManagedTenant, target: tuple[str, str], now: datetime) -> None:
    held = managed.pending
    if held is not None and held.target != target and now < held.settle_at:
        raise _pending(held, now)


def _pending(held: PendingConnection, now: datetime) -> Conflict:
    return Conflict(
        "the tenant is being connected to something else; read it again in a moment",
        code="connection_pending",
        retry_after=max(1.0, (held.settle_at - now).total_seconds()),
    )
