"""What exists at the marketplace and in Entra ID, as the sandbox keeps it."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, Field

from purser_sandbox.settings import ResellerList, VendorRules


class Period(BaseModel):
    type: str
    duration: int

    @property
    def months(self) -> int:
        """0 for periods that are not whole months."""
        return {"month": 1, "year": 12}.get(self.type, 0) * self.duration


class PriceRow(BaseModel):
    """One price of a catalogue row: what a reseller pays (`cost`) and asks (`price`) a unit."""

    cost: Decimal
    price: Decimal
    lower_limit: int = 0


class Product(BaseModel):
    """A catalogue row: identity is mpn + vendor + both periods, or `id`."""

    id: str
    mpn: str
    name: str
    service_name: str
    plan_id: int
    subscription_period: Period
    billing_period: Period
    prices: list[PriceRow]
    price_type: str = "recurring"
    price_model: str = "FLAT"
    billing_model: str = "chargeBeforeBillingPeriod"
    minimum: Decimal = Decimal("1.0")
    maximum: Decimal = Decimal("10000.0")
    depends_on: list[str] = Field(default_factory=list)
    """MPNs that the platform adds to an order when the customer lacks them."""
    coterming: str = "ALLOWED"
    needs_base: list[str] = Field(default_factory=list)
    """MPN prefixes of which one must be active at fulfilment; not told by the API."""
    published: bool = True
    vendor: str = "SIMMICROSOFT"

    def row(self, quantity: Decimal) -> PriceRow:
        fitting = [row for row in self.prices if row.lower_limit <= quantity]
        return fitting[-1] if fitting else self.prices[0]


class Timing(BaseModel):
    submitted_seconds: float
    processing_seconds: float


class Reseller(BaseModel):
    id: str
    parent_id: str | None
    name: str
    region: str
    currency: str = "USD"
    external_id: str
    timing: Timing | None = None
    vendor_rules: VendorRules | None = None
    status: str = "active"


class Login(BaseModel):
    """An API user. `account_id` is a distributor's or a reseller's id."""

    id: str
    kind: Literal["parent", "leaf"]
    account_id: str
    region: str
    marketplace: str
    username: str
    password: str
    subscription_key: str
    reseller_list: ResellerList | None = None
    expired_bearer: Literal[401, 403] | None = None
    reads_per_minute: int | None = None
    """Single objects that may be read in a minute; 0: any number; None: as the settings say."""
    products: int | None = None
    """How many rows of the catalogue it lists; None: all."""
    hidden: list[str] = []
    """Part numbers that its catalogue does not list."""
    costs: dict[str, Decimal] = {}
    """What it pays for a unit of a part number, in every tier, instead of the catalogue's cost."""
    generation: int = 0
    """Tokens of an older generation are void."""
    disabled: bool = False
    created_at: datetime


class Customer(BaseModel):
    id: str
    reseller_id: str
    region: str
    name: str
    status: str = "active"
    external_id: str | None = None
    attributes: dict[str, str] = Field(default_factory=dict)
    address: dict[str, Any]
    contact_persons: list[dict[str, Any]]
    language: str = "en_US"
    tax_reg_id: str | None = None


class EntraTenant(BaseModel):
    id: str
    domain: str
    display_name: str
    customer_id: str
    consents: list[str] = Field(default_factory=list)
    """Client ids whose admin consent stands."""
    withdrawn: list[str] = Field(default_factory=list)
    """Client ids whose consent stood once and was taken back."""
    consumed: dict[str, int] = Field(default_factory=dict)
    """Seats in use by skuPartNumber; three quarters of the bought seats where not set."""


class SubscriptionLine(BaseModel):
    product_id: str
    quantity: int
    vendor_subscription_id: str
    unit_price: Decimal | None = None
    unit_cost: Decimal | None = None


class Subscription(BaseModel):
    id: str
    customer_id: str
    reseller_id: str
    name: str
    status: str
    plan_id: int
    billing_model: str | None
    billing_period: Period | None
    subscription_period: Period
    created_at: datetime
    committed_at: datetime
    """Purchase or last renewal: the seven-day window counts from here."""
    renewal_date: date | None
    expiration_date: date | None
    modified_on: date
    renewal_status: bool = True
    attributes: dict[str, str] = Field(default_factory=dict)
    lines: list[SubscriptionLine] = Field(default_factory=list)
    order_parameters: list[dict[str, Any]] = Field(default_factory=list)
    tenant_id: str | None = None

    def line(self, product_id: str) -> SubscriptionLine | None:
        return next((line for line in self.lines if line.product_id == product_id), None)


class OrderLine(BaseModel):
    product_id: str
    quantity: Decimal
    before: Decimal = Decimal(0)
    subscription_id: str | None = None
    """Reserved when the order is placed; told from the moment the subscription exists."""
    parameters: list[dict[str, Any]] = Field(default_factory=list)
    added: bool = False
    """Put there by the platform because another line depends on it."""


class Fate(BaseModel):
    """What faults and vendor rules have decided for an order when it was placed."""

    outcome: Literal["complete", "stuck", "error"] = "complete"
    stuck_in: Literal["submitted", "processing"] = "processing"
    quantity: Decimal | None = None
    subscription_stays_pending: bool = False
    list_lag_seconds: float = 0.0
    po_length: int | None = None
    """How much of the purchase order number the platform keeps; None: all of it."""


class Order(BaseModel):
    id: str
    number: str
    type: str
    customer_id: str
    reseller_id: str
    created_at: datetime
    timing: Timing
    fate: Fate = Field(default_factory=Fate)
    po_number: str | None = None
    lines: list[OrderLine] = Field(default_factory=list)
    subscription_id: str | None = None
    tenant_id: str | None = None
    scheduled_on: str | None = None
    attributes: dict[str, str] = Field(default_factory=dict)
    total: Decimal = Decimal(0)
    status: str = "submitted"
    status_code: str | None = None
    provisioned_at: datetime | None = None

    @property
    def unfinished(self) -> bool:
        return self.status in ("submitted", "processing")
