"""What is read from the gateway's own model: lists and overviews, which answer while owners are away."""

from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway_service.api.entrance import Call, Entrance
from gateway_service.api.own import json_answer
from gateway_service.store import Answer
from gateway_service.views import Views
from purser_common.errors import NotFound
from purser_common.web import Page
from purser_events.buying import BuyingStop
from purser_events.finding import Finding
from purser_events.license import LicenseChangeRequest
from purser_events.reseller import Reseller
from purser_events.subscription import Subscription
from purser_events.tenant import Customer, Tenant

T = TypeVar("T")


class Dated(Page[T], Generic[T]):
    """A page of the gateway's own model."""

    as_of: AwareDatetime = Field(description="When the newest of what you may see was heard of.")


class ResellerConnection(BaseModel):
    """Whether the marketplace takes a reseller's credentials (R21)."""

    state: str = Field(description="`working` or `broken`.")
    since: AwareDatetime
    reason: str | None = None
    detail: str | None = Field(default=None, description="What the marketplace said.")


class ListedReseller(Reseller):
    """A reseller, and whether its credentials work."""

    connection: ResellerConnection


class ReadOnly(BaseModel):
    """Why the licences can be looked at only, in the words of the refusal of a change (R3)."""

    code: str = Field(description="`tenant_not_connected` or `tenant_removed`.")
    detail: str
    missing_step: str


class TenantSubscriptions(Dated[Subscription]):
    """A page of a tenant's subscriptions."""

    read_only: ReadOnly | None = Field(description="Null: they can be changed.")


class Plain(BaseModel):
    """Which page; another parameter is refused."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(default=None, description="The `next` of the page before.")
    limit: int = Field(default=50, ge=1, le=200)

    def filters(self) -> dict[str, str]:
        """The fields that an item must have; all that are given must hold."""
        given: dict[str, str] = self.model_dump(exclude={"cursor", "limit"}, exclude_none=True)
        return given


class OfTenants(Plain):
    """Which tenants."""

    customer_id: str | None = None
    status: str | None = Field(default=None, description="As the items show it.")


class OfSubscriptions(Plain):
    """Which of a tenant's subscriptions."""

    status: str | None = Field(default=None, description="As the items show it.")
    former: bool = Field(
        default=False, description="Also those that no connection refreshes any more."
    )

    def filters(self) -> dict[str, str]:
        """The fields that an item must have."""
        return {"status": self.status} if self.status is not None else {}


class OfFindings(Plain):
    """Which findings."""

    tenant_id: str | None = None
    customer_id: str | None = None
    status: str | None = Field(default=None, description="`open` or `closed`; left out: both.")


class OfRequests(Plain):
    """Which licence change requests."""

    tenant_id: str | None = None
    customer_id: str | None = None
    status: str | None = Field(default=None, description="As the items show it.")


class Overview(BaseModel):
    """A first screen: the newest 200 of each within the caller's scope."""

    as_of: AwareDatetime
    counts: dict[str, int] = Field(description="How many of each are shown.")
    seats: dict[str, int] = Field(description="Seats of active subscriptions by product name.")
    requests_by_status: dict[str, int]
    resellers: list[Reseller]
    customers: list[Customer]
    tenants: list[Tenant]
    subscriptions: list[Subscription] = Field(description="Those of a connection.")
    findings: list[Finding] = Field(description="Those that are open.")
    requests: list[LicenseChangeRequest]
    buying_stops: list[BuyingStop]


class TenantOverview(BaseModel):
    """A tenant's page: its subscriptions and the requests that have not ended, the newest 200 of each."""

    as_of: AwareDatetime
    tenant: Tenant
    read_only: ReadOnly | None = Field(description="Null: its licences can be changed.")
    customer: Customer | None = Field(description="Null: not yours to see.")
    reseller: Reseller | None = Field(description="Null: the tenant is not connected.")
    subscriptions: list[Subscription]
    requests: list[LicenseChangeRequest]
    seats: dict[str, int] = Field(description="Seats of active subscriptions by product name.")
    subscriptions_by_status: dict[str, int]
    requests_by_status: dict[str, int]


def router(entrance: Entrance, views: Views) -> APIRouter:
    """The routes that the model serves."""
    routes = APIRouter()
    _add_of_the_msp(routes, entrance, views)
    _add_of_customers(routes, entrance, views)
    _add_findings(routes, entrance, views)
    _add_overviews(routes, entrance, views)
    return routes


def _add_of_the_msp(routes: APIRouter, entrance: Entrance, views: Views) -> None:
    @routes.get(
        "/v1/resellers", operation_id="list_resellers", responses=_ok(Dated[ListedReseller])
    )
    async def resellers(request: Request, page: Annotated[Plain, Query()]) -> Response:
        """All resellers, by display name."""

        async def tell(call: Call) -> Answer:
            return json_answer(await views.resellers(call.caller, page.cursor, page.limit))

        return await entrance.serve(request, "list_resellers", tell)

    @routes.get("/v1/customers", operation_id="list_customers", responses=_ok(Dated[Customer]))
    async def customers(request: Request, page: Annotated[Plain, Query()]) -> Response:
        """Customers within the caller's scope, newest first."""

        async def tell(call: Call) -> Answer:
            return json_answer(await views.customers(call.caller, page.cursor, page.limit))

        return await entrance.serve(request, "list_customers", tell)


def _add_of_customers(routes: APIRouter, entrance: Entrance, views: Views) -> None:
    @routes.get("/v1/tenants", operation_id="list_tenants", responses=_ok(Dated[Tenant]))
    async def tenants(request: Request, page: Annotated[OfTenants, Query()]) -> Response:
        """Tenants within the caller's scope, newest first."""

        async def tell(call: Call) -> Answer:
            wanted = page.filters()
            return json_answer(await views.tenants(call.caller, wanted, page.cursor, page.limit))

        return await entrance.serve(request, "list_tenants", tell)

    @routes.get(
        "/v1/tenants/{id}/subscriptions",
        operation_id="list_subscriptions",
        responses=_ok(TenantSubscriptions),
    )
    async def subscriptions(
        id: str, request: Request, page: Annotated[OfSubscriptions, Query()]
    ) -> Response:
        """A tenant's subscriptions, newest first; `read_only` says why none can be changed."""

        async def tell(call: Call) -> Answer:
            wanted = page.filters()
            found = await views.subscriptions(
                call.caller, id, wanted, page.former, page.cursor, page.limit
            )
            return json_answer(found)

        return await entrance.serve(request, "list_subscriptions", tell)

    @routes.get(
        "/v1/license-change-requests",
        operation_id="list_license_change_requests",
        responses=_ok(Dated[LicenseChangeRequest]),
    )
    async def requests(request: Request, page: Annotated[OfRequests, Query()]) -> Response:
        """Licence change requests within the caller's scope, newest first."""

        async def tell(call: Call) -> Answer:
            wanted = page.filters()
            return json_answer(await views.requests(call.caller, wanted, page.cursor, page.limit))

        return await entrance.serve(request, "list_license_change_requests", tell)


def _add_findings(routes: APIRouter, entrance: Entrance, views: Views) -> None:
    @routes.get("/v1/findings", operation_id="list_findings", responses=_ok(Dated[Finding]))
    async def findings(request: Request, page: Annotated[OfFindings, Query()]) -> Response:
        """What does not fit together within the caller's scope, newest first."""

        async def tell(call: Call) -> Answer:
            wanted = page.filters()
            return json_answer(await views.findings(call.caller, wanted, page.cursor, page.limit))

        return await entrance.serve(request, "list_findings", tell)


def _add_overviews(routes: APIRouter, entrance: Entrance, views: Views) -> None:
    @routes.get("/v1/overview", operation_id="get_overview", responses=_ok(Overview))
    async def overview(request: Request) -> Response:
        """Resellers, tenants, subscriptions with seats, requests and stops, in one answer."""

        async def tell(call: Call) -> Answer:
            return json_answer(await views.overview(call.caller))

        return await entrance.serve(request, "get_overview", tell)

    @routes.get(
        "/v1/tenants/{id}/overview",
        operation_id="get_tenant_overview",
        responses=_ok(TenantOverview),
    )
    async def of_tenant(id: str, request: Request) -> Response:
        """A tenant with its reseller, subscriptions, seats and open requests, in one answer."""

        async def tell(call: Call) -> Answer:
            found = await views.tenant_overview(call.caller, id)
            if found is None:
                raise NotFound("there is no such object, or it is not yours to see")
            return json_answer(found)

        return await entrance.serve(request, "get_tenant_overview", tell)


def _ok(model: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model}}
