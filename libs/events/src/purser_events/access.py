"""Facts about who may do what and who did what, published by the gateway."""

from typing import ClassVar

from pydantic import AwareDatetime, Field

from purser_events.envelope import Fact, Published


class RoleAssignment(Published):
    """A role that a subject holds in a scope."""

    id: str
    principal: str = Field(description="`user:…`, `client:…` or `group:…` as the issuer names it.")
    role: str
    scope: str = Field(description="`all`, `customer/<id>` or `tenant/<id>`.")
    granted_at: AwareDatetime
    status: str = Field(default="granted", description="`granted` or `revoked`.")


class AccessFact(Fact):
    """A fact about a role assignment."""

    state: RoleAssignment


class AccessGranted(AccessFact):
    """A role was given."""

    TOPIC: ClassVar[str] = "access.granted"


class AccessRevoked(AccessFact):
    """A role was taken away."""

    TOPIC: ClassVar[str] = "access.revoked"


class Action(Published):
    """One authenticated call of the public API that was meant to change something."""

    id: str
    operation: str = Field(description="Operation id in the gateway's OpenAPI.")
    outcome: str = Field(description="`performed` or `refused`.")
    status: int = Field(description="HTTP status of the answer.")
    code: str | None = Field(default=None, description="Problem code of a refusal.")
    subject: str | None = Field(default=None, description="`<aggregate>/<id>` where known.")
    actor: str
    at: AwareDatetime


class ActionFact(Fact):
    """A fact about a call."""

    state: Action


class ActionPerformed(ActionFact):
    """A call did what it was asked to do."""

    TOPIC: ClassVar[str] = "action.performed"


class ActionRefused(ActionFact):
    """A call was refused."""

    TOPIC: ClassVar[str] = "action.refused"
