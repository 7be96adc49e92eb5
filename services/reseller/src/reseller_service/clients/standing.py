"""What the marketplace's answers say of an account: a pause, an outage, or refused credentials."""

import random
from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TypeVar

from prometheus_client import Counter

from purser_common import logs
from purser_common.clock import real_now
from purser_common.errors import Unavailable
from purser_marketplace import errors
from reseller_service.clients.answers import is_outage, refusal_of
from reseller_service.domain import outages
from reseller_service.domain.accounts import Limits, Standing, rested, seconds_paused
from reseller_service.domain.health import Use
from reseller_service.domain.resellers import Account

T = TypeVar("T")
_log = logs.get(__name__)
_pauses = Counter("marketplace_pauses_total", "429 answers that made an account rest.")
_outages = Counter("marketplace_outages_total", "Rests of an account that nobody answered.")


class Accounts(Protocol):
    """Where it is kept whether an account rests."""

    async def standing(self, reseller_id: str) -> Standing: ...
    async def change(
        self, reseller_id: str, decide: Callable[[Standing], tuple[Standing, T]]
    ) -> T: ...


class Watch(Protocol):
    """Keeps what the use of an account's credentials shows."""

    async def note(self, use: Use) -> None: ...


class StandingOf:
    """Asks and tells how accounts stand; all replicas share it."""

    def __init__(self, accounts: Accounts, watch: Watch, limits: Limits) -> None:
        self._accounts = accounts
        self._watch = watch
        self._limits = limits
        self._failing: set[str] = set()

    async def require_ready(self, reseller_id: str, *, urgent: bool) -> None:
        """Raises Unavailable while the account rests, and, but for what is urgent, during an outage."""
        standing, now = await self._accounts.standing(reseller_id), real_now()
        rest = seconds_paused(standing, now)
        if rest is not None:
            raise Unavailable(
                "the marketplace asked for a pause of this reseller's calls",
                code="account_paused",
                retry_after=rest,
            )
        if standing.failures:
            self._failing.add(reseller_id)
        down = outages.seconds_down(standing, now)
        if down is not None and not urgent:
            raise Unavailable(
                "the marketplace has not answered the last calls for this reseller",
                code="marketplace_unavailable",
                retry_after=down,
            )

    async def seen(
        self, account: Account, resource: str | None, error: errors.MarketplaceError | None
    ) -> None:
        """Keep what an answer says, or that there is none; without a resource it is about a token."""
        id = account.reseller.id
        if isinstance(error, errors.Throttled):
            return await self.rest(id, error.retry_after)
        if is_outage(error):
            return await self._failed(id)
        await self._answered(id)
        refused = refusal_of(error, resource)
        if refused is not None or (error is None and resource is not None):
            await self._watch.note(Use(account.reseller, resource or "token", refused))

    async def rest(self, reseller_id: str, seconds: float | None) -> None:
        """Let the account rest after a 429."""
        spread, now = random.random(), real_now()  # noqa: S311

        def rest(standing: Standing) -> tuple[Standing, datetime | None]:
            after = rested(standing, seconds, spread, now)
            return after, after.paused_until

        until = await self._accounts.change(reseller_id, rest)
        _pauses.inc()
        _log.warning("account rests", reseller_id=reseller_id, until=str(until))

    async def _failed(self, reseller_id: str) -> None:
        def fail(standing: Standing) -> tuple[Standing, datetime | None]:
            after = outages.failed(standing, self._limits, real_now())
            return after, after.down_until

        self._failing.add(reseller_id)
        until = await self._accounts.change(reseller_id, fail)
        if until is not None:
            _outages.inc()
            _log.warning("marketplace does not answer", reseller_id=reseller_id, until=str(until))

    async def _answered(self, reseller_id: str) -> None:
        if reseller_id in self._failing:
            self._failing.discard(reseller_id)
            await self._accounts.change(
                reseller_id, lambda before: (outages.answered(before), None)
            )
