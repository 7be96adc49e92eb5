"""What others say about buying: terms, permission, estimates, and the orders they show."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from purser_events.license import MarketplaceOrder
from purser_events.reseller import LicenseMapping, Reseller
from purser_events.values import Money, Period, ProductIdentity

_MONTHS = {"month": 1, "year": 12}


@dataclass(frozen=True)
class Terms:
    """What the reseller service says of buying one product."""

    reseller: Reseller
    mapping: LicenseMapping | None
    product_name: str | None
    minimum_quantity: int
    maximum_quantity: int
    unit_price: Money | None


@dataclass(frozen=True)
class Permission:
    """Whether an account may send now."""

    allowed: bool
    reason: str | None
    retry_after: float | None


@dataclass(frozen=True)
class Line:
    """The requests of one account that wait to be sent: first come, first sent.

    `wanted` counts who queued; whoever lets the line go can tell by it whether somebody came.
    """

    reseller_id: str
    wanted: int


@dataclass(frozen=True)
class Swept:
    """Until when an account's orders are accounted for, and of which marketplace customers.

    Of a customer whose connection was not known then, none is.
    """

    reseller_id: str
    at: datetime | None
    customers: frozenset[str]


@dataclass(frozen=True)
class Listed:
    """One row of a list of orders; whose it is and when it was made may be missing."""

    id: str
    status: str
    customer_id: str | None
    ordered_at: datetime | None


@dataclass(frozen=True)
class OrderedLine:
    """What one line of an order says; of a change the quantity is a total or a difference (§5)."""

    mpn: str | None
    quantity: int | None


@dataclass(frozen=True)
class Seen:
    """One order as the marketplace shows it, in detail."""

    order: MarketplaceOrder
    type: str
    customer_id: str
    po_number: str | None
    subscription_ids: tuple[str, ...]
    ordered_at: datetime | None
    lines: tuple[OrderedLine, ...] = ()


@dataclass(frozen=True)
class Control:
    """An order that the account is known to have: a listing that begins before it must show it."""

    order_id: str
    since: datetime


@dataclass(frozen=True)
class Quote:
    """What the marketplace estimates for a purchase."""

    total: Money | None
    lines: tuple[tuple[str, Decimal | None, Money | None], ...]
    unit_price: Money | None = None


def seat_price(
    product: ProductIdentity, quantity: int, once: Money | None, whole: Money | None
) -> Money | None:
    """What one seat costs a billing period, of which `once` is the total and `whole` the term's.

    None, which is unknown, unless the two agree on what a billing period is, and unless the price is
    exact to a ten-thousandth of the currency; nothing is told of what is billed by its use, either.
    """
    times = _billings(product.subscription_period, product.billing_period)
    if once is None or whole is None or times is None:
        return None
    if (once.currency, once.amount * times) != (whole.currency, whole.amount) or once.amount <= 0:
        return None
    for exponent in (Decimal("0.01"), Decimal("0.0001")):
        price = (once.amount / quantity).quantize(exponent)
        if price * quantity == once.amount:
            return Money(currency=once.currency, amount=price)
    return None


def _billings(term: Period, billing: Period) -> int | None:
    """How many billing periods a term has; None when it is no whole number of them."""
    if term == billing:
        return 1
    length, part = (_MONTHS.get(p.type.casefold(), 0) * p.duration for p in (term, billing))
    return length // part if part > 0 and length > 0 and length % part == 0 else None
