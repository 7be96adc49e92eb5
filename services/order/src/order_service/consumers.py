"""Facts in: copies of what others own; a handler calls nobody."""

from collections.abc import Sequence
from typing import Any

from order_service.store import Accounts, Connections
from purser_common.clock import real_now
from purser_common.web import Process
from purser_events.envelope import Envelope
from purser_events.topics import TOPICS


def declare(process: Process, connections: Connections, accounts: Accounts) -> None:
    """Consume the facts of every aggregate that is copied; connected accounts are swept."""

    async def keep_connections(envelopes: Sequence[Envelope[Any]]) -> None:
        await connections.keep(envelopes)
        states = (envelope.data.state for envelope in envelopes)
        for reseller_id in {one.connection.reseller_id for one in states if one.connection}:
            await accounts.watch(reseller_id, real_now())

    keepers = {"tenant": keep_connections}

    async def copy(envelopes: Sequence[Envelope[Any]]) -> None:
        for aggregate, keep in keepers.items():
            await keep([e for e in envelopes if e.subject.startswith(f"{aggregate}/")])

    facts = [topic.fact for topic in TOPICS if topic.aggregate in keepers]
    process.subscribe("copies", copy, facts=facts, batch=True)
