"""The budget of detail reads: what an account may read in any minute, leased to replicas in shares.

A minute has ten slots. A share is for the slot in which it is leased, so the reads of any minute belong
to the eleven slots that it touches, and their sum never exceeds the budget, whoever made them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reseller_service.domain.accounts import Leased, Limits, Standing

SLOTS = 10
SLOT = timedelta(seconds=60 / SLOTS)
_COUNTS = SLOT * (SLOTS + 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Share:
    """Reads that a replica may make in one slot, of which some are left."""

    slot: datetime
    size: int
    left: int


@dataclass(frozen=True)
class Exhausted:
    """No read is left; in so many seconds there will be."""

    retry_after: float


def is_detail(method: str, path: str) -> bool:
    """Whether a call reads one object: those are what the marketplace counts."""
    parts = path.strip("/").split("/")
    return method == "GET" and len(parts) == 2 and all(parts)


def slot_of(now: datetime) -> datetime:
    """When the slot of this moment began."""
    return now - (now - _EPOCH) % SLOT


def wanted(last: Share | None, limits: Limits, now: datetime) -> int:
    """How much to lease next: twice the share that was used up in this slot, at most a tenth."""
    if last is None or last.slot != slot_of(now):
        return 1
    return min(last.size * 2, max(1, limits.reads_per_minute // SLOTS))


def leased(
    standing: Standing, last: Share | None, urgent: bool, limits: Limits, now: datetime
) -> tuple[Standing, Share | Exhausted]:
    """Lease another share, and give back what is left of the last one.

    A part of the budget is kept for what is urgent.
    """
    counts = {entry.slot: entry.reads for entry in standing.reads if entry.slot + _COUNTS > now}
    if last is not None and last.slot in counts:
        counts[last.slot] = max(0, counts[last.slot] - last.left)
    kept = 0 if urgent else int(limits.reads_per_minute * limits.reads_reserved_percent / 100)
    room = limits.reads_per_minute - kept - sum(counts.values())
    size = min(wanted(last, limits, now), room)
    slot = slot_of(now)
    if size > 0:
        counts[slot] = counts.get(slot, 0) + size
    entries = tuple(Leased(slot=at, reads=n) for at, n in sorted(counts.items()) if n > 0)
    after = standing.model_copy(update={"reads": entries})
    if size > 0:
        return after, Share(slot, size, size)
    return after, Exhausted(_seconds_until(entries, 1 - room, now))


def _seconds_until(entries: tuple[Leased, ...], needed: int, now: datetime) -> float:
    """When so many reads will have left the minute."""
    for entry in entries:
        needed -= entry.reads
        if needed <= 0:
            return (entry.slot + _COUNTS - now).total_seconds()
    return _COUNTS.total_seconds()
