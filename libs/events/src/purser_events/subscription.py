"""Facts about marketplace subscriptions, published by the subscription service."""

import uuid
from datetime import date
from typing import ClassVar

from pydantic import AwareDatetime, Field

from purser_events.envelope import Fact, Published
from purser_events.values import Money, Period, ProductIdentity

_SUBSCRIPTIONS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:purser:subscriptions")


def subscription_id(reseller_id: str, marketplace_subscription_id: str) -> str:
    """The id of a mirrored subscription: the same for every reader."""
    return str(uuid.uuid5(_SUBSCRIPTIONS, f"{reseller_id}|{marketplace_subscription_id}"))


class SubscriptionOption(Published):
    """One product of a subscription with its seats."""

    product: ProductIdentity
    name: str
    quantity: int = Field(description="Seats, as the marketplace shows them now.")
    unit_price: Money | None = Field(default=None, description="What the customer pays per seat.")
    vendor_subscription_id: str | None = Field(
        default=None, description="Microsoft's id of the subscription."
    )


class Subscription(Published):
    """A marketplace subscription as it was last read; what happened there without Purser shows too."""

    id: str
    marketplace: str
    reseller_id: str
    customer_id: str
    tenant_id: str
    entra_tenant_id: str
    marketplace_customer_id: str
    marketplace_subscription_id: str
    name: str
    status: str = Field(
        description="Open set: `pending`, `active`, `hold`, `terminated`, `removed`, `unknown`."
    )
    auto_renew: bool | None = None
    subscription_period: Period | None = None
    billing_period: Period | None = None
    created_on: date | None = None
    renews_on: date | None = None
    expires_on: date | None = None
    options: tuple[SubscriptionOption, ...] = ()
    observed_at: AwareDatetime = Field(description="When the marketplace said so.")
    connected: bool = Field(
        default=True,
        description="False: its tenant is no longer connected to where it was read, or it does not "
        "name this tenant any more. It is shown as it was last, and is not read again.",
    )


class SubscriptionFact(Fact):
    """A fact about a subscription."""

    state: Subscription


class SubscriptionActivated(SubscriptionFact):
    """A subscription was seen active for the first time."""

    TOPIC: ClassVar[str] = "subscription.activated"


class SubscriptionChanged(SubscriptionFact):
    """Something else about a subscription differs from what was seen before."""

    TOPIC: ClassVar[str] = "subscription.changed"


class SubscriptionEnded(SubscriptionFact):
    """A subscription was seen terminated or removed."""

    TOPIC: ClassVar[str] = "subscription.ended"
