"""Values that several facts share."""

import json
import uuid
from decimal import Decimal
from typing import Annotated

from pydantic import Field, PlainSerializer

from purser_events.envelope import Published

_PRODUCTS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:purser:license-mappings")

Amount = Annotated[Decimal, PlainSerializer(lambda amount: format(amount, "f"), return_type=str)]


class Money(Published):
    """An amount in one currency. The amount is a decimal string, never a float."""

    currency: str = Field(description="ISO 4217 code.", examples=["USD"])
    amount: Amount = Field(examples=["26.76"])


class Period(Published):
    """A length of time as the marketplace gives it."""

    type: str = Field(description="Open set: `month`, `year`, …", examples=["month"])
    duration: int = Field(examples=[1])


class ProductIdentity(Published):
    """What names one product of a marketplace: the MPN alone may be ambiguous."""

    mpn: str = Field(description="Manufacturer part number, opaque.")
    vendor: str
    subscription_period: Period
    billing_period: Period


def product_id(reseller_id: str, product: ProductIdentity) -> str:
    """The id of a product at a reseller: its licence mapping and its store item have it, for ever.

    Only period types are compared without letter case.
    """
    identity = [
        reseller_id,
        product.mpn,
        product.vendor,
        product.subscription_period.type.casefold(),
        product.subscription_period.duration,
        product.billing_period.type.casefold(),
        product.billing_period.duration,
    ]
    return str(uuid.uuid5(_PRODUCTS, json.dumps(identity)))
