"""Consent over HTTP: what is asked for, the request, and going on after it."""

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from purser_common.identity import ROLES
from purser_common.web import CallerOf, CauseOf, Page, RequestOf
from purser_events.tenant import Tenant
from tenant_connection_service.api.bodies import Body, ConnectionBody, answered
from tenant_connection_service.commands import consent as commands
from tenant_connection_service.commands.connection import Target
from tenant_connection_service.commands.consent import Choices, ConsentFlow
from tenant_connection_service.commands.ports import Office
from tenant_connection_service.domain.consent import PERMISSIONS, require_marketplace


class ConsentRequestBody(Body):
    """What is to follow once the consent is there; kept here, only the request's id travels."""

    add_to: str | None = Field(default=None, description="The marketplace module to add it to.")
    connect: ConnectionBody | None = Field(
        default=None, description="What to connect it to then; needs `add_to`."
    )


class CompletionBody(Body):
    """Nothing is to be chosen: the choices were kept."""


class Permission(BaseModel):
    """Something that the app is to be allowed at Microsoft."""

    name: str
    purpose: str


class ConsentRequest(BaseModel):
    """A consent request: where the tenant's administrator is sent, what for, and what follows."""

    id: str
    status: str = Field(description="`waiting`, `accepted`, `declined` or `expired`.")
    tenant: Tenant
    authorization_url: str | None = Field(description="While it waits.")
    permissions: list[str]
    expires_at: datetime
    add_to: str | None
    connect: ConnectionBody | None


def add(routes: APIRouter, office: Office) -> None:
    """Add the routes of consent."""

    @routes.get("/v1/marketplaces/{marketplace}/permissions", operation_id="list_permissions")
    async def permissions(marketplace: str, caller: CallerOf) -> Page[Permission]:
        """What a tenant's administrator is asked to allow, with what each is for."""
        if not caller.grants:
            caller.require(*ROLES)
        require_marketplace(marketplace)
        return Page[Permission](
            items=[Permission(name=name, purpose=why) for name, why in PERMISSIONS.items()]
        )

    @routes.post(
        "/v1/tenants/{id}/consent-requests", operation_id="request_consent", status_code=201
    )
    async def request(
        id: str,
        body: ConsentRequestBody,
        caller: CallerOf,
        cause: CauseOf,
        keyed: RequestOf,
        response: Response,
    ) -> ConsentRequest:
        """Begin the consent; send the tenant's administrator to `authorization_url`."""
        to = body.connect
        target = Target(to.reseller_id, to.marketplace_customer_id) if to else None
        choices = Choices(body.add_to, target)
        flow = await commands.request_consent(office, id, choices, caller, cause, keyed)
        response.headers["Location"] = f"/v1/consent-requests/{flow.asked.nonce}"
        answered(response, flow.loaded)
        return _shown(flow)

    @routes.get("/v1/consent-requests/{id}", operation_id="get_consent_request")
    async def one(id: str, caller: CallerOf) -> ConsentRequest:
        """A tenant's latest consent request with what was chosen before it."""
        return _shown(await commands.view_consent_request(office, id, caller))

    @routes.post("/v1/consent-requests/{id}/completion", operation_id="complete_consent")
    async def complete(
        id: str,
        body: CompletionBody,
        caller: CallerOf,
        cause: CauseOf,
        _: RequestOf,
        response: Response,
    ) -> Tenant:
        """Go on with what was chosen: add the tenant and, if that was chosen, connect it."""
        return answered(response, await commands.complete_consent(office, id, caller, cause))


def _shown(flow: ConsentFlow) -> ConsentRequest:
    asked = flow.asked
    connect = None
    if asked.reseller_id is not None and asked.marketplace_customer_id is not None:
        connect = ConnectionBody(
            reseller_id=asked.reseller_id, marketplace_customer_id=asked.marketplace_customer_id
        )
    return ConsentRequest(
        id=asked.nonce,
        status=flow.status,
        tenant=flow.loaded.state.tenant,
        authorization_url=flow.authorization_url,
        permissions=list(PERMISSIONS),
        expires_at=asked.expires_at,
        add_to=asked.add_to,
        connect=connect,
    )
