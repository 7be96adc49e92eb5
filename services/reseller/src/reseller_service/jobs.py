"""Sends in flight, which outlive their callers; credentials whose time is over; what alarms watch."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any, Protocol, TypeVar

from prometheus_client import Gauge

from purser_common import jobs, logs
from purser_common.clock import real_now
from purser_common.errors import Unavailable
from purser_common.web import Process
from reseller_service.commands.catalogue import Window, sync_due
from reseller_service.commands.resellers import Registry, settle_closing
from reseller_service.domain import accounts as rules
from reseller_service.domain.accounts import Limits, Standing

FINISH_WITHIN = 8.0
"""Together with the time that requests get, less than a supervisor waits before it kills (30 s)."""

T = TypeVar("T")
_log = logs.get(__name__)
_in_flight = Gauge("orders_in_flight", "Sends whose outcome is not stored yet.")
_paused = Gauge("account_paused", "1 while the account rests after a 429.", ["reseller_id"])
_breaker = Gauge("account_breaker_open", "1 while the breaker is not closed.", ["reseller_id"])
_sends = Gauge("account_sends_in_flight", "Places that are taken.", ["reseller_id"])
_unresolved = Gauge("account_unresolved_orders", "Outcomes being established.", ["reseller_id"])
_stopped = Gauge("buying_stopped", "1 while a stop of buying holds.", ["scope"])


class Sends:
    """Runs each send in a task of its own: a caller that goes away takes nothing with it.

    While it watches, the pause fence runs (reliability §b.6); at the end it finishes what is in flight.
    """

    def __init__(self, fence_seconds: float) -> None:
        self._fence_seconds = fence_seconds
        self._fenced = False
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def fenced(self) -> bool:
        """Whether a pause of this process would end it before it could send."""
        return self._fenced

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of the work, which goes on even when the caller is cancelled."""
        return await asyncio.shield(self._task(work))

    def keep(self, work: Callable[[], Awaitable[None]]) -> None:
        """Repeat the work beside the caller until it succeeds."""
        self._task(_until_done(work))

    async def watch(self) -> None:
        """Keep the fence up until cancelled; then wait a little for what is in flight."""
        fence = asyncio.create_task(self._fence())
        try:
            await asyncio.shield(fence)
        except asyncio.CancelledError:
            await self._finish()
            raise
        finally:
            fence.cancel()
            await asyncio.gather(fence, return_exceptions=True)

    async def _fence(self) -> None:
        if not self._fence_seconds:
            await asyncio.Event().wait()
        self._fenced = True
        try:
            await jobs.fence_pauses(self._fence_seconds)
        finally:
            self._fenced = False

    async def _finish(self) -> None:
        if self._tasks:
            _log.info("finishing sends", in_flight=len(self._tasks))
            _, left = await asyncio.wait(self._tasks, timeout=FINISH_WITHIN)
            if left:
                _log.warning("sends left without an outcome", in_flight=len(left))

    def _task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: _in_flight.set(len(self._tasks)))
        _in_flight.set(len(self._tasks))
        return task


async def _until_done(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
            return
        except Unavailable as error:
            _log.warning("an outcome waits for the database", error=error.detail)
            await asyncio.sleep(0.5)


class Verifications(Protocol):
    """Where proven credentials wait."""

    async def forget(self, now: datetime) -> None: ...


class Accounts(Protocol):
    """Every account's standing."""

    async def all(self) -> dict[str, Standing]: ...


class Stops(Protocol):
    """The stops of buying."""

    async def holding(self) -> list[str]: ...


async def observe(accounts: Accounts, stops: Stops, limits: Limits, now: datetime) -> None:
    """Set the gauges to how the accounts stand at this moment of real time."""
    standings, holding = await accounts.all(), await stops.holding()
    for gauge in (_paused, _breaker, _sends, _unresolved, _stopped):
        gauge.clear()
    for id, standing in standings.items():
        _paused.labels(id).set(rules.seconds_paused(standing, now) is not None)
        _breaker.labels(id).set(rules.breaker(standing, limits, now).phase != "closed")
        _sends.labels(id).set(len(rules.live(standing.sends, now)))
        _unresolved.labels(id).set(len(rules.live(standing.unresolved, now)))
    for scope in holding:
        _stopped.labels(scope).set(1)


def declare(
    process: Process,
    verifications: Verifications,
    accounts: Accounts,
    stops: Stops,
    limits: Limits,
) -> None:
    """Declare the service's jobs."""

    async def forget_expired() -> bool:
        await verifications.forget(process.clock.now())
        return False

    async def observe_accounts() -> bool:
        await observe(accounts, stops, limits, real_now())
        return False

    process.job("verifications.forget", forget_expired, every=30.0)
    process.job("accounts.observe", observe_accounts, every=5.0)


def declare_settling(process: Process, registry: Registry) -> None:
    """Declare the job that settles what a crash left closing."""

    async def settle() -> bool:
        return await settle_closing(registry)

    every = min(5.0, registry.settle_after.total_seconds())
    process.job("resellers.settle", settle, every=every)


def declare_looks(process: Process, window: Window, every: float) -> None:
    """Declare the job that looks at the catalogues whose look is due; two at a time."""

    async def look() -> bool:
        return await sync_due(window)

    process.job("catalogue.sync", look, every=every, workers=2)
