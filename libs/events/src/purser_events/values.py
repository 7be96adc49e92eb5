"""Values that several facts share."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field, PlainSerializer

from purser_events.envelope import Published

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
