"""The queue of requests that wait for a person, in figures."""

from collections.abc import Callable
from datetime import datetime, timedelta

from prometheus_client import Gauge

from order_service.commands.ports import Requests

_items = Gauge("review_items", "Requests that wait for a person's answer.")
_oldest = Gauge("review_oldest_seconds", "How long the oldest of them has been unknown.")
_overdue = Gauge("review_overdue_items", "Requests that have waited longer than they may.")


async def measure_reviews(
    requests: Requests, within: timedelta, real_now: Callable[[], datetime]
) -> None:
    """Set the figures of the review queue; a wait begins with the send whose outcome is unknown."""
    now = real_now()
    waits = [now - since for since in await requests.in_review()]
    _items.set(len(waits))
    _oldest.set(max(waits, default=timedelta(0)).total_seconds())
    _overdue.set(sum(1 for wait in waits if wait > within))
