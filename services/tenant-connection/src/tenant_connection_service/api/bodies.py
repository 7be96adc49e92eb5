"""What the routes share: strict bodies, limits, and a tenant as an answer."""

from typing import Annotated

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from purser_common.errors import NotFound
from purser_common.mongo import Document
from purser_common.outbox import Loaded
from purser_common.web import answer
from purser_events.tenant import Tenant
from tenant_connection_service.domain.tenants import ManagedTenant

Limit = Annotated[int, Query(ge=1, le=200)]
Id = Annotated[str, Field(min_length=1, max_length=100)]


class Body(BaseModel):
    """What a caller sends; an unknown field is an error that names it."""

    model_config = ConfigDict(extra="forbid")


class TenantBody(Body):
    """A Microsoft 365 tenant to register."""

    entra_tenant_id: str = Field(description="The directory (tenant) id, a GUID.")
    name: str
    domain: str


class ConnectionBody(Body):
    """What the tenant is connected to."""

    reseller_id: Id
    marketplace_customer_id: Id


def known(document: Document | None) -> Document:
    """The document. Raises NotFound without one."""
    if document is None:
        raise NotFound("there is no such object, or it is not yours to see")
    return document


def answered(response: Response, loaded: Loaded[ManagedTenant]) -> Tenant:
    """A tenant as the answer to a command."""
    tenant = loaded.state.tenant
    return answer(response, f"tenant/{tenant.id}", loaded.sequence, tenant)
