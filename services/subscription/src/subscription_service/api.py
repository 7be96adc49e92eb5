"""Subscriptions over HTTP."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response

from purser_common.errors import NotFound, Unavailable, VersionConflict
from purser_common.identity import ROLES, Caller
from purser_common.mongo import Document
from purser_common.telemetry import Cause
from purser_common.web import CallerOf, CauseOf, Page, answer
from purser_events.subscription import Subscription
from subscription_service.commands import Reader, read_subscription
from subscription_service.views import Views

READ_AT, STALE = "Purser-Read-At", "Purser-Stale"


def router(
    views: Views, reader: Reader, fresh: timedelta, real_now: Callable[[], datetime]
) -> APIRouter:
    """The subscription service's routes."""
    routes = APIRouter()

    @routes.get("/v1/tenants/{id}/subscriptions", operation_id="list_subscriptions")
    async def listed(
        id: str,
        caller: CallerOf,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Page[Subscription]:
        """A tenant's subscriptions, newest first."""
        found = Page[Subscription].model_validate(await views.of_tenant(id, cursor, limit))
        shown = [s for s in found.items if _visible(caller, s)]
        if not shown and not caller.may(*ROLES, tenant=id):
            raise NotFound("there is no such tenant, or it is not yours to see")
        return Page[Subscription](items=shown, next=found.next)

    @routes.get("/v1/subscriptions/{id}", operation_id="get_subscription")
    async def one(
        id: str, caller: CallerOf, cause: CauseOf, response: Response, refresh: bool = False
    ) -> Subscription:
        """One subscription; what was read longer ago than a minute is read again first."""
        document = await _found(views, id, caller)
        state = Subscription.model_validate(document["state"])
        if refresh or real_now() - document["read_at"] > fresh:
            stale = not await _read(reader, state, cause)
            document = await _found(views, id, caller)
            state = Subscription.model_validate(document["state"])
            if stale:
                response.headers[STALE] = "true"
        response.headers[READ_AT] = document["read_at"].isoformat()
        return answer(response, f"subscription/{id}", document["sequence"], state)

    return routes


def _visible(caller: Caller, subscription: Subscription) -> bool:
    return caller.may(*ROLES, customer=subscription.customer_id, tenant=subscription.tenant_id)


async def _found(views: Views, id: str, caller: Caller) -> Document:
    document = await views.one(id)
    if document is None:
        raise NotFound("there is no such subscription")
    state = document["state"]
    caller.require(*ROLES, customer=state["customer_id"], tenant=state["tenant_id"])
    return document


async def _read(reader: Reader, state: Subscription, cause: Cause) -> bool:
    """Whether it could be read again; if not, the last known state is shown and marked."""
    try:
        await read_subscription(reader, state.reseller_id, state.marketplace_subscription_id, cause)
    except (Unavailable, NotFound, VersionConflict):
        return False
    return True
