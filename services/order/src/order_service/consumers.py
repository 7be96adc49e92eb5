"""Facts in: copies of what others own; a handler calls nobody."""

from collections.abc import Sequence
from typing import Any

from order_service.commands.withdrawing import withdraw_waiting
from order_service.store import Accounts, Connections, Requests, SubscriptionCopies
from purser_common.clock import real_now
from purser_common.telemetry import Cause
from purser_common.web import Process
from purser_events.envelope import Envelope
from purser_events.topics import TOPICS


def declare(
    process: Process,
    connections: Connections,
    accounts: Accounts,
    subscriptions: SubscriptionCopies,
    requests: Requests,
) -> None:
    """Consume the facts of every aggregate that is copied.

    Connected accounts are swept, and what waits to be sent for a removed tenant is withdrawn.
    """

    async def keep_connections(envelopes: Sequence[Envelope[Any]]) -> None:
        await connections.keep(envelopes)
        for one in envelopes:
            if one.data.state.status == "removed":
                cause = Cause(one.actor, one.correlationid, causation_id=one.id)
                await withdraw_waiting(requests, one.data.state.id, one.time, cause)
        states = (envelope.data.state for envelope in envelopes)
        for reseller_id in {one.connection.reseller_id for one in states if one.connection}:
            await accounts.watch(reseller_id, real_now())

    keepers = {"tenant": keep_connections, "subscription": subscriptions.keep}

    async def copy(envelopes: Sequence[Envelope[Any]]) -> None:
        for aggregate, keep in keepers.items():
            await keep([e for e in envelopes if e.subject.startswith(f"{aggregate}/")])

    facts = [topic.fact for topic in TOPICS if topic.aggregate in keepers]
    process.subscribe("copies", copy, facts=facts, batch=True)
