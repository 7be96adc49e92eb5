"""Role assignments, the record of calls, and what a tenant's page says: pure decisions."""

import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from purser_common.errors import FieldError, Invalid
from purser_events.access import (
    AccessGranted,
    AccessRevoked,
    Action,
    ActionPerformed,
    ActionRefused,
    RoleAssignment,
)
from purser_events.envelope import Change, Fact

ROLES = (
    "viewer",
    "requester",
    "approver",
    "purchaser",
    "price_admin",
    "credential_admin",
    "auditor",
    "platform_admin",
)

_ASSIGNMENTS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:purser:role-assignments")
_PRINCIPAL = re.compile(r"(user|client|group):\S.{0,199}")
_SCOPE = re.compile(r"all|(customer|tenant)/[A-Za-z0-9-]{1,64}")


def assignment_id(principal: str, role: str, scope: str) -> str:
    """The id of an assignment: granting the same again is the same assignment."""
    return str(uuid.uuid5(_ASSIGNMENTS, f"{principal}|{role}|{scope}"))


def granted(
    principal: str, role: str, scope: str, now: datetime, before: str | None = None
) -> tuple[RoleAssignment, tuple[Fact, ...]]:
    """Give a role; `before` is the status of one that was given already. Raises Invalid."""
    errors = []
    if not _PRINCIPAL.fullmatch(principal):
        errors.append(
            FieldError("/principal", "user:…, client:… or group:… as the issuer names it")
        )
    if role not in ROLES:
        errors.append(FieldError("/role", f"one of {', '.join(ROLES)}"))
    if not _SCOPE.fullmatch(scope):
        errors.append(FieldError("/scope", "all, customer/<id> or tenant/<id>"))
    if errors:
        raise Invalid("the role cannot be given like this", errors=tuple(errors))
    assignment = RoleAssignment(
        id=assignment_id(principal, role, scope),
        principal=principal,
        role=role,
        scope=scope,
        granted_at=now,
    )
    change = Change(pointer="/status", before=before, after=assignment.status)
    return assignment, (AccessGranted(state=assignment, changes=(change,)),)


def revoked(assignment: RoleAssignment) -> tuple[RoleAssignment, tuple[Fact, ...]]:
    """Take a role away; taking it away again changes nothing."""
    if assignment.status == "revoked":
        return assignment, ()
    after = assignment.model_copy(update={"status": "revoked"})
    change = Change(pointer="/status", before=assignment.status, after=after.status)
    return after, (AccessRevoked(state=after, changes=(change,)),)


def acted(
    id: str,
    operation: str,
    status: int,
    code: str | None,
    subject: str | None,
    actor: str,
    now: datetime,
) -> tuple[Action, tuple[Fact, ...]]:
    """The record of one call."""
    outcome = "performed" if status < 400 else "refused"
    action = Action(
        id=id,
        operation=operation,
        outcome=outcome,
        status=status,
        code=code,
        subject=subject,
        actor=actor,
        at=now,
    )
    fact = ActionPerformed if outcome == "performed" else ActionRefused
    return action, (fact(state=action),)


def connection_of(reseller: Mapping[str, Any], account: Mapping[str, Any] | None) -> dict[str, Any]:
    """Whether the marketplace takes a reseller's credentials (R21).

    They are proven before they are stored, so they work until a use of just these says otherwise.
    """
    proven = datetime.fromisoformat(reseller["credentials_set_at"])
    if account is None or datetime.fromisoformat(account["credentials_set_at"]) < proven:
        account = {"status": "working", "since": reseller["credentials_set_at"]}
    shown = {name: account.get(name) for name in ("since", "reason", "detail")}
    return {"state": account["status"], **shown}


def read_only(tenant: Mapping[str, Any]) -> dict[str, str] | None:
    """Why the licences of a tenant cannot be changed now (R3); None when they can."""
    if tenant["status"] == "removed":
        return {
            "code": "tenant_removed",
            "detail": "the tenant was removed; register it again",
            "missing_step": f"POST /v1/customers/{tenant['customer_id']}/tenants",
        }
    if tenant["connection"] is None:
        return {
            "code": "tenant_not_connected",
            "detail": "the tenant is not connected to a marketplace customer",
            "missing_step": f"PUT /v1/tenants/{tenant['id']}/connection",
        }
    return None
