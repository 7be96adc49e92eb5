"""How many single objects a login may read in any minute."""

import time
from collections import defaultdict, deque

from purser_sandbox.marketplace.errors import Refused
from purser_sandbox.world.records import Login

WINDOW = 60.0


class DetailReads:
    """The reads of the last minute by login; they are not kept over a restart."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)

    def spend(self, login: Login) -> None:
        """Counts one read; refuses it when the login has read too much. A limit of 0 is none."""
        own = login.reads_per_minute
        limit = self._per_minute if own is None else own
        times, now = self._times[login.id], time.monotonic()
        while times and times[0] <= now - WINDOW:
            times.popleft()
        if limit and len(times) >= limit:
            wait = int(times[0] + WINDOW - now) + 1
            message = f"Rate limit is exceeded. Try again in {wait} seconds."
            raise Refused(429, message, "gateway", retry_after=wait)
        times.append(now)

    def clear(self) -> None:
        self._times.clear()
