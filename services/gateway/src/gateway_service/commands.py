"""Giving and taking roles, and recording what was asked."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from gateway_service import domain
from purser_common.errors import NotFound, Stale, VersionConflict
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from purser_common.web.requests import require_confirmed
from purser_events.access import Action, RoleAssignment
from purser_events.envelope import Fact


class Assignments(Protocol):
    """Role assignments."""

    async def load(self, id: str) -> Loaded[RoleAssignment]: ...
    async def grant(
        self,
        assignment: RoleAssignment,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[RoleAssignment]: ...
    async def save(
        self,
        loaded: Loaded[RoleAssignment],
        assignment: RoleAssignment,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[RoleAssignment]: ...


class Actions(Protocol):
    """Records of calls."""

    async def keep(self, action: Action, facts: Sequence[Fact], cause: Cause) -> None: ...


async def grant_role(
    assignments: Assignments,
    principal: str,
    role: str,
    scope: str,
    cause: Cause,
    now: datetime,
    request: Request | None = None,
) -> Loaded[RoleAssignment]:
    """Give a role; it counts from the next call on. Raises Invalid."""
    try:
        held = await assignments.load(domain.assignment_id(principal, role, scope))
        before: str | None = held.state.status
    except NotFound:
        before = None
    assignment, facts = domain.granted(principal, role, scope, now, before)
    return await assignments.grant(assignment, facts, cause, request)


async def revoke_role(
    assignments: Assignments, id: str, expected: int, confirmed: bool, cause: Cause
) -> Loaded[RoleAssignment]:
    """Take a role away; it counts from the next call on. Raises Invalid, NotFound, Stale."""
    require_confirmed(confirmed)
    held = await assignments.load(id)
    held.must_be_at(expected)
    after, facts = domain.revoked(held.state)
    if not facts:
        return held
    try:
        return await assignments.save(held, after, facts, cause)
    except VersionConflict as error:
        raise Stale from error


async def appoint_first_admins(
    assignments: Assignments, principals: Sequence[str], now: datetime
) -> None:
    """Make the configured principals platform admins; who has been revoked since stays revoked."""
    cause = Cause("service:gateway", "bootstrap-admins")
    for principal in principals:
        assignment, facts = domain.granted(principal, "platform_admin", "all", now)
        try:
            await assignments.load(assignment.id)
        except NotFound:
            await assignments.grant(assignment, facts, cause)


async def record_action(
    actions: Actions,
    id: str,
    operation: str,
    status: int,
    code: str | None,
    subject: str | None,
    cause: Cause,
    now: datetime,
) -> None:
    """Record one call with its outcome."""
    action, facts = domain.acted(id, operation, status, code, subject, cause.actor, now)
    await actions.keep(action, facts, cause)
