"""Facts in: the read model follows its owners."""

from collections.abc import Sequence
from typing import Any

from gateway_service.store import MODEL, Model
from purser_common.web import Process
from purser_events.envelope import Envelope
from purser_events.topics import TOPICS


def declare(process: Process, model: Model) -> None:
    """Consume the facts of every aggregate that the model keeps."""

    async def fold(envelopes: Sequence[Envelope[Any]]) -> None:
        await model.fold(envelopes)

    facts = [topic.fact for topic in TOPICS if topic.aggregate in MODEL]
    process.subscribe("read-model", fold, facts=facts, batch=True)
