"""Subscriptions over HTTP."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response

from purser_common.errors import FieldError, Invalid, NotFound
from purser_common.identity import ROLES, Caller
from purser_common.mongo import Document
from purser_common.web import CallerOf, CauseOf, Page, answer
from purser_events.subscription import Subscription
from subscription_service.commands.reading import Openings, Reader, read_again
from subscription_service.views import OptionDay, ShownSubscription, UnmappedPage, Views

READ_AT, STALE = "Purser-Read-At", "Purser-Stale"
Limit = Annotated[int, Query(ge=1, le=200)]


def router(
    views: Views, reader: Reader, fresh: timedelta, real_now: Callable[[], datetime]
) -> APIRouter:
    """The subscription service's routes."""
    routes = APIRouter()
    openings = Openings(reader)

    @routes.get("/v1/unmapped-subscriptions", operation_id="list_unmapped_subscriptions")
    async def unmapped(
        caller: CallerOf,
        tenant_id: str | None = None,
        cursor: str | None = None,
        limit: Limit = 50,
    ) -> UnmappedPage:
        """Subscriptions of products that nobody has mapped to a licence, newest first, and their number."""
        return await views.unmapped(caller, tenant_id, cursor, limit)

    @routes.get("/v1/subscriptions/{id}", operation_id="get_subscription")
    async def one(
        id: str, caller: CallerOf, cause: CauseOf, response: Response, refresh: bool = False
    ) -> ShownSubscription:
        """One subscription; what was read longer ago than a minute is read again first."""
        document = await _found(views, id, caller)
        state = Subscription.model_validate(document["state"])
        if refresh or real_now() - document["read_at"] > fresh:
            read = read_again(reader, state, cause) if refresh else openings.read(state, cause)
            stale = not await read
            document = await _found(views, id, caller)
            if stale:
                response.headers[STALE] = "true"
        response.headers[READ_AT] = document["read_at"].isoformat()
        (shown,) = await views.shown([document["state"]])
        return answer(response, f"subscription/{id}", document["sequence"], shown)

    @routes.get("/v1/subscriptions/{id}/history", operation_id="list_subscription_days")
    async def history(
        id: str,
        caller: CallerOf,
        since: Annotated[date | None, Query(alias="from")] = None,
        until: Annotated[date | None, Query(alias="to")] = None,
        cursor: str | None = None,
        limit: Limit = 50,
    ) -> Page[OptionDay]:
        """Seats and prices of each option by day (UTC), newest first; both days are included."""
        await _found(views, id, caller)
        if since and until and since > until:
            raise Invalid(
                "the first day is after the last",
                errors=(FieldError("/from", "choose a day that is not after `to`"),),
            )
        page = await views.history(caller, id, since, until, cursor, limit)
        return Page[OptionDay].model_validate(page)

    return routes


async def _found(views: Views, id: str, caller: Caller) -> Document:
    document = await views.one(id)
    if document is None:
        raise NotFound("there is no such subscription")
    state = document["state"]
    caller.require(*ROLES, customer=state["customer_id"], tenant=state["tenant_id"])
    return document
