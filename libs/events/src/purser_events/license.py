"""Facts about licence change requests and the orders that carry them out, published by order."""

from typing import ClassVar

from pydantic import AwareDatetime, Field

from purser_events.envelope import Fact, Published
from purser_events.values import Money, ProductIdentity

UNIT_PRICE = (
    "What the customer pays at most per seat and billing period, when it was requested: by the "
    "catalogue, else by the marketplace's estimate. Absent: neither tells it. Never the reseller's cost."
)


class MarketplaceOrder(Published):
    """The order that carries out a request, as far as it is known."""

    id: str = Field(description="The marketplace's id of the order.")
    number: str | None = Field(default=None, examples=["SO000012"])
    status: str = Field(description="Open set: `submitted`, `processing`, `completed`, `error`, …")


class Failure(Published):
    """Why a request came to nothing."""

    code: str
    detail: str


class LicenseChangeRequest(Published):
    """One wanted change of licences: who wants what, and how far it has come.

    One request is one order at the marketplace.
    """

    id: str
    kind: str = Field(description="Open set: `buy`, `change_quantity`, …")
    status: str = Field(
        description=(
            "`placing`, `uncertain` (sent, outcome not known), `needs_review` (a person decides), "
            "`placed`, `completed`, `failed`, `cancelled`, `withdrawn`, `duplicate_suspected`."
        )
    )
    marketplace: str
    reseller_id: str
    customer_id: str
    tenant_id: str
    entra_tenant_id: str
    marketplace_customer_id: str
    product: ProductIdentity
    product_name: str
    sku_id: str | None = Field(
        default=None, description="Microsoft's SKU id; absent: mapped to no licence."
    )
    sku_part_number: str | None = None
    quantity: int = Field(
        description="Seats wanted: those to buy, or the new total of a `change_quantity`."
    )
    expected_quantity: int | None = Field(
        default=None,
        description="Seats that a change starts from; with any other number it is not sent.",
    )
    po_number: str = Field(description="The purchase order number as a person typed it.")
    po_number_sent: str = Field(description="As the marketplace was given it.")
    comment: str | None = None
    origin: str = Field(description="`person` or `automation`.")
    requested_by: str = Field(description="`user:…`, `client:…` or `service:…`.")
    requested_at: AwareDatetime
    unit_price: Money | None = Field(default=None, description=UNIT_PRICE)
    order: MarketplaceOrder | None = None
    subscription_id: str | None = Field(
        default=None, description="Purser's id of the subscription that a change is about."
    )
    marketplace_subscription_id: str | None = None
    failure: Failure | None = None


class LicenseChangeFact(Fact):
    """A fact about a licence change request."""

    state: LicenseChangeRequest


class LicenseChangeRequested(LicenseChangeFact):
    """Somebody wants licences changed; nothing has been sent to the marketplace yet."""

    TOPIC: ClassVar[str] = "license.change-requested"


class LicenseChangeWithdrawn(LicenseChangeFact):
    """A request was withdrawn before it was sent: nothing of it is at the marketplace."""

    TOPIC: ClassVar[str] = "license.change-withdrawn"

    withdrawn_by: str = Field(description="`user:…`, `client:…` or `service:…`.")
    reason: str


class OrderPlaced(LicenseChangeFact):
    """The marketplace has taken the order."""

    TOPIC: ClassVar[str] = "order.placed"


class OrderUncertain(LicenseChangeFact):
    """The order was sent and nobody knows whether it was taken. It is never sent again unasked."""

    TOPIC: ClassVar[str] = "order.uncertain"


class OrderReviewSettled(LicenseChangeFact):
    """A person decided about an order whose outcome could not be established."""

    TOPIC: ClassVar[str] = "order.review-settled"

    answer: str = Field(description="`link`, `not_placed` or `give_up`.")
    settled_by: str
    reason: str


class OrderDuplicateSuspected(LicenseChangeFact):
    """The marketplace shows more than one order for one request."""

    TOPIC: ClassVar[str] = "order.duplicate-suspected"

    order_ids: tuple[str, ...]


class OrderFailed(LicenseChangeFact):
    """The request came to nothing: refused, or the marketplace could not fulfil the order."""

    TOPIC: ClassVar[str] = "order.failed"


class OrderCompleted(LicenseChangeFact):
    """The order is completed and the subscription, read again, agrees."""

    TOPIC: ClassVar[str] = "order.completed"


class LicenseFact(LicenseChangeFact):
    """Licences of a tenant are different now because of Purser, and the subscription shows it."""

    customer_id: str
    tenant_id: str
    entra_tenant_id: str = Field(description="Microsoft's directory id (GUID).")
    marketplace: str
    reseller_id: str
    marketplace_customer_id: str
    marketplace_subscription_id: str
    order_number: str
    po_number: str
    product: ProductIdentity
    sku_id: str | None = Field(
        default=None, description="Microsoft's SKU id; absent: mapped to no licence."
    )
    quantity_before: int = Field(ge=0, description="Seats of this subscription before.")
    quantity_after: int = Field(ge=0, description="Seats of this subscription now.")
    request_id: str
    requested_by: str
    origin: str = Field(description="`person` or `automation`.")
    unit_price: Money | None = Field(default=None, description=UNIT_PRICE)


class LicensePurchased(LicenseFact):
    """Licences were bought through Purser, and the subscription shows the seats.

    What was bought at the marketplace without Purser appears as `order.observed` and
    `subscription.*`, never as `license.*`.
    """

    TOPIC: ClassVar[str] = "license.purchased"


class LicenseQuantityChanged(LicenseFact):
    """The seats of a subscription were changed through Purser, and the subscription shows it."""

    TOPIC: ClassVar[str] = "license.quantity-changed"


class ObservedOrder(Published):
    """An order at the marketplace that Purser did not place."""

    id: str
    marketplace: str
    reseller_id: str
    marketplace_customer_id: str
    tenant_id: str | None = None
    customer_id: str | None = None
    number: str | None = None
    type: str = Field(description="Open set: `sales`, `change`, `renewal`, `cancellation`, …")
    status: str
    po_number: str | None = None
    marketplace_subscription_id: str | None = None
    ordered_at: AwareDatetime | None = None
    observed_at: AwareDatetime


class OrderObserved(Fact):
    """The marketplace shows an order that was placed without Purser, or a change of one."""

    TOPIC: ClassVar[str] = "order.observed"

    state: ObservedOrder


class SpendCap(Published):
    """How much may be bought through one reseller a day (UTC), by what customers pay."""

    id: str = Field(description="The reseller's id.")
    reseller_id: str
    daily: Money | None = Field(default=None, description="Absent: no cap.")
    set_by: str
    set_at: AwareDatetime


class SpendCapChanged(Fact):
    """A spend cap was set, changed or lifted."""

    TOPIC: ClassVar[str] = "spend-cap.changed"

    state: SpendCap
