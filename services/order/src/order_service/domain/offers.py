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
class Seen:
    """One order as the marketplace shows it, in detail."""

    order: MarketplaceOrder
    type: str
    customer_id: str
    po_number: str | None
    subscription_ids: tuple[str, ...]
    ordered_at: datetime | None


@dataclass(frozen=True)
class Quote:
    """What the marketplace estimates for a purchase."""

    total: Money | None
    lines: tuple[tuple[str, Decimal | None, Money | None], ...]
