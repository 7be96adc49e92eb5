"""An attempt to send an order, and what became of it."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from purser_common.errors import Malformed

TOKEN_LEFT = 120.0
"""Seconds that a token must have left before an order is sent with it (design §4)."""
LARGEST_BODY = 256 * 1024
_ATTEMPT = re.compile(r"[A-Za-z0-9._:-]{1,100}/[1-9][0-9]{0,3}")


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
    ambiguous: bool = Field(
        default=False, description="Sent, and there may or may not be an order."
    )


@dataclass(frozen=True)
class Noted:
    """What is stored of an attempt; a closed one names no reseller."""

    reseller_id: str | None
    fenced: bool
    outcome: Outcome | None


def not_sent(reason: str, fenced: bool) -> Outcome:
    """The outcome of an attempt that did not leave."""
    return Outcome(sent="no", reason=reason, fenced=fenced)


def lost(fenced: bool) -> Outcome:
    """What is known of an attempt whose outcome was not stored: it may have been executed."""
    reason = "the outcome was not stored"
    return Outcome(sent="unknown", reason=reason, fenced=fenced, ambiguous=True)
