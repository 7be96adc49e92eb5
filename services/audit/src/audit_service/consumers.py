"""Facts in: every topic, in batches."""

from collections.abc import Sequence
from typing import Any

from audit_service.store import Records
from purser_common.web import Process
from purser_events.envelope import Envelope


def declare(process: Process, records: Records) -> None:
    """Consume everything that is published."""

    async def keep(envelopes: Sequence[Envelope[Any]]) -> None:
        await records.keep(envelopes)

    process.subscribe("record", keep, batch=True)
