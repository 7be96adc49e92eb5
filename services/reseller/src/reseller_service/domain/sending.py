"""Whether an order may leave, what became of it, and how long a throttled account rests."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from purser_common.errors import Malformed
from purser_events.reseller import Reseller

TOKEN_LEFT = 120.0
"""Seconds that a token must have left before an order is sent with it (design §4)."""
LARGEST_BODY = 256 * 1024
_ATTEMPT = re.compile(r"[A-Za-z0-9._:-]{1,100}/[1-9][0-9]{0,3}")
_FIRST_REST, _LONGEST_REST = 5.0, 3_600.0
_CALM = timedelta(minutes=10)


@dataclass(frozen=True)
class Attempt:
    """One attempt to send one order: `<request>/<n>`, and until when it may leave (real time)."""

    id: str
    send_by: datetime

    @classmethod
    def read(cls, id: str, send_by: str) -> "Attempt":
        """From the headers of the call. Raises Malformed."""
        try:
            until = datetime.fromisoformat(send_by)
        except ValueError:
            until = None
        if until is None or until.tzinfo is None:
            raise Malformed("Purser-Send-By must be a time with its zone (ISO 8601)")
        return cls(attempt_id(id), until)


def attempt_id(id: str) -> str:
    """The id if it is one of an attempt. Raises Malformed."""
    if not _ATTEMPT.fullmatch(id):
        raise Malformed("Purser-Attempt must be <request>/<n>")
    return id


class Outcome(BaseModel):
    """What became of an attempt. `no` is definitely not sent, `unknown` may have been executed."""

    model_config = ConfigDict(frozen=True)

    sent: Literal["no", "yes", "unknown"]
    status: int | None = Field(default=None, description="The marketplace's status.")
    body: str | None = Field(default=None, description="The marketplace's answer, cut at 256 KiB.")
    reason: str | None = None
    fenced: bool = Field(default=False, description="Whether the pause fence ran (design §4).")
    closed: bool = Field(default=False, description="Closed before it was sent: never will be.")


class Throttle(BaseModel):
    """Until when an account rests because the marketplace answered 429, and how often of late."""

    model_config = ConfigDict(frozen=True)

    paused_until: datetime
    strikes: int


class Permission(BaseModel):
    """Whether a reseller's account may send orders now."""

    model_config = ConfigDict(frozen=True)

    reseller_id: str
    sending_allowed: bool
    reason: str | None
    retry_after_seconds: float | None
    po_suffix: bool = True


def not_sent(reason: str, fenced: bool) -> Outcome:
    """The outcome of an attempt that did not leave."""
    return Outcome(sent="no", reason=reason, fenced=fenced)


def lost(fenced: bool) -> Outcome:
    """What is known of an attempt whose outcome was not stored: it may have been executed."""
    return Outcome(sent="unknown", reason="the outcome was not stored", fenced=fenced)


def seconds_paused(throttle: Throttle | None, now: datetime) -> float | None:
    """How long the account still rests; None when it does not."""
    if throttle is None or throttle.paused_until <= now:
        return None
    return (throttle.paused_until - now).total_seconds()


def permission(reseller: Reseller, throttle: Throttle | None, now: datetime) -> Permission:
    """Whether orders of this reseller may be sent, and if not, why and until when."""
    rest = seconds_paused(throttle, now)
    reason = None
    if not reseller.buying_enabled:
        reason = "buying_disabled"
    elif rest is not None:
        reason = "account_paused"
    return Permission(
        reseller_id=reseller.id,
        sending_allowed=reason is None,
        reason=reason,
        retry_after_seconds=rest,
    )


def throttled(
    before: Throttle | None, retry_after: float | None, spread: float, now: datetime
) -> Throttle:
    """The rest after a 429: as long as it says, else doubling with each one that follows soon.

    `spread` (0 to 1) keeps replicas from coming back together. No rest is longer than an hour.
    """
    strikes = _strikes(before, now)
    rest = retry_after
    if rest is None:
        rest = _FIRST_REST * 2 ** min(strikes - 1, 10) * (1 + spread / 4)
    until = now + timedelta(seconds=min(max(rest, 1.0), _LONGEST_REST))
    if before is not None:
        until = max(until, before.paused_until)
    return Throttle(paused_until=until, strikes=strikes)


def _strikes(before: Throttle | None, now: datetime) -> int:
    if before is None or now - before.paused_until >= _CALM:
        return 1
    # Calls that were under way when the rest began are the same strike.
    return before.strikes + (1 if before.paused_until <= now else 0)
