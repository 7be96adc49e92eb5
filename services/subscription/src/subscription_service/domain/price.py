"""What a customer pays for the seats of an option: the reseller's own price, else the marketplace's."""

from collections.abc import Mapping, Sequence

from purser_events.price import PricePlan, PriceTier
from purser_events.subscription import Subscription, SubscriptionOption
from purser_events.values import Money, product_id

KINDS = ("recurring", "setup")
"""Types of prices: the first that a plan has is the price of a seat."""


def own_prices(subscription: Subscription, plans: Mapping[str, PricePlan]) -> list[Money | None]:
    """The price per seat of each option, in their order; None: unknown. `plans` are by product id."""
    return [
        _own_price(option, plans.get(product_id(subscription.reseller_id, option.product)))
        for option in subscription.options
    ]


def _own_price(option: SubscriptionOption, plan: PricePlan | None) -> Money | None:
    if plan is None or plan.own_price is None:
        return option.unit_price
    return _per_seat(plan.own_price, option.quantity)


def _per_seat(tiers: Sequence[PriceTier], quantity: int) -> Money | None:
    """One price holds for every seat; so does the tier of a volume price that the seats reach.

    Of a graduated price every seat has its own, so that none is the price of a seat.
    """
    for kind in KINDS:
        found = [tier for tier in tiers if tier.type.casefold() == kind]
        if len(found) == 1:
            return found[0].money
        if found:
            volume = all(tier.model.casefold().startswith("volume") for tier in found)
            reached = [tier for tier in found if volume and (tier.lower_limit or 0) <= quantity]
            return max(reached, key=lambda tier: tier.lower_limit or 0).money if reached else None
    return None
