"""Consent of a tenant's administrator, and the module that needs it."""

from dataclasses import replace
from datetime import datetime, timedelta

from purser_common.errors import Conflict, FieldError, Invalid, Malformed, NotFound
from purser_events.envelope import Fact
from purser_events.tenant import (
    Consent,
    TenantAdded,
    TenantConsented,
    TenantConsentRequested,
    TenantConsentRevoked,
)
from tenant_connection_service.domain.tenants import (
    MARKETPLACES,
    ConsentAsked,
    Decision,
    ManagedTenant,
    changed,
    with_state,
)

PERMISSIONS = {
    "LicenseAssignment.Read.All": "read the licences of the organization and who has them",
    "Organization.Read.All": "read the name and the domains of the organization",
}
"""The least that reading licences and naming the tenant needs, with what each is for (R40)."""
STATE_LIFE = timedelta(minutes=15)
WAITING, ACCEPTED, DECLINED, EXPIRED = "waiting", "accepted", "declined", "expired"


def require_marketplace(marketplace: str) -> None:
    """Raises NotFound for a marketplace that there is not."""
    if marketplace not in MARKETPLACES:
        raise NotFound(f"there is no such marketplace; one of: {', '.join(MARKETPLACES)}")


def require_choices(add_to: str | None, connects: bool) -> None:
    """Raises Invalid for choices that could not be carried out after the consent."""
    if add_to is not None and add_to not in MARKETPLACES:
        error = FieldError("/add_to", f"one of: {', '.join(MARKETPLACES)}")
    elif connects and add_to is None:
        error = FieldError("/add_to", "a tenant is added to the marketplace before it is connected")
    else:
        return
    raise Invalid("what is to follow the consent cannot be done", errors=(error,))


def consent_requested(managed: ManagedTenant, asked: ConsentAsked) -> Decision:
    """Somebody is sent to Microsoft. A consent that stands stays granted while it is renewed."""
    before = managed.tenant
    status = "granted" if before.consent.status == "granted" else "requested"
    after = with_state(managed, consent=before.consent.model_copy(update={"status": status}))
    changes = changed(before, after.tenant, "consent")
    fact = TenantConsentRequested(state=after.tenant, changes=changes)
    return replace(after, consent_asked=asked), (fact,)


def open_request(managed: ManagedTenant, nonce: str) -> ConsentAsked:
    """The request that a state's nonce belongs to, while it waits for its answer (R41).

    Raises Conflict for one that was answered or replaced.
    """
    asked = managed.consent_asked
    if asked is None or asked.nonce != nonce or asked.answer is not None:
        raise Conflict(
            "this consent request was answered already, or a newer one has replaced it; "
            "request consent again",
            code="consent_state_used",
            missing_step=_consent_step(managed.tenant.id),
        )
    return asked


def status_of(asked: ConsentAsked, now: datetime) -> str:
    """How far a consent request has come; `now` is business time."""
    if asked.answer is not None:
        return asked.answer
    return EXPIRED if asked.expires_at <= now else WAITING


def chosen(tenant_id: str, asked: ConsentAsked, now: datetime) -> str:
    """The module that an accepted request is to go on with (R42).

    Raises Conflict while it waits, for one that was declined or has expired, and for one without
    choices.
    """
    status = status_of(asked, now)
    if status != ACCEPTED:
        raise Conflict(
            f"this consent request is {status}; only an accepted one goes on",
            code=f"consent_{status}",
            missing_step=_consent_step(tenant_id),
        )
    if asked.add_to is None:
        raise Conflict(
            "this consent request keeps no choices to go on with",
            code="consent_without_choices",
            missing_step=f"PUT /v1/marketplaces/{MARKETPLACES[0]}/tenants/{tenant_id}",
        )
    return asked.add_to


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
    consent = Consent(status="granted", permissions=tuple(PERMISSIONS), granted_at=now)
    after = with_state(managed, consent=consent)
    fact = TenantConsented(state=after.tenant, changes=changed(before, after.tenant, "consent"))
    return _answered(after, ACCEPTED), (fact,)


def declined(managed: ManagedTenant) -> Decision:
    """The administrator declined: the request is closed, and a consent that stood stands."""
    closed = _answered(managed, DECLINED)
    if managed.tenant.consent.status == "granted":
        return closed, ()
    return _without_consent(closed, "missing")


def found_revoked(managed: ManagedTenant) -> Decision:
    """Microsoft does not show the consent: one that stood was taken back."""
    if managed.tenant.consent.status != "granted":
        return managed, ()
    return _without_consent(managed, "revoked")


def found_consented(managed: ManagedTenant, now: datetime) -> Decision:
    """Microsoft shows the consent: one that Purser did not know of is taken at once (R38)."""
    if managed.tenant.consent.status == "granted":
        return managed, ()
    return consented(managed, now)


def _without_consent(managed: ManagedTenant, status: str) -> Decision:
    before = managed.tenant
    after = with_state(managed, consent=Consent(status=status))
    fact = TenantConsentRevoked(
        state=after.tenant, changes=changed(before, after.tenant, "consent")
    )
    return after, (fact,)


def added(managed: ManagedTenant, marketplace: str, now: datetime) -> Decision:
    """The tenant joins a marketplace module (R34, R42), its consent just proven at Microsoft."""
    if marketplace in managed.tenant.marketplaces:
        return managed, ()
    facts: tuple[Fact, ...]
    managed, facts = found_consented(managed, now)
    before = managed.tenant
    after = with_state(managed, marketplaces=(*before.marketplaces, marketplace))
    fact = TenantAdded(state=after.tenant, changes=changed(before, after.tenant, "marketplaces"))
    return after, (*facts, fact)


def consent_required(tenant_id: str) -> Conflict:
    """The refusal of what needs consent (R39)."""
    return Conflict(
        "the tenant's administrator has not consented, or has taken the consent back",
        code="consent_required",
        missing_step=_consent_step(tenant_id),
    )


def _answered(managed: ManagedTenant, answer: str) -> ManagedTenant:
    asked = managed.consent_asked
    if asked is None or asked.answer is not None:
        return managed
    return replace(managed, consent_asked=replace(asked, answer=answer))


def _consent_step(tenant_id: str) -> str:
    return f"POST /v1/tenants/{tenant_id}/consent-requests"
