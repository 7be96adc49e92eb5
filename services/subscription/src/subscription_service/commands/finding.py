"""Keeping the findings of a subscription: what holds is open, everything else closes by itself."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from purser_common.outbox import Loaded
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.finding import Finding, finding_id
from subscription_service.domain import finding as rules
from subscription_service.domain.finding import KINDS, Found, object_of


class Findings(Protocol):
    """Where findings are kept, those that closed too."""

    async def all(self, ids: Sequence[str]) -> list[Loaded[Finding]]: ...
    async def insert(
        self, finding: Finding, facts: Sequence[Fact], cause: Cause
    ) -> Loaded[Finding]: ...
    async def save(
        self, loaded: Loaded[Finding], finding: Finding, facts: Sequence[Fact], cause: Cause
    ) -> Loaded[Finding]: ...


async def settle(
    findings: Findings, subscription_id: str, found: Found | None, now: datetime, cause: Cause
) -> None:
    """Let exactly this be open of a subscription, or nothing. Raises VersionConflict."""
    ids = [finding_id(kind, object_of(subscription_id)) for kind in KINDS]
    kept = {one.state.kind: one for one in await findings.all(ids)}
    for kind, loaded in kept.items():
        if found is None or kind != found.kind:
            state, facts = rules.closed(loaded.state, now)
            if facts:
                await findings.save(loaded, state, facts, cause)
    if found is None:
        return
    before = kept.get(found.kind)
    state, facts = rules.found(before.state if before else None, found, now)
    if before is None:
        await findings.insert(state, facts, cause)
    elif facts:
        await findings.save(before, state, facts, cause)
