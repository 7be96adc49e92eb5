"""Facts in: copies of what others own; a handler calls nobody."""

from collections.abc import Sequence
from typing import Any

from order_service.store import Connections
from purser_common.web import Process
from purser_events.envelope import Envelope
from purser_events.topics import TOPICS


def declare(process: Process, connections: Connections) -> None:
    """Consume the facts of every aggregate that is copied."""
    keepers = {"tenant": connections.keep}

    async def copy(envelopes: Sequence[Envelope[Any]]) -> None:
        for aggregate, keep in keepers.items():
            await keep([e for e in envelopes if e.subject.startswith(f"{aggregate}/")])

    facts = [topic.fact for topic in TOPICS if topic.aggregate in keepers]
    process.subscribe("copies", copy, facts=facts, batch=True)
