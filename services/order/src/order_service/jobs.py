"""What time brings: sending, recovering, following, sweeping."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta

from order_service.commands.following import Lookout, follow_next
from order_service.commands.measuring import measure_reviews
from order_service.commands.ports import Requests
from order_service.commands.sending import (
    Counter,
    carry_out,
    queue_overdue,
    recover_next,
    start_next,
)
from order_service.commands.sweeping import Post, sweep_next
from order_service.domain import purchase as rules
from order_service.domain.purchase import Purchase
from purser_common import logs
from purser_common.errors import Unavailable
from purser_common.jobs import Job
from purser_common.outbox import Loaded
from purser_common.web import Process

SENDS_AT_ONCE = 64
"""Sends that one process waits for at a time; each account's own limit is far below."""

_log = logs.get(__name__)


def keeper(
    extend: Callable[[str, datetime], Awaitable[None]],
    lease: timedelta,
    real_now: Callable[[], datetime],
) -> Callable[[str], AbstractAsyncContextManager[None]]:
    """Keeps a lease while its work goes on, so that nobody else takes it over."""

    async def keep(id: str) -> None:
        while True:
            await asyncio.sleep(lease.total_seconds() / 3)
            try:
                await extend(id, real_now() + lease)
            except Unavailable:
                continue  # a lapsed lease costs work that is done twice, never a second order

    @asynccontextmanager
    async def keeping(id: str) -> AsyncIterator[None]:
        task = asyncio.create_task(keep(id))
        try:
            yield
        finally:
            task.cancel()

    return keeping


class Flights:
    """Orders on their way: a slow answer holds up no other order."""

    def __init__(self, fly: Callable[[Loaded[Purchase]], Awaitable[None]]) -> None:
        self._fly = fly
        self._room = asyncio.Semaphore(SENDS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def boarding(self) -> AsyncIterator[Callable[[Loaded[Purchase]], None]]:
        """Room for one more; what is handed over flies on its own."""
        await self._room.acquire()
        handed_over = False

        def hand_over(sending: Loaded[Purchase]) -> None:
            nonlocal handed_over
            handed_over = True
            task = asyncio.create_task(self._flight(sending))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        try:
            yield hand_over
        finally:
            if not handed_over:
                self._room.release()

    async def _flight(self, sending: Loaded[Purchase]) -> None:
        try:
            await self._fly(sending)
        except Unavailable as error:  # it stays SENDING; when its lease lapses the hop is asked
            _log.warning("send given up", request=sending.state.id, error=str(error))
        except Exception:  # noqa: BLE001  as above
            _log.exception("send given up", request=sending.state.id)
        finally:
            self._room.release()

    async def run(self) -> None:
        """Until cancelled; then the flights are left to whoever takes them over."""
        try:
            await asyncio.Event().wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)


def declare(process: Process, counter: Counter, lookout: Lookout, post: Post) -> Job:
    """Declare the jobs; returns the sender, which a new request nudges."""

    async def follow() -> bool:
        return await follow_next(lookout) is not None

    async def sweep() -> bool:
        return await sweep_next(post)

    follower = process.job("order.follow", follow, every=0.5, workers=4)
    sweeper = process.job("order.sweep", sweep, every=0.5, workers=2)

    async def fly(sending: Loaded[Purchase]) -> None:
        sent = await carry_out(counter, sending)
        if sent.state.phase == rules.PLACED:
            follower.nudge()
        if sent.state.phase == rules.VERIFYING:
            sweeper.nudge()
        sender.nudge()

    flights = Flights(fly)
    process.alongside(flights.run)

    async def send() -> bool:
        async with flights.boarding() as hand_over:
            step = await start_next(counter)
            if step is not None and step.sending is not None:
                hand_over(step.sending)
            return step is not None

    async def recover() -> bool:
        return await recover_next(counter) is not None

    process.job("order.recover", recover, every=1.0)
    process.job("order.queue", lambda: queue_overdue(counter), every=5.0)
    sender = process.job("order.send", send, every=0.5, workers=4)
    return sender


def declare_figures(
    process: Process, requests: Requests, within_seconds: float, real_now: Callable[[], datetime]
) -> None:
    """Declare what keeps the figures of the review queue."""

    async def measure() -> bool:
        await measure_reviews(requests, timedelta(seconds=within_seconds), real_now)
        return False

    process.job("order.measure", measure, every=10.0)
