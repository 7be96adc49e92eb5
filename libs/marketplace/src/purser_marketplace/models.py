"""The resources of SimpleAPI 1.15, and the orders that can be asked for.

Lists are thinner than details: a row of a list lacks most of what its by-id answer has. What is
absent is `None` or `()`, never a made-up value. Ids are opaque strings.
"""

from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from purser_marketplace.values import (
    Attributes,
    Coterming,
    Enumerated,
    Identifier,
    Money,
    OptionalDay,
    OptionalIdentifier,
    OptionalMoment,
    OptionalMoney,
    OptionalNumber,
    OptionalPeriod,
    OptionalText,
    OptionalWholeNumber,
    Period,
    Resource,
    Rows,
    Text,
)

__all__ = [
    "CatalogReference",
    "Customer",
    "Estimate",
    "EstimatedSubscription",
    "Money",
    "NewOrder",
    "Order",
    "OrderLine",
    "Page",
    "Parameter",
    "Period",
    "Plan",
    "PlanPeriod",
    "PlanPeriodValue",
    "Price",
    "Product",
    "Reseller",
    "Subscription",
    "SubscriptionProduct",
    "Tcv",
]

Row = TypeVar("Row", bound=Resource)


class Price(Resource):
    """One price of a catalog row. Several of one `type` are tiers, each from `lower_limit` up."""

    currency: Identifier
    amount: OptionalNumber = None
    type: Enumerated = "unknown"
    model: Enumerated = "unknown"
    lower_limit: OptionalNumber = None

    @property
    def money(self) -> Money | None:
        """The amount with its currency; None when the marketplace names no amount."""
        if self.amount is None:
            return None
        return Money(currency=self.currency, amount=self.amount)


class CatalogReference(Resource):
    """A product another one needs: the platform adds it to the order when it is missing (§3.2)."""

    mpn: OptionalIdentifier = None
    id: OptionalIdentifier = None


class Product(Resource):
    """A catalog row. One MPN can occur several times, once per period pair.

    `prices` is what the calling account charges, `costs` what it pays.
    """

    id: OptionalIdentifier = None
    mpn: OptionalIdentifier = None
    vendor: OptionalText = None
    name: Text = ""
    service_name: Text = ""
    minimum_quantity: OptionalNumber = None
    maximum_quantity: OptionalNumber = None
    prices: Annotated[tuple[Price, ...], Rows] = ()
    costs: Annotated[tuple[Price, ...], Rows] = ()
    billing_period: OptionalPeriod = None
    subscription_period: OptionalPeriod = None
    billing_model: Enumerated = "unknown"
    depends_on: Annotated[tuple[CatalogReference, ...], Rows] = ()
    coterming: Coterming | None = None


class PlanPeriod(Resource):
    """A subscription period a plan offers."""

    type: Enumerated = "unknown"
    duration: OptionalWholeNumber = None
    trial: bool | None = None
    active: bool | None = None


class Plan(Resource):
    """A service plan: products of one plan bought together land in one subscription."""

    id: Identifier
    name: Text = ""
    short_description: Text = ""
    long_description: Text = ""
    published: bool | None = None
    subscription_periods: Annotated[tuple[PlanPeriod, ...], Rows] = ()
    billing_period: OptionalPeriod = None
    billing_model: Enumerated = "unknown"


class Reseller(Resource):
    """A reseller. `status`: pending, active, creditHold, adminHold, cancelled, error."""

    id: Identifier
    name: Text = ""
    status: Enumerated = "unknown"
    external_id: OptionalText = None
    currency: OptionalText = None
    language: OptionalText = None
    tax_reg_id: OptionalText = None
    attributes: Attributes = Field(default_factory=dict)


class Customer(Resource):
    """An end customer. `creditHold` cannot order more; addresses and contacts are not read."""

    id: Identifier
    name: Text = ""
    reseller_id: OptionalIdentifier = None
    status: Enumerated = "unknown"
    external_id: OptionalText = None
    language: OptionalText = None
    tax_reg_id: OptionalText = None
    attributes: Attributes = Field(default_factory=dict)


class OrderLine(Resource):
    """A product of an order or an estimate.

    The quantity read back from a change is a signed difference for an immediate one and the target
    for a scheduled one (§5 no. 1): never compute seats from it, re-read the subscription.
    """

    mpn: OptionalIdentifier = None
    id: OptionalIdentifier = None
    vendor: OptionalText = None
    quantity: OptionalNumber = None
    subscription_id: OptionalIdentifier = None
    name: Text = ""
    type: Enumerated = "unknown"
    extended_price: OptionalMoney = None
    billing_period: OptionalPeriod = None
    subscription_period: OptionalPeriod = None


class Order(Resource):
    """An order. `status`: submitted, processing, completed, error, cancelled.

    `po_number`, `products` and `subscription_id` come with the by-id answer only; renewals and
    cancellations never have products (§3.4). `creation_date` is aware UTC.
    """

    id: Identifier
    order_number: OptionalIdentifier = None
    type: Enumerated = "unknown"
    status: Enumerated = "unknown"
    status_code: OptionalText = None
    customer_id: OptionalIdentifier = None
    po_number: OptionalText = None
    creation_date: OptionalMoment = None
    provisioning_date: OptionalMoment = None
    subscription_id: OptionalIdentifier = None
    products: Annotated[tuple[OrderLine, ...], Rows] = ()
    total: OptionalMoney = None
    scheduled_on: OptionalText = None
    attributes: Attributes = Field(default_factory=dict)


class PlanPeriodValue(Resource):
    """The part of a contract value that falls on one billing period of the plan."""

    total: OptionalMoney = None


class Tcv(Resource):
    """The total contract value between one seller and one buyer of the chain (§3.5)."""

    seller_id: OptionalIdentifier = None
    buyer_id: OptionalIdentifier = None
    total: OptionalMoney = None
    disc_total: OptionalMoney = None
    effective_total: OptionalMoney = None
    plan_period: PlanPeriodValue | None = None
    start_date: OptionalMoment = None
    end_date: OptionalMoment = None


class EstimatedSubscription(Resource):
    """A subscription an order would touch, with its contract values per level."""

    plan_id: OptionalIdentifier = None
    aligned_expiration_date: OptionalDay = None
    tcvs: Annotated[tuple[Tcv, ...], Rows] = ()


class Estimate(Resource):
    """What an order would cost. Estimating creates no order."""

    total: OptionalMoney = None
    lines: Annotated[tuple[OrderLine, ...], Rows] = Field(default=(), alias="products")
    subscriptions: Annotated[tuple[EstimatedSubscription, ...], Rows] = ()


class SubscriptionProduct(Resource):
    """A product of a subscription; `quantity` counts seats, `vendor_subscription_id` is the vendor's id."""

    mpn: OptionalIdentifier = None
    id: OptionalIdentifier = None
    vendor: OptionalText = None
    name: Text = ""
    quantity: OptionalWholeNumber = None
    unit_price: OptionalMoney = None
    unit_cost: OptionalMoney = None
    vendor_subscription_id: OptionalIdentifier = None


class Parameter(Resource):
    """A named value of a subscription or an order; the value is kept as it came."""

    name: Text = ""
    value: Any = None
    structured_value: Any = None


class Subscription(Resource):
    """A subscription. `status`: pending, active, hold, terminated, removed, unknown.

    Dates are plain days in the provider's place. Rows of a list have no products (§3.6).
    """

    id: Identifier
    name: Text = ""
    customer_id: OptionalIdentifier = None
    status: Enumerated = "unknown"
    renewal_status: bool | None = None
    creation_date: OptionalDay = None
    renewal_date: OptionalDay = None
    last_modified_date: OptionalDay = None
    expiration_date: OptionalDay = None
    billing_model: Enumerated = "unknown"
    billing_period: OptionalPeriod = None
    subscription_period: OptionalPeriod = None
    products: Annotated[tuple[SubscriptionProduct, ...], Rows] = ()
    total_price: OptionalMoney = None
    plan_id: OptionalIdentifier = None
    attributes: Attributes = Field(default_factory=dict)
    order_parameters: Annotated[tuple[Parameter, ...], Rows] = ()
    fulfillment_parameters: Annotated[tuple[Parameter, ...], Rows] = ()

    @property
    def ms_customer_id(self) -> str | None:
        """The Microsoft tenant this subscription provisions into, in lower case (§3.6)."""
        for parameter in self.fulfillment_parameters:
            if parameter.name.strip().casefold() == "ms_customer_id" and parameter.value:
                return str(parameter.value).strip().casefold() or None
        return None


class Page(Resource, Generic[Row]):
    """One page of a list; `total` is None when the marketplace did not say."""

    data: tuple[Row, ...] = ()
    offset: OptionalWholeNumber = None
    limit: OptionalWholeNumber = None
    total: OptionalWholeNumber = None


class NewOrder(BaseModel):
    """An order to place or to estimate, one product each (§6). Quantities of a change are totals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["sales", "change", "cancellation"]
    customer_id: str = Field(min_length=1)
    po_number: str | None = None
    mpn: str | None = None
    vendor: str | None = None
    subscription_period: Period | None = None
    billing_period: Period | None = None
    quantity: Decimal | None = Field(default=None, gt=0)
    subscription_id: str | None = None
    scheduled_on: str | None = None

    @classmethod
    def sales(
        cls,
        *,
        customer_id: str,
        po_number: str | None,
        mpn: str,
        vendor: str | None,
        subscription_period: Period | None,
        billing_period: Period | None,
        quantity: int | Decimal,
    ) -> Self:
        """Buys. All four identity fields are sent: an ambiguous MPN is refused (§3.2)."""
        return cls(
            type="sales",
            customer_id=customer_id,
            po_number=po_number,
            mpn=mpn,
            vendor=vendor,
            subscription_period=subscription_period,
            billing_period=billing_period,
            quantity=Decimal(quantity),
        )

    @classmethod
    def change(
        cls,
        *,
        customer_id: str,
        po_number: str | None,
        subscription_id: str,
        mpn: str,
        vendor: str | None,
        subscription_period: Period | None,
        billing_period: Period | None,
        quantity: int | Decimal,
        scheduled_on: str | None = None,
    ) -> Self:
        """Sets the seats of a subscription to the total `quantity`; `scheduled_on="renewal"` waits."""
        return cls(
            type="change",
            customer_id=customer_id,
            po_number=po_number,
            mpn=mpn,
            vendor=vendor,
            subscription_period=subscription_period,
            billing_period=billing_period,
            quantity=Decimal(quantity),
            subscription_id=subscription_id,
            scheduled_on=scheduled_on,
        )

    @classmethod
    def cancellation(cls, *, customer_id: str, po_number: str | None, subscription_id: str) -> Self:
        """Ends a subscription. The subscription is named on the order and on its line (§4)."""
        return cls(
            type="cancellation",
            customer_id=customer_id,
            po_number=po_number,
            subscription_id=subscription_id,
        )

    def to_json(self) -> dict[str, Any]:
        """The body of POST /orders and of POST /orders/estimate."""
        return _given(
            type=self.type,
            customerId=self.customer_id,
            poNumber=self.po_number,
            subscriptionId=self.subscription_id,
            scheduledOn=self.scheduled_on,
            products=[self._line()],
        )

    def _line(self) -> dict[str, Any]:
        return _given(
            mpn=self.mpn,
            vendor=self.vendor,
            subscriptionPeriod=self.subscription_period and self.subscription_period.to_json(),
            billingPeriod=self.billing_period and self.billing_period.to_json(),
            quantity=None if self.quantity is None else _json_number(self.quantity),
            subscriptionId=self.subscription_id,
        )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _json_number(value: Decimal) -> int | float:
    # JSON knows one kind of number; money never passes here.
    return int(value) if value == value.to_integral_value() else float(value)
