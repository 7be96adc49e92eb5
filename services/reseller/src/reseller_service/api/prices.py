"""Price plans over HTTP."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Protocol

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from purser_common.errors import FieldError, Invalid
from purser_common.outbox import Loaded
from purser_common.web import (
    CallerOf,
    CauseOf,
    Page,
    RequestOf,
    answer,
    confirmed,
    if_match,
    position,
)
from purser_common.web import cursor as cursor_of
from purser_events.price import PricePlan, PriceTier
from purser_events.values import Money
from reseller_service.api.mapping import ProductRequest
from reseller_service.api.resellers import Limit, require_role
from reseller_service.commands import prices as commands
from reseller_service.commands.catalogue import Known
from reseller_service.commands.prices import Applied, Edit, PriceBook
from reseller_service.domain import prices as rules
from reseller_service.domain.prices import Entry, GivenTier, Plan

_AMOUNT = r"^\d{1,12}(\.\d{1,4})?$"
_PERCENT = r"^[+-]?\d{1,5}(\.\d{1,4})?$"
_Word = Annotated[str, Field(min_length=1, max_length=50)]
Mark = Annotated[
    Literal["changed", "vanished", "unknown"] | None, Query(description="Only plans so marked.")
]


class Views(Protocol):
    """Reads this service's own database."""

    async def price_plans(
        self, reseller_id: str, mark: str | None, cursor: str | None, limit: int
    ) -> tuple[list[Loaded[Plan]], str | None]: ...


class MoneyRequest(BaseModel):
    """An amount; a decimal string, never a number."""

    model_config = ConfigDict(extra="forbid")

    currency: str = Field(pattern=r"^[A-Z]{3}$", examples=["USD"])
    amount: str = Field(
        pattern=_AMOUNT, description="Not negative, at most 4 decimal places.", examples=["27.50"]
    )


class TierRequest(BaseModel):
    """A price; of a product with one price, `money` is enough."""

    model_config = ConfigDict(extra="forbid")

    type: _Word | None = None
    model: _Word | None = None
    lower_limit: int | None = Field(default=None, ge=0, le=2**31 - 1)
    money: MoneyRequest


OwnPrice = Annotated[list[TierRequest], Field(min_length=1, max_length=50)]


class PlanRequest(BaseModel):
    """A plan: one product of the catalogue, by vendor, part number and both periods."""

    model_config = ConfigDict(extra="forbid")

    product: ProductRequest
    own_price: OwnPrice | None = Field(default=None, description="Left out: to be set later.")


class PlanPatch(BaseModel):
    """What to change; setting the price acknowledges a mark, too."""

    model_config = ConfigDict(extra="forbid")

    own_price: OwnPrice | None = Field(default=None, description="Null removes the own price.")
    acknowledge: Literal[True] | None = Field(default=None, description="Clears the mark.")


class UniformRequest(BaseModel):
    """An increase over the current reseller price, for the selected plans."""

    model_config = ConfigDict(extra="forbid")

    plan_ids: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        min_length=1, max_length=200
    )
    increase_percent: str = Field(
        pattern=_PERCENT,
        description="Decimal string, more than -100, at most 4 places.",
        examples=["12.5"],
    )

    @field_validator("plan_ids")
    @classmethod
    def _each_once(cls, ids: list[str]) -> list[str]:
        if len(set(ids)) < len(ids):
            raise ValueError("must name each plan once")
        return ids


class PricePlanView(PricePlan):
    """A plan as it is shown; what the reseller pays is for price admins, else null."""

    listed: bool = Field(description="False: the marketplace lists the product no longer.")
    reseller_price: tuple[PriceTier, ...] | None = Field(
        description="What the reseller pays, as last read; null: unknown, or you are no price admin."
    )
    seen_reseller_price: tuple[PriceTier, ...] | None = Field(
        description="What it paid when the plan was last priced or acknowledged."
    )
    difference: tuple[PriceTier, ...] | None = Field(description="Own price less reseller price.")
    read_at: datetime | None
    stale: bool = Field(description="True: the marketplace may say something else by now.")


class UniformResult(BaseModel):
    """What a uniform price did to one plan."""

    plan_id: str
    status: Literal["set", "refused"]
    reason: str | None = Field(
        default=None, description="`baseline_unknown`, `not_found`, `busy`; null when it was set."
    )
    detail: str | None = None
    plan: PricePlanView | None = None


class UniformResults(BaseModel):
    """One result for each selected plan, in their order."""

    results: list[UniformResult]


def router(book: PriceBook, views: Views) -> APIRouter:
    """The public routes about price plans."""
    routes = APIRouter(prefix="/v1/resellers/{id}/price-plans", tags=["price plans"])
    _list_routes(routes, book, views)
    _uniform_route(routes, book)
    _plan_routes(routes, book)
    return routes


def _list_routes(routes: APIRouter, book: PriceBook, views: Views) -> None:
    @routes.post("", status_code=201, operation_id="add_price_plan")
    async def add(
        id: str,
        body: PlanRequest,
        caller: CallerOf,
        cause: CauseOf,
        keyed: RequestOf,
        response: Response,
    ) -> PricePlanView:
        """Add a plan for a product, with the reseller's own price or without one yet."""
        loaded = await commands.add_plan(
            book, id, body.product.identity(), _given(body.own_price), caller, cause, keyed
        )
        path = f"/v1/resellers/{id}/price-plans/{loaded.stamp.id}"
        response.headers["Location"] = path
        return await _answered(response, book, loaded)

    @routes.get("", operation_id="list_price_plans")
    async def listed(
        id: str,
        caller: CallerOf,
        mark: Mark = None,
        cursor: str | None = None,
        limit: Limit = 50,
    ) -> Page[PricePlanView]:
        """The reseller's price plans, by product name."""
        require_role(caller)
        await book.window.resellers.load(id)
        found, following = await views.price_plans(id, mark, cursor, limit)
        known = await commands.known_products(book, id, [loaded.stamp.id for loaded in found])
        costs = caller.may("price_admin")
        items = [_view(one.state, known.get(one.stamp.id), costs) for one in found]
        return Page[PricePlanView](items=items, next=following)


def _uniform_route(routes: APIRouter, book: PriceBook) -> None:
    @routes.post("/uniform-price", operation_id="set_uniform_price")
    async def uniform(
        id: str, body: UniformRequest, caller: CallerOf, cause: CauseOf, keyed: RequestOf
    ) -> UniformResults:
        """Price the selected plans at the current reseller price plus a percentage.

        Each tier becomes *reseller price* × (1 + p/100), rounded half up to the places of the reseller
        price, at least 2 and at most 4. A plan whose reseller price is not known is refused with
        `baseline_unknown`; the others are done.
        """
        applied = await commands.set_uniform_price(
            book, id, body.plan_ids, body.increase_percent, caller, cause, keyed
        )
        known = await commands.known_products(book, id, body.plan_ids)
        return UniformResults(results=[_result(one, known) for one in applied])


def _plan_routes(routes: APIRouter, book: PriceBook) -> None:
    @routes.get("/{plan_id}", operation_id="view_price_plan")
    async def one(id: str, plan_id: str, caller: CallerOf, response: Response) -> PricePlanView:
        """One price plan."""
        require_role(caller)
        loaded = await commands.view_plan(book, id, plan_id)
        return await _answered(response, book, loaded, caller.may("price_admin"))

    @routes.patch("/{plan_id}", operation_id="change_price_plan")
    async def change(
        id: str,
        plan_id: str,
        body: PlanPatch,
        caller: CallerOf,
        cause: CauseOf,
        response: Response,
        expected: int = if_match,
    ) -> PricePlanView:
        """Set or remove the own price, or acknowledge what the plan is marked with."""
        edit = _edit(body)
        loaded = await commands.change_plan(book, id, plan_id, edit, expected, caller, cause)
        return await _answered(response, book, loaded)

    @routes.delete("/{plan_id}", operation_id="delete_price_plan", dependencies=[confirmed])
    async def delete(
        id: str,
        plan_id: str,
        caller: CallerOf,
        cause: CauseOf,
        response: Response,
        expected: int = if_match,
    ) -> PricePlanView:
        """Delete a plan; what the marketplace asks applies again."""
        loaded = await commands.delete_plan(book, id, plan_id, expected, caller, cause)
        return await _answered(response, book, loaded)

    @routes.get("/{plan_id}/history", operation_id="list_price_history")
    async def history(
        id: str,
        plan_id: str,
        caller: CallerOf,
        cursor: str | None = None,
        limit: Limit = 50,
    ) -> Page[Entry]:
        """Every change of the plan's own price with who made it and when, newest first."""
        require_role(caller)
        loaded = await commands.view_plan(book, id, plan_id)
        after = position(cursor, int)
        entries = [
            entry
            for entry in reversed(loaded.state.history)
            if after is None or entry.number < after[0]
        ]
        shown = [_entry(entry, caller.may("price_admin")) for entry in entries[:limit]]
        more = len(entries) > limit
        return Page[Entry](items=shown, next=cursor_of(shown[-1].number) if more else None)


def _entry(entry: Entry, costs: bool) -> Entry:
    """A change; with its percentage a price tells what the reseller pays."""
    return entry if costs else entry.model_copy(update={"increase_percent": None})


def _given(tiers: Sequence[TierRequest] | None) -> tuple[GivenTier, ...] | None:
    if tiers is None:
        return None
    return tuple(
        GivenTier(
            money=Money(currency=tier.money.currency, amount=tier.money.amount),
            type=tier.type,
            model=tier.model,
            lower_limit=tier.lower_limit,
        )
        for tier in tiers
    )


def _edit(body: PlanPatch) -> Edit:
    priced = "own_price" in body.model_fields_set
    if not priced and not body.acknowledge:
        raise Invalid(
            "name what to change",
            errors=(
                FieldError("/own_price", "give a price, or null for none"),
                FieldError("/acknowledge", "true clears the mark"),
            ),
        )
    return Edit(_given(body.own_price), priced)


async def _answered(
    response: Response, book: PriceBook, loaded: Loaded[Plan], costs: bool = True
) -> PricePlanView:
    id = loaded.stamp.id
    known = await commands.known_products(book, loaded.state.state.reseller_id, [id])
    shown = _view(loaded.state, known.get(id), costs)
    return answer(response, f"price-plan/{id}", loaded.sequence, shown)


def _view(plan: Plan, known: Known | None, costs: bool) -> PricePlanView:
    paid = rules.seen(known.kept if known else None).costs if costs else None
    state = {name: getattr(plan.state, name) for name in PricePlan.model_fields}
    return PricePlanView(
        **state,
        listed=known.kept.listed if known else False,
        reseller_price=paid,
        seen_reseller_price=plan.accepted.costs if costs else None,
        difference=rules.difference(plan.state.own_price, paid),
        read_at=known.read_at if known else None,
        stale=known.stale if known else True,
    )


def _result(applied: Applied, products: dict[str, Known]) -> UniformResult:
    if applied.plan is None:
        return UniformResult(
            plan_id=applied.plan_id,
            status="refused",
            reason=applied.reason,
            detail=applied.detail,
        )
    view = _view(applied.plan.state, products.get(applied.plan_id), costs=True)
    return UniformResult(plan_id=applied.plan_id, status="set", plan=view)
