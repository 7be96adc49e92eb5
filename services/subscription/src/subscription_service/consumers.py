"""Facts in: whose is what, and what is to be read soon; a handler calls nobody."""

from collections.abc import Callable, Sequence
from typing import Any

from purser_common.web import Process
from purser_events.envelope import Envelope
from purser_events.license import LicenseFact, LicensePurchased, LicenseQuantityChanged
from purser_events.tenant import TenantFact
from purser_events.topics import TOPICS
from subscription_service.domain import Refresh
from subscription_service.store import Connections, Refreshes


def declare(
    process: Process, refreshes: Refreshes, connections: Connections, nudge: Callable[[], None]
) -> None:
    """Consume purchases, changes of seats, and what happens to tenants."""

    async def mark(envelopes: Sequence[Envelope[LicenseFact]]) -> None:
        for envelope in envelopes:
            await refreshes.want(_bought(envelope))
        nudge()

    async def copy(envelopes: Sequence[Envelope[TenantFact]]) -> None:
        await connections.keep(envelopes)
        # After the copy, for readings that found nobody connected, and each time: a repeated fact may
        # be one whose handling ended between the two writes.
        wanted = {one.id: one for one in map(_connected, envelopes) if one is not None}
        for refresh in wanted.values():
            await refreshes.want(refresh)
        nudge()

    process.subscribe("mirror", mark, facts=[LicensePurchased, LicenseQuantityChanged])
    tenant_facts = [topic.fact for topic in TOPICS if topic.aggregate == "tenant"]
    process.subscribe("copies", copy, facts=tenant_facts, batch=True)


def _bought(envelope: Envelope[LicenseFact]) -> Refresh:
    fact = envelope.data
    return _refresh(
        envelope,
        fact.reseller_id,
        fact.marketplace_customer_id,
        fact.marketplace_subscription_id,
    )


def _connected(envelope: Envelope[TenantFact]) -> Refresh | None:
    to = envelope.data.state.connection
    return _refresh(envelope, to.reseller_id, to.marketplace_customer_id, None) if to else None


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
