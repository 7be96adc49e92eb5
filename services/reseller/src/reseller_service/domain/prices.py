"""The reseller's own prices: their form, the uniform price, and when a plan must be looked at.

**Rounding.** A uniform price is computed tier by tier as *current reseller price* × (1 + p/100),
exactly, and rounded half up to as many decimal places as the reseller price has, at least 2 and at
most 4. So prices in cents stay prices in cents, and applying 10 % twice still gives 10 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from purser_common.errors import Conflict, FieldError, Invalid
from purser_events.envelope import Change
from purser_events.price import PriceCustomized, PricePlan, PricePlanFact, PriceTier
from purser_events.values import Money
from reseller_service.domain.catalogue import Kept, Listing
from reseller_service.domain.mapping import CatalogPrice
from reseller_service.domain.resellers import MODULE

ACTIVE, DELETED = "active", "deleted"
CHANGED, VANISHED, UNKNOWN = "changed", "vanished", "unknown"
MOST_PLACES, FEWEST_PLACES = 4, 2
MOST_ENTRIES = 500
"""So many changes of one plan's price are kept; the audit record has them all."""
LARGEST_PERCENT = Decimal(10_000)

Tiers = tuple[PriceTier, ...]


@dataclass(frozen=True)
class GivenTier:
    """A price as somebody gives it; what is left out is as the marketplace has it."""

    money: Money
    type: str | None = None
    model: str | None = None
    lower_limit: int | None = None


class Entry(BaseModel):
    """One change of a plan's own price."""

    model_config = ConfigDict(frozen=True)

    number: int = Field(description="Counts the changes of the plan.")
    at: AwareDatetime
    actor: str
    reason: str = Field(description="`added`, `set`, `uniform`, `removed` or `deleted`.")
    increase_percent: str | None = Field(default=None, description="Of a uniform price.")
    before: Tiers | None
    after: Tiers | None


class Seen(BaseModel):
    """What the marketplace says of a product: whether it is sold, and what the reseller pays."""

    model_config = ConfigDict(frozen=True)

    listed: bool
    costs: Tiers | None


@dataclass(frozen=True)
class Plan:
    """A plan with what is never published: the reseller price that a person has seen, and its history."""

    state: PricePlan
    accepted: Seen
    history: tuple[Entry, ...] = ()
    changes: int = 0


def tiers_of(prices: Sequence[CatalogPrice] | None) -> Tiers | None:
    """Prices of the catalogue as tiers; None when there are none."""
    if not prices:
        return None
    found = [
        PriceTier(type=p.type, model=p.model, lower_limit=p.lower_limit, money=p.money)
        for p in prices
    ]
    return tuple(sorted(found, key=_place))


def _place(tier: PriceTier) -> tuple[str, int]:
    return tier.type.casefold(), tier.lower_limit or 0


def seen(kept: Kept | None) -> Seen:
    """What is known of a product now."""
    if kept is None:
        return Seen(listed=False, costs=None)
    return Seen(listed=kept.listed, costs=tiers_of(kept.listing.costs))


def mark_of(accepted: Seen, now: Seen) -> str | None:
    """Why a plan must be looked at: what a person has seen is not what is so now."""
    if not now.listed:
        return VANISHED if accepted.listed else None
    if now.costs == accepted.costs:
        return None
    return UNKNOWN if now.costs is None else CHANGED


# -- the form of an own price ----------------------------------------------------------------------


def shaped(given: Sequence[GivenTier], listing: Listing, pointer: str = "/own_price") -> Tiers:
    """An own price in the tiers and the currency that the marketplace has for the product.

    Raises Invalid naming them.
    """
    form = tiers_of(listing.costs) or tiers_of(listing.prices)
    _require_currency(given, form, pointer)
    if form is None:
        return _free(given, pointer)
    by_place: dict[tuple[str, int], PriceTier] = {_place(tier): tier for tier in form}
    only = form[0] if len(form) == 1 else None
    found: dict[tuple[str, int], PriceTier] = {}
    for one in given:
        type_ = one.type or (only.type if only else form[0].type)
        default = only.lower_limit if only else None
        limit = one.lower_limit if one.lower_limit is not None else default
        place = (type_.casefold(), limit or 0)
        like = by_place.get(place)
        if like is None or place in found or one.model not in (None, like.model):
            raise _other_tiers(form, pointer)
        found[place] = like.model_copy(update={"money": one.money})
    if set(found) != set(by_place):
        raise _other_tiers(form, pointer)
    return tuple(sorted(found.values(), key=_place))


def _free(given: Sequence[GivenTier], pointer: str) -> Tiers:
    tiers = [
        PriceTier(
            type=one.type or "recurring",
            model=one.model or "FLAT",
            lower_limit=one.lower_limit,
            money=one.money,
        )
        for one in given
    ]
    if len({_place(tier) for tier in tiers}) < len(tiers):
        raise Invalid(
            "two tiers begin at the same quantity",
            code="tiers_differ",
            errors=(FieldError(pointer, "give each tier of a type its own lower_limit"),),
        )
    return tuple(sorted(tiers, key=_place))


def _other_tiers(form: Tiers, pointer: str) -> Invalid:
    wanted = ", ".join(f"{t.type} {t.model} from {t.lower_limit or 0}" for t in form)
    return Invalid(
        "the own price must have the tiers of the product",
        code="tiers_differ",
        errors=(FieldError(pointer, f"give exactly these tiers: {wanted}"),),
    )


def _require_currency(given: Sequence[GivenTier], form: Tiers | None, pointer: str) -> None:
    known = sorted({tier.money.currency for tier in form or ()}) or [given[0].money.currency]
    wrong = [n for n, one in enumerate(given) if one.money.currency not in known]
    if wrong:
        raise Invalid(
            f"the reseller price of this product is in {', '.join(known)}",
            code="currency_differs",
            errors=tuple(
                FieldError(f"{pointer}/{n}/money/currency", f"give {' or '.join(known)}")
                for n in wrong
            ),
        )


# -- the uniform price -----------------------------------------------------------------------------


def percentage(text: str) -> Decimal:
    """An increase in percent. Raises Invalid for one at which nothing or less would be left."""
    percent = Decimal(text)
    if percent <= -100 or percent > LARGEST_PERCENT:
        raise Invalid(
            "the increase must be more than -100 percent",
            code="percentage_out_of_range",
            errors=(FieldError("/increase_percent", f"more than -100, at most {LARGEST_PERCENT}"),),
        )
    return percent


def baseline(now: Seen) -> tuple[Tiers | None, str]:
    """The reseller price to compute from; without one, why it counts as unknown."""
    if not now.listed:
        return None, "the marketplace does not sell the product any more"
    if now.costs is None:
        return None, "what the reseller pays is not known with its stored credentials"
    if len({tier.money.currency for tier in now.costs}) > 1:
        return None, "the reseller price is in several currencies"
    if not any(tier.money.amount for tier in now.costs):
        return None, "the reseller price is zero: usage is billed by its own rates"
    return now.costs, ""


def uniform(reseller_price: Tiers, percent: Decimal) -> Tiers:
    """The reseller price raised by a percentage, tier by tier, rounded as this module says."""
    return tuple(
        tier.model_copy(
            update={
                "money": Money(
                    currency=tier.money.currency, amount=_raised(tier.money.amount, percent)
                )
            }
        )
        for tier in reseller_price
    )


def _raised(amount: Decimal, percent: Decimal) -> Decimal:
    exponent = amount.as_tuple().exponent
    places = -exponent if isinstance(exponent, int) else FEWEST_PLACES
    unit = Decimal(1).scaleb(-min(max(places, FEWEST_PLACES), MOST_PLACES))
    with localcontext() as exact:
        exact.prec = 100
        return (amount * (100 + percent) / 100).quantize(unit, ROUND_HALF_UP)


def difference(own: Tiers | None, reseller: Tiers | None) -> Tiers | None:
    """What is left of the own price, tier by tier; None unless both have the same tiers."""
    if own is None or reseller is None or [*map(_place, own)] != [*map(_place, reseller)]:
        return None
    if any(a.money.currency != b.money.currency for a, b in zip(own, reseller, strict=True)):
        return None
    return tuple(
        a.model_copy(
            update={
                "money": Money(currency=a.money.currency, amount=a.money.amount - b.money.amount)
            }
        )
        for a, b in zip(own, reseller, strict=True)
    )


# -- plans -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Act:
    """Who changes a price, when, and how."""

    by: str
    at: datetime
    reason: str
    increase_percent: str | None = None


def plan_added(
    before: Plan | None, kept: Kept, own_price: Tiers | None, act: Act
) -> tuple[Plan, tuple[PricePlanFact, ...]]:
    """A new plan for a product, or one that was deleted again. Raises Conflict when there is one."""
    if before is not None and before.state.status == ACTIVE:
        raise Conflict(
            f"there is a plan for this product: {before.state.product_name}",
            code="plan_exists",
            plan_id=before.state.id,
        )
    state = PricePlan(
        id=kept.id,
        marketplace=MODULE,
        reseller_id=kept.reseller_id,
        product=kept.listing.product,
        product_name=kept.listing.name,
        status=ACTIVE,
    )
    old = before or Plan(state, seen(kept))
    plan = replace(old, state=state, accepted=seen(kept))
    status = before.state.status if before else None
    more = (Change(pointer="/status", before=status, after=ACTIVE),)
    return _priced(plan, own_price, act, more)


def price_set(
    plan: Plan, own_price: Tiers | None, now: Seen, act: Act
) -> tuple[Plan, tuple[PricePlanFact, ...]]:
    """Sets or removes the own price; who sets it has seen the reseller price as it is now."""
    cleared = replace(plan, accepted=now)
    return _priced(cleared, own_price, act, (), marked=plan.state.mark)


def acknowledged(plan: Plan, now: Seen) -> tuple[Plan, tuple[PricePlanFact, ...]]:
    """Takes note of the reseller price as it is now; the own price stays."""
    return marked(replace(plan, accepted=now), now)


def marked(plan: Plan, now: Seen) -> tuple[Plan, tuple[PricePlanFact, ...]]:
    """The plan with the mark that it deserves now; no fact when it has it."""
    mark = mark_of(plan.accepted, now)
    if mark == plan.state.mark or plan.state.status != ACTIVE:
        return plan, ()
    state = plan.state.model_copy(update={"mark": mark})
    change = Change(pointer="/mark", before=plan.state.mark, after=mark)
    return replace(plan, state=state), (PriceCustomized(state=state, changes=(change,)),)


def plan_deleted(plan: Plan, act: Act) -> tuple[Plan, tuple[PricePlanFact, ...]]:
    """Gives the own price up: a state that keeps the document and its history."""
    state = plan.state.model_copy(update={"status": DELETED, "mark": None})
    change = Change(pointer="/status", before=plan.state.status, after=DELETED)
    return _priced(replace(plan, state=state), None, act, (change,))


def _priced(
    plan: Plan,
    own_price: Tiers | None,
    act: Act,
    more: tuple[Change, ...],
    marked: str | None = None,
) -> tuple[Plan, tuple[PricePlanFact, ...]]:
    before = plan.state.own_price
    changes = list(more)
    state = plan.state.model_copy(update={"mark": None})
    if marked is not None:
        changes.append(Change(pointer="/mark", before=marked, after=None))
    if own_price != before:
        state = state.model_copy(
            update={"own_price": own_price, "effective_from": act.at, "set_by": act.by}
        )
        changes.append(Change(pointer="/own_price", before=_json(before), after=_json(own_price)))
        plan = _noted(plan, before, own_price, act)
    if not changes:
        return replace(plan, state=state), ()
    fact = PriceCustomized(state=state, changes=tuple(changes))
    return replace(plan, state=state), (fact,)


def _noted(plan: Plan, before: Tiers | None, after: Tiers | None, act: Act) -> Plan:
    number = plan.changes + 1
    entry = Entry(
        number=number,
        at=act.at,
        actor=act.by,
        reason=act.reason,
        increase_percent=act.increase_percent,
        before=before,
        after=after,
    )
    return replace(plan, changes=number, history=(*plan.history, entry)[-MOST_ENTRIES:])


def _json(tiers: Tiers | None) -> list[dict[str, Any]] | None:
    return None if tiers is None else [tier.model_dump(mode="json") for tier in tiers]


def effective(plan: Plan | None, listing: Listing) -> Tiers | None:
    """What a customer pays: the own price where there is one, else what the marketplace says."""
    if plan is not None and plan.state.status == ACTIVE and plan.state.own_price is not None:
        return plan.state.own_price
    return tiers_of(listing.prices)


def unit_price(tiers: Tiers | None) -> Money | None:
    """The one recurring price, else the one setup price; None when tiers leave it open."""
    for kind in ("recurring", "setup"):
        found = [tier.money for tier in tiers or () if tier.type.casefold() == kind]
        if found:
            return found[0] if len(found) == 1 else None
    return None
