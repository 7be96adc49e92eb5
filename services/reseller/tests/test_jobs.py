"""Sends that outlive their callers."""

import asyncio
import contextlib

import pytest

from purser_common.errors import Unavailable
from purser_common.testing import eventually
from reseller_service.jobs import Sends


async def test_work_goes_on_when_its_caller_is_cancelled() -> None:
    sends, gate, done = Sends(0), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await gate.wait()
        done.set()

    caller = asyncio.create_task(sends.run(work()))
    await asyncio.sleep(0)
    caller.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await caller
    gate.set()
    async with asyncio.timeout(5):
        await done.wait()


async def test_what_is_kept_is_repeated_until_it_succeeds_even_at_the_end() -> None:
    sends, tries = Sends(0), 0

    async def settle() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable("the database is away")

    watch = asyncio.create_task(sends.watch())
    await asyncio.sleep(0)
    sends.keep(settle)
    await eventually(lambda: tries == 1)
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
    assert tries == 3
    assert sends.fenced is False
