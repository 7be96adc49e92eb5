"""Every topic as data: who writes it, which fact travels on it, and what its records are keyed by."""

from dataclasses import dataclass

from purser_events import access, buying, finding, license, price, reseller, subscription, tenant
from purser_events.envelope import Fact, event_type

PARTITIONS = 12


@dataclass(frozen=True)
class Topic:
    """One topic: it carries one fact and is written by the services that own such aggregates."""

    fact: type[Fact]
    owners: tuple[str, ...]
    aggregate: str

    @property
    def name(self) -> str:
        """The topic's name, which is the fact's name."""
        return self.fact.TOPIC

    @property
    def event_type(self) -> str:
        """The CloudEvents `type` of its records."""
        return event_type(self.name)


def _topics(owners: str | tuple[str, ...], aggregate: str, *facts: type[Fact]) -> list[Topic]:
    several = (owners,) if isinstance(owners, str) else owners
    return [Topic(fact, several, aggregate) for fact in facts]


TOPICS: tuple[Topic, ...] = (
    *_topics(
        "reseller",
        "reseller",
        reseller.ResellerAdded,
        reseller.ResellerUpdated,
        reseller.ResellerBuyingEnabled,
        reseller.ResellerBuyingDisabled,
        reseller.ResellerDeleted,
    ),
    *_topics(
        "reseller",
        "reseller-account",
        reseller.ResellerAccountBroken,
        reseller.ResellerAccountRecovered,
    ),
    *_topics("reseller", "license-mapping", reseller.LicenseMapped, reseller.LicenseUnmapped),
    *_topics("reseller", "price-plan", price.PriceCustomized),
    *_topics("reseller", "buying-stop", buying.BuyingStopped, buying.BuyingResumed),
    *_topics(
        "tenant-connection",
        "customer",
        tenant.CustomerAdded,
        tenant.CustomerUpdated,
        tenant.CustomerRemoved,
    ),
    *_topics(
        "tenant-connection",
        "tenant",
        tenant.TenantRegistered,
        tenant.TenantConsentRequested,
        tenant.TenantConsented,
        tenant.TenantConsentRevoked,
        tenant.TenantAdded,
        tenant.TenantConnected,
        tenant.TenantConnectionChanged,
        tenant.TenantDisconnected,
        tenant.TenantRemoved,
    ),
    *_topics(
        "subscription",
        "subscription",
        subscription.SubscriptionActivated,
        subscription.SubscriptionChanged,
        subscription.SubscriptionEnded,
    ),
    *_topics(
        ("subscription",),
        "finding",
        finding.FindingOpened,
        finding.FindingChanged,
        finding.FindingClosed,
    ),
    *_topics(
        "order",
        "license-change-request",
        license.LicenseChangeRequested,
        license.LicenseChangeWithdrawn,
        license.OrderPlaced,
        license.OrderUncertain,
        license.OrderReviewSettled,
        license.OrderDuplicateSuspected,
        license.OrderFailed,
        license.OrderCompleted,
        license.LicensePurchased,
        license.LicenseQuantityChanged,
    ),
    *_topics("order", "order", license.OrderObserved),
    *_topics("order", "spend-cap", license.SpendCapChanged),
    *_topics("gateway", "role-assignment", access.AccessGranted, access.AccessRevoked),
    *_topics("gateway", "action", access.ActionPerformed, access.ActionRefused),
)

BY_TYPE: dict[str, Topic] = {topic.event_type: topic for topic in TOPICS}
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in TOPICS}

CONSUMER_GROUPS: tuple[str, ...] = (
    "subscription.mirror",
    "subscription.copies",
    "order.copies",
    "audit.record",
    "gateway.read-model",
)
"""Every consumer group of Purser; each has a dead-letter topic `<group>.dlq`."""


def dead_letter(group: str) -> str:
    """The topic that takes what a group could not read."""
    return f"{group}.dlq"
