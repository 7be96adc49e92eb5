"""Spending an account's budget of detail reads, which all replicas share."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime

from prometheus_client import Counter

from purser_common.errors import Unavailable
from reseller_service.commands.accounts import Accounts
from reseller_service.domain import reading as rules
from reseller_service.domain.accounts import Limits, Standing
from reseller_service.domain.reading import Exhausted, Share

_exhausted = Counter("read_budget_exhausted_total", "Detail reads beyond the budget.", ["priority"])


class ReadBudget:
    """This replica's shares of the accounts' budgets: a write per share, not per read."""

    def __init__(self, accounts: Accounts, limits: Limits, now: Callable[[], datetime]) -> None:
        self._accounts = accounts
        self._limits = limits
        self._now = now
        self._shares: dict[tuple[str, bool], Share] = {}
        self._locks: defaultdict[tuple[str, bool], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def spend(self, reseller_id: str, *, urgent: bool) -> None:
        """Count one detail read of an account. Raises Unavailable when the budget is exhausted."""
        key = (reseller_id, urgent)
        async with self._locks[key]:
            share = self._shares.get(key)
            if share is None or not share.left or share.slot != rules.slot_of(self._now()):
                share = self._shares[key] = await self._lease(key)
            share.left -= 1

    async def _lease(self, key: tuple[str, bool]) -> Share:
        reseller_id, urgent = key
        # Forgotten first: what is left of it may be given back only once.
        last = self._shares.pop(key, None)

        def decide(standing: Standing) -> tuple[Standing, Share | Exhausted]:
            return rules.leased(standing, last, urgent, self._limits, self._now())

        found = await self._accounts.change(reseller_id, decide)
        if isinstance(found, Share):
            return found
        _exhausted.labels("reconcile" if urgent else "normal").inc()
        raise Unavailable(
            "this account has read as much of the marketplace as it may in a minute",
            code="read_budget_exhausted",
            retry_after=found.retry_after,
        )
