"""What a tenant's store shows of a product: the tenant's own subscriptions of it, and what may be done."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from purser_events.reseller import LicenseMapping, Reseller
from purser_events.subscription import Subscription
from purser_events.tenant import Connection
from purser_events.values import Money, ProductIdentity, product_id

BUY = "buy"


@dataclass(frozen=True)
class Search:
    """Which items; what is None does not matter. The cursor is the reseller service's own."""

    q: str | None
    vendor: str | None
    mpn: str | None
    mapped: bool | None
    cursor: str | None
    limit: int


class Value(BaseModel):
    """Something that the reseller service tells."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class PriceTier(Value):
    """One price of a product; several of one type are tiers, each from `lower_limit` up."""

    type: str
    model: str
    lower_limit: int | None
    money: Money


class ItemPrices(Value):
    """What a product costs, tier by tier."""

    reseller: tuple[PriceTier, ...] | None = Field(
        description="What the reseller pays; null: unknown, or you are no price admin."
    )
    own: tuple[PriceTier, ...] | None = Field(description="The reseller's own price; null: none.")
    difference: tuple[PriceTier, ...] | None = Field(
        description="Own less reseller price; null: one of them is unknown to you."
    )
    mark: str | None = Field(
        default=None, description="Why the own price must be looked at: `changed`, `vanished`, …"
    )


class Coterming(Value):
    """Whether a purchase may or must end together with another one."""

    required: str
    type: str


class Link(Value):
    """A product that needs this one, or that this one needs."""

    id: str | None = Field(description="Its store item; null: this catalogue does not have it.")
    mpn: str | None
    name: str | None


class StoreItem(Value):
    """A product of the reseller's catalogue."""

    id: str
    reseller_id: str
    product: ProductIdentity
    name: str
    service_name: str
    minimum_quantity: int
    maximum_quantity: int
    billing_model: str
    coterming: Coterming | None
    requires: tuple[Link, ...]
    dependents: tuple[Link, ...]
    mapping: LicenseMapping | None = Field(
        description="The licence that it stands for; null: map it before it can be bought."
    )
    listed: bool = Field(description="False: the marketplace does not offer it any more.")
    source: str = Field(description="Who said so: `marketplace`.")
    read_at: AwareDatetime = Field(description="When the marketplace said so.")
    stale: bool = Field(description="True: it could not be read again, so it may have changed.")
    prices: ItemPrices


class OwnSubscription(BaseModel):
    """A subscription that the tenant has: `/v1/subscriptions/{id}` opens it."""

    id: str
    name: str
    status: str
    seats: int


class OwnLink(Link):
    """A linked product with the tenant's own subscriptions of it."""

    subscriptions: tuple[OwnSubscription, ...]


class Possible(BaseModel):
    """Something that may be done with an item, or why not."""

    action: str = Field(description="`buy`: POST /v1/license-change-requests.")
    allowed: bool
    reason: str | None = Field(description="The code with which it would be refused.")
    missing_step: str | None
    request_id: str | None = Field(description="The open request that is in the way.")


@dataclass(frozen=True)
class Circumstances:
    """What decides whether a tenant's caller may buy an item."""

    reseller: Reseller
    may_buy: bool
    open_request: str | None


def buying(item: StoreItem, now: Circumstances) -> Possible:
    """Whether the item may be bought now, or the first reason why a purchase would be refused."""
    at = f"/v1/resellers/{item.reseller_id}"
    reason, step = None, None
    if not now.may_buy:
        reason = "forbidden"
    elif not now.reseller.buying_enabled:
        reason, step = "buying_disabled", f"PATCH {at} with buying_enabled: true"
    elif item.mapping is None:
        reason, step = "license_not_mapped", f"POST {at}/license-mappings"
    elif not item.listed:
        reason = "unknown_product"
    elif now.open_request is not None:
        reason = "purchase_in_progress"
    in_the_way = now.open_request if reason == "purchase_in_progress" else None
    return Possible(
        action=BUY,
        allowed=reason is None,
        reason=reason,
        missing_step=step,
        request_id=in_the_way,
    )


def is_of(subscription: Subscription, connection: Connection) -> bool:
    """Whether it is of this connection, and not one that an earlier connection has left behind."""
    customer = connection.marketplace_customer_id
    return (subscription.reseller_id, subscription.marketplace_customer_id) == (
        connection.reseller_id,
        customer,
    )


def own_subscriptions(
    product: ProductIdentity, subscriptions: Sequence[Subscription]
) -> tuple[OwnSubscription, ...]:
    """Those of the very product, with its seats."""
    return tuple(
        _own(one, option.quantity)
        for one in subscriptions
        for option in one.options
        if product_id("", option.product) == product_id("", product)
    )


def own_by_mpn(
    mpn: str | None, subscriptions: Sequence[Subscription]
) -> tuple[OwnSubscription, ...]:
    """Those of any product with this MPN: a link tells no more than that."""
    return tuple(
        _own(one, option.quantity)
        for one in subscriptions
        for option in one.options
        if option.product.mpn == mpn
    )


def _own(subscription: Subscription, seats: int) -> OwnSubscription:
    return OwnSubscription(
        id=subscription.id, name=subscription.name, status=subscription.status, seats=seats
    )


def mpns(item: StoreItem) -> set[str]:
    """The MPNs of an item and of what it is linked with."""
    linked = (link.mpn for link in (*item.requires, *item.dependents))
    return {item.product.mpn, *(mpn for mpn in linked if mpn)}


def linked(links: Sequence[Link], subscriptions: Sequence[Subscription]) -> tuple[OwnLink, ...]:
    """Links with the tenant's own subscriptions."""
    return tuple(
        OwnLink(**link.model_dump(), subscriptions=own_by_mpn(link.mpn, subscriptions))
        for link in links
    )


def without_costs(item: StoreItem) -> StoreItem:
    """The item as anybody may see it who is no price admin: no reseller price, nor what tells it."""
    prices = item.prices.model_copy(update={"reseller": None, "difference": None})
    return item.model_copy(update={"prices": prices})
