"""What a process tells of itself."""

import asyncio
import time

from prometheus_client import REGISTRY

from purser_common import telemetry
from purser_common.testing import eventually


async def test_code_that_blocks_the_event_loop_shows_as_lag() -> None:
    def lag() -> float:
        return REGISTRY.get_sample_value("event_loop_lag_seconds") or 0.0

    def late_by_the_last_block() -> bool:
        late = lag() > 0.2
        time.sleep(0.3)
        return late

    watching = asyncio.create_task(telemetry.watch_loop(every=0.05))
    await eventually(late_by_the_last_block, every=0.01)
    watching.cancel()
