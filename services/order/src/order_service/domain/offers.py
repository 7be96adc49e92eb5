"""What others say about buying: terms, permission, estimates, and the orders they show."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from purser_events.license import MarketplaceOrder
from purser_events.reseller import LicenseMapping, Reseller
from purser_events.values import Money


@dataclass(frozen=True)
class Terms:
    """What the reseller service says of buying one product."""

    reseller: Reseller
    mapping: LicenseMapping | None
    product_name: str | None
    minimum_quantity: int
    maximum_quantity: int
    unit_price: Money | None
    po_suffix: bool


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
