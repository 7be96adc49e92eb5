"""Facts in: what they say is to be read soon; a handler calls nobody."""

from collections.abc import Callable, Sequence
from typing import Any

from purser_common.web import Process
from purser_events.envelope import Envelope
from purser_events.license import LicensePurchased
from purser_events.tenant import TenantConnected
from subscription_service.domain import Refresh
from subscription_service.store import Refreshes


def declare(process: Process, refreshes: Refreshes, nudge: Callable[[], None]) -> None:
    """Consume purchases and new connections."""

    async def mark(envelopes: Sequence[Envelope[Any]]) -> None:
        for envelope in envelopes:
            refresh = _refresh(envelope)
            if refresh is not None:
                await refreshes.want(refresh)
        nudge()

    process.subscribe("mirror", mark, facts=[LicensePurchased, TenantConnected])


def _refresh(envelope: Envelope[Any]) -> Refresh | None:
    fact = envelope.data
    if isinstance(fact, LicensePurchased):
        reseller, customer = fact.reseller_id, fact.marketplace_customer_id
        subscription: str | None = fact.marketplace_subscription_id
    elif fact.state.connection is not None:
        reseller = fact.state.connection.reseller_id
        customer, subscription = fact.state.connection.marketplace_customer_id, None
    else:
        return None
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
