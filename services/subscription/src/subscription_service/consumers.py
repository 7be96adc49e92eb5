"""Facts in: whose is what, what it is mapped to and costs, and what is to be read soon; a handler calls nobody."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from purser_common.web import Process
from purser_events.envelope import Envelope
from purser_events.license import LicenseFact, LicensePurchased, LicenseQuantityChanged
from purser_events.price import PricePlanFact
from purser_events.reseller import LicenseMappingFact
from purser_events.tenant import TenantFact
from purser_events.topics import TOPICS
from subscription_service.domain.mirror import Refresh
from subscription_service.store import Connections, Mappings, Prices, Refreshes

COPIED = ("tenant", "license-mapping", "price-plan")


@dataclass(frozen=True)
class Copies:
    """What is kept of others' facts."""

    connections: Connections
    mappings: Mappings
    prices: Prices


def declare(
    process: Process, refreshes: Refreshes, copies: Copies, nudge: Callable[[], None]
) -> None:
    """Consume purchases and changes of seats, and what is copied of others."""

    async def mark(envelopes: Sequence[Envelope[LicenseFact]]) -> None:
        for envelope in envelopes:
            await refreshes.want(_bought(envelope))
        nudge()

    async def copy(envelopes: Sequence[Envelope[Any]]) -> None:
        await copies.mappings.keep([e for e in envelopes if isinstance(e.data, LicenseMappingFact)])
        await copies.prices.keep([e for e in envelopes if isinstance(e.data, PricePlanFact)])
        tenants = [e for e in envelopes if isinstance(e.data, TenantFact)]
        left = await copies.connections.places({e.data.state.id for e in tenants})
        await copies.connections.keep(tenants)
        # After the copy, for readings that found nobody connected, and each time: a repeated fact may
        # be one whose handling ended between the two writes. What was left behind then is found by
        # the next reading of everything there.
        wanted = {one.id: one for e in tenants for one in _concerned(e, left)}
        for refresh in wanted.values():
            await refreshes.want(refresh)
        nudge()

    process.subscribe("mirror", mark, facts=[LicensePurchased, LicenseQuantityChanged])
    copied = [topic.fact for topic in TOPICS if topic.aggregate in COPIED]
    process.subscribe("copies", copy, facts=copied, batch=True)


def _bought(envelope: Envelope[LicenseFact]) -> Refresh:
    fact = envelope.data
    return _refresh(
        envelope,
        fact.reseller_id,
        fact.marketplace_customer_id,
        fact.marketplace_subscription_id,
    )


def _concerned(envelope: Envelope[TenantFact], left: dict[str, tuple[str, str]]) -> list[Refresh]:
    """Everything where the tenant is connected, and where it was."""
    tenant = envelope.data.state
    to = tenant.connection
    places = {left.get(tenant.id), (to.reseller_id, to.marketplace_customer_id) if to else None}
    return [_refresh(envelope, *place, None) for place in places if place is not None]


def _refresh(
    envelope: Envelope[Any], reseller: str, customer: str, subscription: str | None
) -> Refresh:
    return Refresh(
        id=f"{reseller}|{customer}|{subscription or 'all'}",
        reseller_id=reseller,
        marketplace_customer_id=customer,
        marketplace_subscription_id=subscription,
        correlation_id=envelope.correlationid,
        causation_id=envelope.id,
        traceparent=envelope.traceparent,
        wanted=0,
    )
