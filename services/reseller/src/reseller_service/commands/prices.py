"""Price plans: adding, pricing one by one or uniformly, acknowledging, deleting, and marking."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from purser_common.errors import FieldError, Invalid, NotFound, Problem, VersionConflict
from purser_common.identity import Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.values import ProductIdentity, product_id
from reseller_service.commands import catalogue
from reseller_service.commands.catalogue import Known, Window
from reseller_service.domain import prices as rules
from reseller_service.domain.catalogue import Kept
from reseller_service.domain.prices import ACTIVE, Act, GivenTier, Plan, Seen

ATTEMPTS = 3
READ_WITHIN = 20.0
"""Seconds for reading the reseller prices of all plans that a uniform price is for."""
_AT_ONCE = 4


class Plans(Protocol):
    """Where plans are kept."""

    async def find(self, id: str) -> Loaded[Plan] | None: ...
    async def replayed(self, id: str, request: Request) -> Loaded[Plan] | None: ...
    async def of_reseller(self, reseller_id: str, after: str) -> list[Loaded[Plan]]: ...
    async def insert(
        self, plan: Plan, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[Plan] | None: ...
    async def save(
        self,
        loaded: Loaded[Plan],
        plan: Plan,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[Plan]: ...


class Products(Protocol):
    """The kept catalogue."""

    async def find(self, id: str) -> Kept | None: ...
    async def find_all(self, ids: Sequence[str]) -> dict[str, Kept]: ...


@dataclass(frozen=True)
class PriceBook:
    """What plans need."""

    plans: Plans
    products: Products
    window: Window
    now: Callable[[], datetime]


@dataclass(frozen=True)
class Edit:
    """What to change of a plan."""

    own_price: tuple[GivenTier, ...] | None
    prices: bool
    """Whether the own price is set (or, without one, removed); else only the mark is acknowledged."""


@dataclass(frozen=True)
class Applied:
    """What a uniform price did to one plan; `reason` says why nothing."""

    plan_id: str
    plan: Loaded[Plan] | None = None
    reason: str | None = None
    detail: str | None = None


async def add_plan(
    book: PriceBook,
    reseller_id: str,
    product: ProductIdentity,
    own_price: tuple[GivenTier, ...] | None,
    caller: Caller,
    cause: Cause,
    request: Request,
) -> Loaded[Plan]:
    """Add a plan: vendor, product, subscription period and billing period (R29), priced or not (R30).

    Raises Forbidden; NotFound for the reseller; Invalid for a product that it does not sell and for a
    price in other tiers or another currency; Conflict for a product that has a plan.
    """
    caller.require("price_admin")
    id = product_id(reseller_id, product)
    earlier = await book.plans.replayed(id, request)
    if earlier is not None:
        return earlier
    await catalogue.ready(book.window, reseller_id)
    kept = await book.products.find(id)
    if kept is None or not kept.listed:
        raise Invalid(
            "the reseller does not sell this product",
            code="unknown_product",
            errors=(FieldError("/product", f"choose from /v1/resellers/{reseller_id}/products"),),
        )
    tiers = rules.shaped(own_price, kept.listing) if own_price else None
    act = Act(by=cause.actor, at=book.now(), reason="added")
    for _ in range(ATTEMPTS):
        before = await book.plans.find(id)
        plan, facts = rules.plan_added(before.state if before else None, kept, tiers, act)
        try:
            if before is not None:
                return await book.plans.save(before, plan, facts, cause, request)
            added = await book.plans.insert(plan, facts, cause, request)
        except VersionConflict:
            added = None
        if added is not None:
            return added
        earlier = await book.plans.replayed(id, request)
        if earlier is not None:
            return earlier
    raise VersionConflict(id)


async def view_plan(book: PriceBook, reseller_id: str, id: str) -> Loaded[Plan]:
    """A plan of a reseller. Raises NotFound, also for one that was deleted."""
    found = await book.plans.find(id)
    if (
        found is None
        or found.state.state.reseller_id != reseller_id
        or found.state.state.status != ACTIVE
    ):
        raise NotFound("there is no such price plan")
    return found


async def known_products(book: PriceBook, reseller_id: str, ids: Sequence[str]) -> dict[str, Known]:
    """What is known of the products of plans, by id, each with its age."""
    standing, _ = await book.window.syncs.standing(reseller_id)
    kept = await book.products.find_all(ids)
    return {id: catalogue.known(book.window, one, standing) for id, one in kept.items()}


async def change_plan(
    book: PriceBook,
    reseller_id: str,
    id: str,
    edit: Edit,
    expected: int,
    caller: Caller,
    cause: Cause,
) -> Loaded[Plan]:
    """Set or remove the own price (R30), or take note of what the mark says.

    Raises Forbidden, NotFound, Stale, Invalid for a price in other tiers or another currency.
    """
    caller.require("price_admin")

    def decide(plan: Plan, kept: Kept | None) -> tuple[Plan, tuple[Fact, ...]]:
        now = rules.seen(kept)
        if not edit.prices:
            return rules.acknowledged(plan, now)
        tiers = rules.shaped(edit.own_price, kept.listing) if edit.own_price and kept else None
        reason = "removed" if tiers is None else "set"
        return rules.price_set(plan, tiers, now, Act(cause.actor, book.now(), reason))

    return await _change(book, reseller_id, id, expected, decide, cause)


async def delete_plan(
    book: PriceBook, reseller_id: str, id: str, expected: int, caller: Caller, cause: Cause
) -> Loaded[Plan]:
    """Delete a plan; what the marketplace asks applies again. Raises Forbidden, NotFound, Stale."""
    caller.require("price_admin")

    def decide(plan: Plan, _: Kept | None) -> tuple[Plan, tuple[Fact, ...]]:
        return rules.plan_deleted(plan, Act(cause.actor, book.now(), "deleted"))

    return await _change(book, reseller_id, id, expected, decide, cause)


async def _change(
    book: PriceBook,
    reseller_id: str,
    id: str,
    expected: int,
    decide: Callable[[Plan, Kept | None], tuple[Plan, tuple[Fact, ...]]],
    cause: Cause,
) -> Loaded[Plan]:
    for _ in range(ATTEMPTS):
        loaded = await view_plan(book, reseller_id, id)
        loaded.must_be_at(expected, "the plan")
        plan, facts = decide(loaded.state, await book.products.find(id))
        try:
            return await book.plans.save(loaded, plan, facts, cause)
        except VersionConflict:
            continue
    raise VersionConflict(id)


# -- the uniform price -----------------------------------------------------------------------------


async def set_uniform_price(
    book: PriceBook,
    reseller_id: str,
    plan_ids: Sequence[str],
    increase_percent: str,
    caller: Caller,
    cause: Cause,
    request: Request,
) -> list[Applied]:
    """Price these plans at the current reseller price raised by a percentage (R31, R32).

    The reseller price is read live; a plan without one is refused, the others are done. Raises
    Forbidden, NotFound for the reseller, Invalid for the percentage.
    """
    caller.require("price_admin")
    rules.percentage(increase_percent)
    await book.window.resellers.load(reseller_id)
    slots = asyncio.Semaphore(_AT_ONCE)
    deadline = asyncio.get_running_loop().time() + READ_WITHIN

    async def one(plan_id: str) -> Applied:
        async with slots:
            earlier = await book.plans.replayed(plan_id, request)
            if earlier is not None:
                return Applied(plan_id, plan=earlier)
            return await _uniform(
                book, reseller_id, plan_id, increase_percent, deadline, cause, request
            )

    return list(await asyncio.gather(*(one(id) for id in plan_ids)))


async def _uniform(
    book: PriceBook,
    reseller_id: str,
    plan_id: str,
    increase_percent: str,
    deadline: float,
    cause: Cause,
    request: Request,
) -> Applied:
    try:
        loaded = await view_plan(book, reseller_id, plan_id)
    except NotFound as problem:
        return Applied(plan_id, reason="not_found", detail=problem.detail)
    try:
        async with asyncio.timeout_at(deadline):
            now = await _read_now(book, reseller_id, loaded.state)
    except (Problem, TimeoutError) as error:
        said = error.detail if isinstance(error, Problem) else "no answer in time"
        detail = f"the reseller price could not be read now: {said}"
        return Applied(plan_id, reason="baseline_unknown", detail=detail)
    base, why = rules.baseline(now)
    if base is None:
        return Applied(plan_id, reason="baseline_unknown", detail=why)
    tiers = rules.uniform(base, rules.percentage(increase_percent))
    act = Act(cause.actor, book.now(), "uniform", increase_percent)
    for _ in range(ATTEMPTS):
        plan, facts = rules.price_set(loaded.state, tiers, now, act)
        try:
            saved = await book.plans.save(loaded, plan, facts, cause, request)
            return Applied(plan_id, plan=saved)
        except VersionConflict:
            try:
                loaded = await view_plan(book, reseller_id, plan_id)
            except NotFound as problem:
                return Applied(plan_id, reason="not_found", detail=problem.detail)
    return Applied(plan_id, reason="busy", detail="somebody else is changing this; try again")


async def _read_now(book: PriceBook, reseller_id: str, plan: Plan) -> Seen:
    """The product as the marketplace shows it now; it is kept as it was read."""
    listing = await book.window.marketplace.product(reseller_id, plan.state.product)
    if listing is None:
        return Seen(listed=False, costs=None)
    await book.window.catalogue.keep_read(reseller_id, listing, book.window.now())
    return Seen(listed=True, costs=rules.tiers_of(listing.costs))


# -- marks -----------------------------------------------------------------------------------------


async def review_plans(book: PriceBook, reseller_id: str, cause: Cause) -> None:
    """Mark the plans whose reseller price is another one than a person has seen, or unmark them."""
    after = ""
    while page := await book.plans.of_reseller(reseller_id, after):
        after = page[-1].stamp.id
        products = await book.products.find_all([loaded.stamp.id for loaded in page])
        for loaded in page:
            plan, facts = rules.marked(loaded.state, rules.seen(products.get(loaded.stamp.id)))
            if facts:
                await _mark(book, loaded, plan, facts, cause)


async def _mark(
    book: PriceBook, loaded: Loaded[Plan], plan: Plan, facts: tuple[Fact, ...], cause: Cause
) -> None:
    try:
        await book.plans.save(loaded, plan, facts, cause)
    except VersionConflict:
        # Somebody has just decided about this plan; the next look judges what they decided.
        return
