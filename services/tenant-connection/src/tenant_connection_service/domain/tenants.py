"""A tenant with what only its owner knows of it, and its registration."""

import re
from dataclasses import dataclass, replace
from datetime import datetime

from purser_common.errors import Conflict, FieldError, Invalid
from purser_events.envelope import Change, Fact
from purser_events.tenant import Consent, Customer, Tenant, TenantRegistered
from tenant_connection_service.domain.names import NAME_ERROR, plain

MARKETPLACES = ("ingram-micro-xvantage",)
REGISTERED, REMOVED = "registered", "removed"
DISCONNECT, CHANGE, REMOVE = "disconnect", "change", "remove"

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


@dataclass(frozen=True)
class ConsentAsked:
    """The latest consent request: only it can be answered, once, until it expires (business time).

    It keeps what was chosen before somebody was sent to Microsoft, so that it can go on from there.
    """

    nonce: str
    expires_at: datetime
    correlation_id: str
    answer: str | None = None
    add_to: str | None = None
    reseller_id: str | None = None
    marketplace_customer_id: str | None = None


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

    @property
    def target(self) -> tuple[str, str]:
        """What the tenant is to be connected to."""
        return self.reseller_id, self.marketplace_customer_id


@dataclass(frozen=True)
class Closing:
    """What is about to be let go of: DISCONNECT, CHANGE or REMOVE; nothing is bought meanwhile.

    `settle_at` is real time, as for a pending connection.
    """

    of: str
    settle_at: datetime
    actor: str
    correlation_id: str


@dataclass(frozen=True)
class ManagedTenant:
    """A tenant with what only its owner needs to know."""

    tenant: Tenant
    consent_asked: ConsentAsked | None = None
    pending: PendingConnection | None = None
    closing: Closing | None = None


Decision = tuple[ManagedTenant, tuple[Fact, ...]]


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
    called = plain(name)
    if called is None:
        errors.append(NAME_ERROR)
    if errors or called is None:
        raise Invalid("a value is wrong; see errors", errors=tuple(errors))
    tenant = Tenant(
        id=id,
        customer_id=customer.id,
        entra_tenant_id=entra,
        name=called,
        domain=host,
        consent=Consent(status="missing"),
        marketplaces=(),
        registered_at=now,
    )
    given = (("customer_id", customer.id), ("entra_tenant_id", entra), ("name", called))
    changes = tuple(Change(pointer=f"/{field}", after=value) for field, value in given)
    return ManagedTenant(tenant), (TenantRegistered(state=tenant, changes=changes),)


def registered_again(left: ManagedTenant, anew: ManagedTenant) -> Decision:
    """A removed tenant comes back as the same one: named anew, its consent as it was left (R43)."""
    after = anew.tenant.model_copy(update={"id": left.tenant.id, "consent": left.tenant.consent})
    changes = changed(left.tenant, after, "status", "name", "domain", "registered_at")
    return ManagedTenant(after), (TenantRegistered(state=after, changes=changes),)


def require_kept(managed: ManagedTenant) -> None:
    """Raises Conflict for a tenant that was removed."""
    if managed.tenant.status == REMOVED:
        raise Conflict(
            "the tenant was removed; register it again",
            code="tenant_removed",
            missing_step=f"POST /v1/customers/{managed.tenant.customer_id}/tenants",
        )


def require_open(managed: ManagedTenant, now: datetime) -> None:
    """Raises Conflict while the tenant or its connection is about to be let go of; `now` is real."""
    require_kept(managed)
    if managed.closing is not None:
        raise tenant_closing(managed.closing, now)


def tenant_closing(closing: Closing, now: datetime) -> Conflict:
    """The refusal of what would build on something that is about to go."""
    return Conflict(
        "the tenant is just being disconnected, moved or removed; read it again in a moment",
        code="tenant_closing",
        retry_after=max(1.0, (closing.settle_at - now).total_seconds()),
    )


def with_state(managed: ManagedTenant, **fields: object) -> ManagedTenant:
    """The tenant with other fields of its public state."""
    return replace(managed, tenant=managed.tenant.model_copy(update=fields))


def changed(before: Tenant, after: Tenant, *fields: str) -> tuple[Change, ...]:
    """What differs between two states, of these fields."""
    old, new = (state.model_dump(mode="json") for state in (before, after))
    return tuple(
        Change(pointer=f"/{field}", before=old[field], after=new[field])
        for field in fields
        if old[field] != new[field]
    )
