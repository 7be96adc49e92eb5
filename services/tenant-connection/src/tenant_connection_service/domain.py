"""Customers, tenants, consent and connection: pure decisions."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from purser_common.errors import Conflict, FieldError, Invalid, Malformed
from purser_events.envelope import Change, Fact
from purser_events.tenant import (
    Connection,
    Consent,
    Customer,
    CustomerAdded,
    Tenant,
    TenantAdded,
    TenantConnected,
    TenantConsented,
    TenantConsentRequested,
    TenantConsentRevoked,
    TenantRegistered,
)

MARKETPLACES = ("ingram-micro-xvantage",)
PERMISSIONS = ("LicenseAssignment.Read.All", "Organization.Read.All")
"""The least that reading licences and naming the tenant needs (R40)."""
STATE_LIFE = timedelta(minutes=15)
MAX_NAME = 200

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


@dataclass(frozen=True)
class ConsentAsked:
    """The latest consent request: only it can be answered, once, until it expires (business time)."""

    nonce: str
    expires_at: datetime
    correlation_id: str
    answered: bool = False


@dataclass(frozen=True)
class PendingConnection:
    """A connection that its reseller has not confirmed yet; it counts as a reference.

    `settle_at` is real time: from then on whoever asked is taken for dead, and a job settles it in the
    name of `actor`.
    """

    reseller_id: str
    marketplace_customer_id: str
    settle_at: datetime
    actor: str
    correlation_id: str


@dataclass(frozen=True)
class ManagedTenant:
    """A tenant with what only its owner needs to know."""

    tenant: Tenant
    consent_asked: ConsentAsked | None = None
    pending: PendingConnection | None = None


Decision = tuple[ManagedTenant, tuple[Fact, ...]]


def added_customer(id: str, name: str, now: datetime) -> tuple[Customer, tuple[Fact, ...]]:
    """A new customer. Raises Invalid for an empty or over-long name."""
    customer = Customer(id=id, name=_named(name), added_at=now)
    return customer, (CustomerAdded(state=customer),)


def registered(
    id: str, customer: Customer, entra_tenant_id: str, name: str, domain: str, now: datetime
) -> Decision:
    """A tenant of a customer (R37). Raises Invalid, naming every wrong field at once."""
    entra, host = entra_tenant_id.strip().lower(), domain.strip().lower()
    errors: list[FieldError] = []
    if not _GUID.fullmatch(entra):
        errors.append(
            FieldError(
                "/entra_tenant_id", "the directory (tenant) id: a GUID in its 8-4-4-4-12 form"
            )
        )
    if not _DOMAIN.fullmatch(host):
        errors.append(FieldError("/domain", "a domain of the tenant: northwind.onmicrosoft.com"))
    plain = _plain(name)
    if plain is None:
        errors.append(_NAME_ERROR)
    if errors or plain is None:
        raise Invalid("a value is wrong; see errors", errors=tuple(errors))
    tenant = Tenant(
        id=id,
        customer_id=customer.id,
        entra_tenant_id=entra,
        name=plain,
        domain=host,
        consent=Consent(status="missing"),
        marketplaces=(),
        registered_at=now,
    )
    return ManagedTenant(tenant), (TenantRegistered(state=tenant),)


def consent_requested(managed: ManagedTenant, asked: ConsentAsked) -> Decision:
    """Somebody is sent to Microsoft. A consent that stands stays granted while it is renewed."""
    before = managed.tenant
    status = "granted" if before.consent.status == "granted" else "requested"
    consent = before.consent.model_copy(update={"status": status})
    after = before.model_copy(update={"consent": consent})
    fact = TenantConsentRequested(state=after, changes=_changed(before, after, "consent"))
    return replace(managed, tenant=after, consent_asked=asked), (fact,)


def open_request(managed: ManagedTenant, nonce: str) -> ConsentAsked:
    """The request that a state's nonce belongs to, while it waits for its answer (R41).

    Raises Conflict for one that was answered or replaced.
    """
    asked = managed.consent_asked
    if asked is None or asked.nonce != nonce or asked.answered:
        raise Conflict(
            "this consent request was answered already, or a newer one has replaced it; "
            "request consent again",
            code="consent_state_used",
            missing_step=_consent_step(managed.tenant.id),
        )
    return asked


def require_own_answer(managed: ManagedTenant, entra_tenant_id: str) -> None:
    """Raises Malformed when Microsoft answers for another tenant than was asked about."""
    if entra_tenant_id.lower() != managed.tenant.entra_tenant_id:
        raise Malformed(
            "Microsoft answered for another tenant; sign in as an administrator of the right one",
            code="consent_tenant_mismatch",
        )


def consented(managed: ManagedTenant, now: datetime) -> Decision:
    """The administrator accepted, and Microsoft has proven it."""
    before = managed.tenant
    consent = Consent(status="granted", permissions=PERMISSIONS, granted_at=now)
    after = before.model_copy(update={"consent": consent})
    fact = TenantConsented(state=after, changes=_changed(before, after, "consent"))
    return replace(managed, tenant=after, consent_asked=_answered(managed)), (fact,)


def declined(managed: ManagedTenant) -> Decision:
    """The administrator declined: the request is closed, and a consent that stood stands."""
    closed = replace(managed, consent_asked=_answered(managed))
    if managed.tenant.consent.status == "granted":
        return closed, ()
    return _without_consent(closed, "missing")


def found_revoked(managed: ManagedTenant) -> Decision:
    """Microsoft does not show the consent: one that stood was taken back."""
    if managed.tenant.consent.status != "granted":
        return managed, ()
    return _without_consent(managed, "revoked")


def _without_consent(managed: ManagedTenant, status: str) -> Decision:
    before = managed.tenant
    after = before.model_copy(update={"consent": Consent(status=status)})
    fact = TenantConsentRevoked(state=after, changes=_changed(before, after, "consent"))
    return replace(managed, tenant=after), (fact,)


def added(managed: ManagedTenant, marketplace: str, now: datetime) -> Decision:
    """The tenant joins a marketplace module (R34, R42), its consent just proven at Microsoft.

    A consent that Microsoft has and Purser did not know of is taken at once (R38).
    """
    if marketplace in managed.tenant.marketplaces:
        return managed, ()
    facts: tuple[Fact, ...] = ()
    if managed.tenant.consent.status != "granted":
        managed, facts = consented(managed, now)
    before = managed.tenant
    after = before.model_copy(update={"marketplaces": (*before.marketplaces, marketplace)})
    fact = TenantAdded(state=after, changes=_changed(before, after, "marketplaces"))
    return replace(managed, tenant=after), (*facts, fact)


def consent_required(tenant_id: str) -> Conflict:
    """The refusal of what needs consent (R39)."""
    return Conflict(
        "the tenant's administrator has not consented, or has taken the consent back",
        code="consent_required",
        missing_step=_consent_step(tenant_id),
    )


def connecting(managed: ManagedTenant, wanted: PendingConnection, now: datetime) -> Decision | None:
    """The reference that is saved before its reseller is asked; None when the connection stands.

    `now` is real time. Raises Conflict before the tenant is added, while it is connected to something
    else, and while somebody else is connecting it to something else.
    """
    tenant, held = managed.tenant, managed.pending
    if not tenant.marketplaces:
        raise Conflict(
            "add the tenant to the marketplace first",
            code="tenant_not_added",
            missing_step=f"PUT /v1/marketplaces/{MARKETPLACES[0]}/tenants/{tenant.id}",
        )
    if tenant.connection is not None:
        require_same(tenant.connection, wanted)
        return None
    if held is not None and _target(held) != _target(wanted) and now < held.settle_at:
        raise Conflict(
            "the tenant is being connected to something else; read it again in a moment",
            code="connection_pending",
            retry_after=(held.settle_at - now).total_seconds(),
        )
    return replace(managed, pending=wanted), ()


def require_same(held: Connection, wanted: PendingConnection) -> None:
    """Raises Conflict when the tenant is connected to something else than is wanted."""
    if (held.reseller_id, held.marketplace_customer_id) != _target(wanted):
        raise Conflict(
            "the tenant is connected to another marketplace customer",
            code="already_connected",
            reseller_id=held.reseller_id,
            marketplace_customer_id=held.marketplace_customer_id,
        )


def connected(
    managed: ManagedTenant, confirmed: PendingConnection, customer_name: str, now: datetime
) -> Decision:
    """The reseller confirmed the reference: the tenant's licences can be managed (R45, R47).

    Raises Conflict when the reference was withdrawn or replaced while the reseller was asked.
    """
    before = managed.tenant
    if before.connection is not None:
        require_same(before.connection, confirmed)
        return managed, ()
    if managed.pending is None or _target(managed.pending) != _target(confirmed):
        raise Conflict(
            "somebody else has changed this connection meanwhile; read the tenant and try again",
            code="connection_replaced",
        )
    connection = Connection(
        marketplace=before.marketplaces[0],
        reseller_id=confirmed.reseller_id,
        marketplace_customer_id=confirmed.marketplace_customer_id,
        marketplace_customer_name=customer_name,
        connected_at=now,
    )
    after = before.model_copy(update={"connection": connection})
    fact = TenantConnected(state=after, changes=_changed(before, after, "connection"))
    return replace(managed, tenant=after, pending=None), (fact,)


def withdrawn(managed: ManagedTenant, given_up: PendingConnection) -> Decision:
    """The reference is given up, unless it is somebody else's by now."""
    if managed.pending is None or _target(managed.pending) != _target(given_up):
        return managed, ()
    return replace(managed, pending=None), ()


def _target(pending: PendingConnection) -> tuple[str, str]:
    return pending.reseller_id, pending.marketplace_customer_id


def _answered(managed: ManagedTenant) -> ConsentAsked | None:
    asked = managed.consent_asked
    return replace(asked, answered=True) if asked else None


def _consent_step(tenant_id: str) -> str:
    return f"POST /v1/tenants/{tenant_id}/consent-requests"


def _changed(before: Tenant, after: Tenant, field: str) -> tuple[Change, ...]:
    old, new = (state.model_dump(mode="json")[field] for state in (before, after))
    return (Change(pointer=f"/{field}", before=old, after=new),) if old != new else ()


_NAME_ERROR = FieldError("/name", f"1 to {MAX_NAME} characters")


def _plain(name: str) -> str | None:
    plain = " ".join(name.split())
    return plain if 0 < len(plain) <= MAX_NAME and plain.isprintable() else None


def _named(name: str) -> str:
    plain = _plain(name)
    if plain is None:
        raise Invalid("a value is wrong; see errors", errors=(_NAME_ERROR,))
    return plain
