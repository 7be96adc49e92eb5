"""What time brings: sending, recovering, following, sweeping."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta

from order_service.commands.ports import Requests
from order_service.commands.sending import Counter, recover_next, send_next
from order_service.commands.watching import Post, follow_next, sweep_next
from order_service.domain import purchase as rules
from purser_common.errors import Unavailable
from purser_common.jobs import Job
from purser_common.web import Process


def keeper(
    requests: Requests, lease: timedelta, real_now: Callable[[], datetime]
) -> Callable[[str], AbstractAsyncContextManager[None]]:
    """Keeps a request's lease while its order is on the way, so that nobody else takes it over."""

    async def keep(id: str) -> None:
        while True:
            await asyncio.sleep(lease.total_seconds() / 3)
            try:
                await requests.extend(id, real_now() + lease)
            except Unavailable:
                continue  # a lapsed lease costs a question to the hop, never a second order

    @asynccontextmanager
    async def keeping(id: str) -> AsyncIterator[None]:
        task = asyncio.create_task(keep(id))
        try:
            yield
        finally:
            task.cancel()

    return keeping


def declare(process: Process, counter: Counter, post: Post) -> Job:
    """Declare the jobs; returns the sender, which a new request nudges."""

    async def follow() -> bool:
        return await follow_next(post) is not None

    async def sweep() -> bool:
        return await sweep_next(post)

    follower = process.job("order.follow", follow, every=0.5, workers=4)
    sweeper = process.job("order.sweep", sweep, every=0.5)

    async def send() -> bool:
        sent = await send_next(counter)
        if sent is not None and sent.state.phase == rules.PLACED:
            follower.nudge()
        if sent is not None and sent.state.phase == rules.VERIFYING:
            sweeper.nudge()
        return sent is not None

    async def recover() -> bool:
        return await recover_next(counter) is not None

    process.job("order.recover", recover, every=1.0)
    return process.job("order.send", send, every=1.0, workers=4)
