"""Business time: UTC plus an offset that only grows."""

from datetime import UTC, datetime, timedelta


class BusinessClock:
    """Tells the sandbox's business time. Token lifetimes follow real time instead."""

    def __init__(self, offset_seconds: float = 0.0) -> None:
        self.offset_seconds = offset_seconds

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset_seconds)

    def advance(self, seconds: float) -> None:
        """Raises `ValueError` for a negative step: business time never goes back."""
        if seconds < 0:
            raise ValueError("advance_seconds must not be negative")
        self.offset_seconds += seconds


def timestamp(moment: datetime) -> str:
    """Date-time as the marketplace writes it, to the second, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
