"""Business time and real time (design §5).

Business time carries recorded times, expiries, windows and renewals. Outside production it may run
ahead of real time by the sandbox's offset, which only grows. Tokens, leases, polls and retries use
real time.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx

from purser_common import logs

_log = logs.get(__name__)


class Clock:
    """Tells business time; `follow` keeps its offset equal to the sandbox's."""

    def __init__(self) -> None:
        self._offset = timedelta(0)

    @property
    def offset_seconds(self) -> float:
        """How far business time runs ahead of real time."""
        return self._offset.total_seconds()

    def now(self) -> datetime:
        """Business time, aware UTC."""
        return real_now() + self._offset

    def advance_to(self, offset_seconds: float) -> None:
        """Take a new offset; one that would turn time back is ignored."""
        self._offset = max(self._offset, timedelta(seconds=offset_seconds))

    async def read(self, http: httpx.AsyncClient, url: str) -> None:
        """Read the offset once. Raises httpx.HTTPError when the sandbox is away."""
        answer = await http.get(url, timeout=2.0)
        answer.raise_for_status()
        self.advance_to(float(answer.json()["offset_seconds"]))

    async def follow(self, http: httpx.AsyncClient, url: str, every: float = 0.5) -> None:
        """Read the offset for ever; an absent sandbox leaves it as it was."""
        while True:
            await asyncio.sleep(every)
            try:
                await self.read(http, url)
            except (httpx.HTTPError, ValueError, KeyError) as error:
                _log.debug("clock not read", error=type(error).__name__)


def real_now() -> datetime:
    """Real time, aware UTC, cut to the milliseconds that MongoDB keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
