"""Subscriptions over HTTP."""

from collections.abc import Callable
from datetime import datetime, timedelta

from fastapi import APIRouter, Response

from purser_common.errors import NotFound
from purser_common.identity import ROLES, Caller
from purser_common.mongo import Document
from purser_common.web import CallerOf, CauseOf, answer
from purser_events.subscription import Subscription
from subscription_service.commands import Openings, Reader, read_again
from subscription_service.views import Views

READ_AT, STALE = "Purser-Read-At", "Purser-Stale"


def router(
    views: Views, reader: Reader, fresh: timedelta, real_now: Callable[[], datetime]
) -> APIRouter:
    """The subscription service's routes."""
    routes = APIRouter()
    openings = Openings(reader)

    @routes.get("/v1/subscriptions/{id}", operation_id="get_subscription")
    async def one(
        id: str, caller: CallerOf, cause: CauseOf, response: Response, refresh: bool = False
    ) -> Subscription:
        """One subscription; what was read longer ago than a minute is read again first."""
        document = await _found(views, id, caller)
        state = Subscription.model_validate(document["state"])
        if refresh or real_now() - document["read_at"] > fresh:
            read = read_again(reader, state, cause) if refresh else openings.read(state, cause)
            stale = not await read
            document = await _found(views, id, caller)
            state = Subscription.model_validate(document["state"])
            if stale:
                response.headers[STALE] = "true"
        response.headers[READ_AT] = document["read_at"].isoformat()
        return answer(response, f"subscription/{id}", document["sequence"], state)

    return routes


async def _found(views: Views, id: str, caller: Caller) -> Document:
    document = await views.one(id)
    if document is None:
        raise NotFound("there is no such subscription")
    state = document["state"]
    caller.require(*ROLES, customer=state["customer_id"], tenant=state["tenant_id"])
    return document
