"""Spend caps over HTTP."""

from decimal import Decimal

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, Field

from order_service.api.requests import Body
from order_service.commands.spending import Purse, set_cap
from order_service.domain.spending import Spent
from purser_common.identity import ROLES
from purser_common.outbox import Loaded
from purser_common.web import CallerOf, CauseOf, etag_of, if_match
from purser_events.license import SpendCap
from purser_events.values import Money


class CapMoney(Body):
    """An amount of one currency."""

    currency: str = Field(pattern="^[A-Z]{3}$", description="ISO 4217 code.")
    amount: Decimal = Field(max_digits=18, decimal_places=4)


class CapBody(Body):
    """The cap wanted."""

    daily: CapMoney | None = Field(description="Per day (UTC); null: no cap.")


class CapState(BaseModel):
    """A reseller's cap, and how much of it the day's requests spend."""

    id: str
    reseller_id: str
    daily: Money | None
    reserved_today: Money | None = Field(
        description="In the cap's currency, without requests that failed and have no order; null without a cap."
    )
    set_by: str | None
    set_at: AwareDatetime | None


def add(routes: APIRouter, purse: Purse) -> None:
    """Add the routes of spend caps."""

    @routes.get("/v1/spend-caps/{reseller_id}", operation_id="get_spend_cap")
    async def one(
        reseller_id: str, caller: CallerOf, cause: CauseOf, response: Response
    ) -> CapState:
        """How much may be bought through a reseller a day, and what is left of today."""
        caller.require(*ROLES)
        await purse.resellers.permission(reseller_id, cause)
        found = await purse.spending.cap(reseller_id)
        return await _shown(purse, reseller_id, found, response)

    @routes.put("/v1/spend-caps/{reseller_id}", operation_id="set_spend_cap")
    async def put(
        reseller_id: str,
        body: CapBody,
        caller: CallerOf,
        cause: CauseOf,
        response: Response,
        expected: int = if_match,
    ) -> CapState:
        """Set, change or lift a reseller's cap. A purchase that exceeds it is refused."""
        daily = Money(**body.daily.model_dump()) if body.daily else None
        kept = await set_cap(purse, reseller_id, daily, expected, caller, cause)
        return await _shown(purse, reseller_id, kept, response)


async def _shown(
    purse: Purse, reseller_id: str, cap: Loaded[SpendCap] | None, response: Response
) -> CapState:
    daily = cap.state.daily if cap else None
    spent = await purse.spending.spent(reseller_id, purse.now().date()) if daily else Spent()
    reserved = daily and Money(currency=daily.currency, amount=spent.total)
    response.headers["ETag"] = etag_of(cap.sequence if cap else 0)
    return CapState(
        id=reseller_id,
        reseller_id=reseller_id,
        daily=daily,
        reserved_today=reserved,
        set_by=cap.state.set_by if cap else None,
        set_at=cap.state.set_at if cap else None,
    )
