"""When a placed order is looked at again."""

from datetime import timedelta

PLAN: tuple[tuple[float, int], ...] = ((1, 1), (3, 1), (10, 6), (30, 10), (120, 30))
"""(seconds, reads): the first read is immediate; then these; then every 15 minutes (marketplace §4)."""


def next_read(reads: int) -> timedelta:
    """The pause after so many reads."""
    for seconds, times in PLAN:
        if reads < times:
            return timedelta(seconds=seconds)
        reads -= times
    return timedelta(minutes=15)
