"""Work that time brings: due documents are claimed by a lease, and loops run until nothing is due.

A lease saves work, never safety: what must happen once is decided by the fenced save that follows.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from prometheus_client import Counter

from purser_common import logs
from purser_common.clock import real_now
from purser_common.errors import Problem, Unavailable, VersionConflict
from purser_common.mongo import Collection, Document, PyMongoError, ReturnDocument

_log = logs.get(__name__)
_runs = Counter("job_runs_total", "Units of work, by outcome.", ["job", "outcome"])


async def claim(
    collection: Collection, due: str, lease: timedelta, also: Mapping[str, Any] | None = None
) -> Document | None:
    """Take the document that has been due longest, by compare-and-set on its field `due`.

    The field moves to the lease's end: should the worker die, the document is due again then.
    """
    now = real_now()
    return await collection.find_one_and_update(
        {**(also or {}), due: {"$lte": now}},
        {"$set": {due: now + lease}},
        sort=[(due, 1)],
        return_document=ReturnDocument.AFTER,
    )


@dataclass
class Job:
    """One kind of work. `once` does one unit and tells whether there was any."""

    name: str
    once: Callable[[], Awaitable[bool]]
    every: float
    workers: int = 1
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def nudge(self) -> None:
        """Look for work now instead of after the pause."""
        self.wake.set()


async def run(job: Job) -> None:
    """Run a job's workers until cancelled. An error is logged and the job goes on after a pause."""
    async with asyncio.TaskGroup() as group:
        for _ in range(job.workers):
            group.create_task(_loop(job))


async def _loop(job: Job) -> None:
    while True:
        job.wake.clear()
        if not await _attempt(job):
            try:
                async with asyncio.timeout(job.every):
                    await job.wake.wait()
            except TimeoutError:
                continue


async def _attempt(job: Job) -> bool:
    try:
        worked = await job.once()
    except VersionConflict:
        _runs.labels(job.name, "conflict").inc()
        return True
    except (Unavailable, PyMongoError) as error:
        _runs.labels(job.name, "unavailable").inc()
        _log.warning("job waits", job=job.name, error=str(error))
        return False
    except Problem as error:
        _runs.labels(job.name, "refused").inc()
        _log.warning("job refused", job=job.name, code=error.code, error=error.detail)
        return False
    except Exception:  # noqa: BLE001  one bad document must not end the job
        _runs.labels(job.name, "failed").inc()
        _log.exception("job failed", job=job.name)
        return False
    if worked:
        _runs.labels(job.name, "done").inc()
    return worked


async def fence_pauses(seconds: float = 10.0) -> None:
    """Let the kernel end this process when it was stopped for longer than `seconds`.

    A sender that was paused could send hours late. The timer runs on while the process is stopped, and
    its default action ends the process before one more instruction of ours (reliability §b.6).
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        while True:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            await asyncio.sleep(seconds / 3)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
