"""What the order service asks and says of an account: may it send, and what is unresolved."""

from fastapi import APIRouter
from pydantic import BaseModel

from purser_common.web import CallerOf
from reseller_service.commands import accounts
from reseller_service.commands.accounts import Gatekeeper
from reseller_service.domain.accounts import Permission
from reseller_service.domain.sending import attempt_id


class Unresolved(BaseModel):
    """How many orders of an account have an outcome that is being established."""

    reseller_id: str
    unresolved: int


def router(keeper: Gatekeeper) -> APIRouter:
    """The routes about accounts, for the order service."""
    routes = APIRouter(prefix="/internal/accounts/{id}", include_in_schema=False)

    @routes.get("")
    async def asked(id: str, caller: CallerOf, attempt: str | None = None) -> Permission:
        caller.require_service("order")
        named = attempt_id(attempt) if attempt is not None else None
        return await accounts.permission(keeper, id, named)

    @routes.put("/sends/{attempt:path}")
    async def take(id: str, attempt: str, caller: CallerOf) -> Permission:
        caller.require_service("order")
        return await accounts.take(keeper, id, attempt_id(attempt))

    @routes.put("/unresolved/{request_id}")
    async def begin(id: str, request_id: str, caller: CallerOf) -> Unresolved:
        caller.require_service("order")
        count = await accounts.begin_verifying(keeper, id, request_id)
        return Unresolved(reseller_id=id, unresolved=count)

    @routes.delete("/unresolved/{request_id}")
    async def end(id: str, request_id: str, caller: CallerOf) -> Unresolved:
        caller.require_service("order")
        count = await accounts.end_verifying(keeper, id, request_id)
        return Unresolved(reseller_id=id, unresolved=count)

    return routes
