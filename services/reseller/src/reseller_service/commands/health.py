"""Keeping whether an account works, as every use of its credentials shows it."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from purser_common import logs
from purser_common.errors import Unavailable, VersionConflict
from purser_common.outbox import Loaded
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.reseller import Reseller, ResellerAccount
from reseller_service.domain import health as rules
from reseller_service.domain.health import Use

ATTEMPTS = 5
SERVICE = "service:reseller"
_log = logs.get(__name__)


class Health(Protocol):
    """What uses have shown of each account."""

    async def find(self, reseller_id: str) -> Loaded[ResellerAccount] | None: ...
    async def write(
        self,
        before: Loaded[ResellerAccount] | None,
        state: ResellerAccount,
        facts: Sequence[Fact],
        cause: Cause,
    ) -> None: ...


@dataclass(frozen=True)
class Watch:
    """Notes uses of credentials; it writes when something changes, and never fails a use."""

    health: Health
    now: Callable[[], datetime]

    async def note(self, use: Use) -> None:
        """Keep what a use shows of an account."""
        try:
            await self._noted(use)
        except (Unavailable, VersionConflict) as error:
            # The next use shows the same.
            _log.warning("use not noted", reseller_id=use.reseller.id, error=str(error))

    async def proven(self, reseller: Reseller) -> None:
        """The marketplace has taken the credentials that this state stands for."""
        await self.note(Use(reseller, "token"))

    async def _noted(self, use: Use) -> None:
        for _ in range(ATTEMPTS):
            before = await self.health.find(use.reseller.id)
            decided = rules.observed(before.state if before else None, use, self.now())
            if decided is None:
                return
            state, facts = decided
            cause = Cause(SERVICE, str(uuid.uuid4()))
            try:
                await self.health.write(before, state, facts, cause)
            except VersionConflict:
                continue
            _log.info("account", reseller_id=state.id, status=state.status, reason=state.reason)
            return
        raise VersionConflict(use.reseller.id)
