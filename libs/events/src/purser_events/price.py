"""Facts about a reseller's own prices, published by the reseller service."""

from typing import ClassVar

from pydantic import AwareDatetime, Field

from purser_events.envelope import Fact, Published
from purser_events.values import Money, ProductIdentity


class PriceTier(Published):
    """One price; several of one type are tiers, each from `lower_limit` up."""

    type: str = Field(description="Open set: `recurring`, `setup`, …", examples=["recurring"])
    model: str = Field(description="Open set: `FLAT`, `TIERED`, …", examples=["FLAT"])
    lower_limit: int | None = None
    money: Money


class PricePlan(Published):
    """The price at which a reseller sells one product. What the reseller pays never appears."""

    id: str = Field(description="The product id: the same as that of the product's mapping.")
    marketplace: str
    reseller_id: str
    product: ProductIdentity
    product_name: str
    own_price: tuple[PriceTier, ...] | None = Field(
        default=None, description="Absent: no own price is set; the marketplace's applies."
    )
    effective_from: AwareDatetime | None = Field(
        default=None, description="Since when the own price is what it is, or is none."
    )
    set_by: str | None = Field(default=None, description="Who set it: `user:…` or `client:…`.")
    mark: str | None = Field(
        default=None,
        description="Why a person should look: `changed`: the reseller price is another one since; "
        "`vanished`: the marketplace sells the product no longer; `unknown`: the reseller price is "
        "not known any more.",
    )
    status: str = Field(default="active", description="`active` or `deleted`.")


class PricePlanFact(Fact):
    """A fact about a price plan."""

    state: PricePlan


class PriceCustomized(PricePlanFact):
    """An own price was set, changed or given up, or a plan was marked or looked at: see `changes`."""

    TOPIC: ClassVar[str] = "price.customized"
