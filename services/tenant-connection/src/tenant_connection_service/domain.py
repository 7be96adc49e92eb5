"""Customers, tenants, consent and connection: pure decisions."""

import re
import uuid
from dataclasses import dataclass
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
    TenantRegistered,
)

MARKETPLACES = ("ingram-micro-xvantage",)
PERMISSIONS = ("LicenseAssignment.Read.All", "Organization.Read.All")
"""The least that reading licences and naming the tenant needs (domain §b)."""
STATE_LIFE = timedelta(minutes=15)

_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.I)


@dataclass(frozen=True)
class PendingConnection:
    """A connection that its reseller has not confirmed yet; it counts as a reference."""

    reseller_id: str
    marketplace_customer_id: str
    since: datetime


@dataclass(frozen=True)
class ManagedTenant:
    """A tenant with what only its owner needs to know."""

    tenant: Tenant
    consent_nonce: str | None = None
    pending: PendingConnection | None = None


Decision = tuple[ManagedTenant, tuple[Fact, ...]]


def added_customer(id: str, name: str, now: datetime) -> tuple[Customer, tuple[Fact, ...]]:
    """A new customer. Raises Invalid for an empty name."""
    customer = Customer(id=id, name=_named(name), added_at=now)
    return customer, (CustomerAdded(state=customer),)


def registered(
    id: str, customer: Customer, entra_tenant_id: str, name: str, domain: str, now: datetime
) -> Decision:
    """A tenant of a customer. Raises Invalid, naming the field."""
    try:
        entra = str(uuid.UUID(entra_tenant_id))
    except ValueError as error:
        raise _invalid("/entra_tenant_id", "the directory (tenant) id, a GUID") from error
    if not _DOMAIN.fullmatch(domain):
        raise _invalid("/domain", "a domain of the tenant, e.g. contoso.onmicrosoft.com")
    tenant = Tenant(
        id=id,
        customer_id=customer.id,
        entra_tenant_id=entra,
        name=_named(name),
        domain=domain.lower(),
        consent=Consent(status="missing"),
        marketplaces=(),
        registered_at=now,
    )
    return ManagedTenant(tenant), (TenantRegistered(state=tenant),)


def consent_requested(managed: ManagedTenant, nonce: str) -> Decision:
    """Somebody is sent to Microsoft; only the latest request can be answered."""
    before = managed.tenant
    status = "granted" if before.consent.status == "granted" else "requested"
    consent = before.consent.model_copy(update={"status": status})
    after = before.model_copy(update={"consent": consent})
    return (
        ManagedTenant(after, nonce, managed.pending),
        (TenantConsentRequested(state=after, changes=_changed(before, after, "consent")),),
    )


def check_answer(managed: ManagedTenant, nonce: str, entra_tenant_id: str) -> None:
    """An answer of Microsoft belongs to the latest request and names the tenant (R41).

    Raises Conflict for a state that was used or replaced, Malformed for another tenant's answer.
    """
    if managed.consent_nonce != nonce:
        raise Conflict(
            "this consent was answered already, or a newer one was requested",
            code="consent_state_used",
        )
    if entra_tenant_id.lower() != managed.tenant.entra_tenant_id:
        raise Malformed("Microsoft answered for another tenant", code="consent_tenant_mismatch")


def consented(managed: ManagedTenant, now: datetime) -> Decision:
    """The administrator accepted and the consent was proven at Microsoft."""
    before = managed.tenant
    consent = Consent(status="granted", permissions=PERMISSIONS, granted_at=now)
    after = before.model_copy(update={"consent": consent})
    fact = TenantConsented(state=after, changes=_changed(before, after, "consent"))
    return ManagedTenant(after, None, managed.pending), (fact,)


def added(managed: ManagedTenant, marketplace: str) -> Decision:
    """The tenant joins a marketplace module (R34, R42). Raises Conflict without consent."""
    before = managed.tenant
    if marketplace in before.marketplaces:
        return managed, ()
    if before.consent.status != "granted":
        raise consent_required(before.id)
    after = before.model_copy(update={"marketplaces": (*before.marketplaces, marketplace)})
    fact = TenantAdded(state=after, changes=_changed(before, after, "marketplaces"))
    return ManagedTenant(after, managed.consent_nonce, managed.pending), (fact,)


def consent_required(tenant_id: str) -> Conflict:
    """The refusal of what needs consent (R39)."""
    return Conflict(
        "the tenant's administrator has not consented",
        code="consent_required",
        missing_step=f"POST /v1/tenants/{tenant_id}/consent-requests",
    )


def connecting(managed: ManagedTenant, wanted: PendingConnection) -> ManagedTenant | None:
    """The reference that is saved before its reseller is asked; None when it stands already.

    Raises Conflict before the tenant is added, and while it is connected to something else.
    """
    tenant = managed.tenant
    if not tenant.marketplaces:
        raise Conflict(
            "the tenant is not added to the marketplace",
            code="tenant_not_added",
            missing_step=f"PUT /v1/marketplaces/{MARKETPLACES[0]}/tenants/{tenant.id}",
        )
    held = tenant.connection
    if held is not None:
        same = (wanted.reseller_id, wanted.marketplace_customer_id)
        if (held.reseller_id, held.marketplace_customer_id) == same:
            return None
        raise Conflict(
            "the tenant is connected already",
            code="already_connected",
            reseller_id=held.reseller_id,
            marketplace_customer_id=held.marketplace_customer_id,
        )
    return ManagedTenant(tenant, managed.consent_nonce, wanted)


def connected(managed: ManagedTenant, customer_name: str, now: datetime) -> Decision:
    """The reseller confirmed: the tenant's licences can be managed (R47)."""
    if managed.pending is None:
        raise Conflict("the connection was settled meanwhile; read the tenant again", code="busy")
    before = managed.tenant
    connection = Connection(
        marketplace=before.marketplaces[0],
        reseller_id=managed.pending.reseller_id,
        marketplace_customer_id=managed.pending.marketplace_customer_id,
        marketplace_customer_name=customer_name,
        connected_at=now,
    )
    after = before.model_copy(update={"connection": connection})
    fact = TenantConnected(state=after, changes=_changed(before, after, "connection"))
    return ManagedTenant(after, managed.consent_nonce, None), (fact,)


def withdrawn(managed: ManagedTenant) -> ManagedTenant:
    """The reference is given up: the reseller does not confirm it."""
    return ManagedTenant(managed.tenant, managed.consent_nonce, None)


def _changed(before: Tenant, after: Tenant, field: str) -> tuple[Change, ...]:
    old, new = (state.model_dump(mode="json")[field] for state in (before, after))
    return (Change(pointer=f"/{field}", before=old, after=new),) if old != new else ()


def _named(name: str) -> str:
    plain = " ".join(name.split())
    if not plain or len(plain) > 200:
        raise _invalid("/name", "1 to 200 characters")
    return plain


def _invalid(pointer: str, remedy: str) -> Invalid:
    return Invalid("a value is wrong; see errors", errors=(FieldError(pointer, remedy),))
