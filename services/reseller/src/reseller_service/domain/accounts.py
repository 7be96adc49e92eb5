"""An account's standing: rest after 429, sends in flight, unresolved orders, breaker, leased reads.

All of it is real time. Whatever is under way is an entry that expires by itself, never a counter, so
that nobody who dies takes a place for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from purser_events.reseller import Reseller

ASK_AGAIN = 1.0
"""Seconds after which a place may have become free."""
MOST_UNRESOLVED = 100
_FIRST_REST, _LONGEST_REST = 5.0, 3_600.0
_CALM = timedelta(minutes=10)


class Limits(BaseModel):
    """What an account allows (reliability §b.8)."""

    model_config = ConfigDict(frozen=True)

    sends_in_flight: int = Field(default=2, ge=1, le=100)
    take_seconds: float = Field(
        default=30.0, gt=0, description="How long a permitted attempt keeps its place unsent."
    )
    breaker_unresolved: int = Field(
        default=3, ge=1, description="With so many unresolved orders nothing more is sent."
    )
    breaker_window: int = Field(default=10, ge=1, le=100, description="Sends that are judged.")
    breaker_ambiguous_percent: float = Field(
        default=20.0, ge=0, le=100, description="With more ambiguous ones in the window: none."
    )
    breaker_rest_seconds: float = Field(
        default=60.0, gt=0, description="Rest after the last ambiguous send, before one may probe."
    )
    unresolved_seconds: float = Field(
        default=3_600.0, gt=0, description="How long an unresolved order counts unless repeated."
    )
    reads_per_minute: int = Field(
        default=600, ge=1, description="Detail reads of an account in any minute."
    )
    reads_reserved_percent: float = Field(
        default=20.0, ge=0, lt=100, description="The part of them that is kept for reconciling."
    )
    outage_failures: int = Field(
        default=5, ge=1, description="After so many calls in a row without an answer: rest."
    )
    outage_rest_seconds: float = Field(
        default=5.0, gt=0, description="How long then nothing but reconciling calls."
    )


class Send(BaseModel):
    """An attempt that may be under way."""

    model_config = ConfigDict(frozen=True)

    attempt: str
    until: datetime


class Settled(BaseModel):
    """A send that has an outcome: ambiguous when there may be an order nobody has seen."""

    model_config = ConfigDict(frozen=True)

    attempt: str
    ambiguous: bool
    at: datetime


class Unresolved(BaseModel):
    """A request whose order's outcome is being established."""

    model_config = ConfigDict(frozen=True)

    request_id: str
    until: datetime


class Leased(BaseModel):
    """Detail reads that were leased in a slot of a minute."""

    model_config = ConfigDict(frozen=True)

    slot: datetime
    reads: int


class Standing(BaseModel):
    """Everything that decides whether an account may be used now. Every array is bounded."""

    model_config = ConfigDict(frozen=True)

    paused_until: datetime | None = None
    strikes: int = 0
    sends: tuple[Send, ...] = ()
    recent: tuple[Settled, ...] = ()
    unresolved: tuple[Unresolved, ...] = ()
    reads: tuple[Leased, ...] = ()
    failures: int = 0
    down_until: datetime | None = None


@dataclass(frozen=True)
class Breaker:
    """`open`: reconcile only; `probing`: one send at a time. `rest` is in seconds, 0 when closed."""

    phase: Literal["closed", "open", "probing"]
    rest: float = 0.0


@dataclass(frozen=True)
class Refusal:
    """Why nothing may be sent now, and in how many seconds it is worth asking again."""

    reason: str
    retry_after: float | None


class Permission(BaseModel):
    """Whether a reseller's account may send orders now."""

    model_config = ConfigDict(frozen=True)

    reseller_id: str
    sending_allowed: bool
    reason: str | None
    retry_after_seconds: float | None


class _Expiring(Protocol):
    @property
    def until(self) -> datetime: ...


E = TypeVar("E", bound=_Expiring)


def live(entries: Iterable[E], now: datetime) -> tuple[E, ...]:
    """The entries that have not expired."""
    return tuple(entry for entry in entries if entry.until > now)


def forbidden(reseller: Reseller, stopped: bool) -> Refusal | None:
    """Why people do not let this reseller buy now; nobody knows until when."""
    if stopped:
        return Refusal("buying_stopped", None)
    if not reseller.buying_enabled:
        return Refusal("buying_disabled", None)
    return None


def permission(reseller_id: str, refusal: Refusal | None) -> Permission:
    """Whether orders of this reseller may be sent, and if not, why and until when."""
    return Permission(
        reseller_id=reseller_id,
        sending_allowed=refusal is None,
        reason=refusal.reason if refusal else None,
        retry_after_seconds=refusal.retry_after if refusal else None,
    )


# -- resting --------------------------------------------------------------------------------------


def seconds_paused(standing: Standing, now: datetime) -> float | None:
    """How long the account still rests; None when it does not."""
    if standing.paused_until is None or standing.paused_until <= now:
        return None
    return (standing.paused_until - now).total_seconds()


def rested(standing: Standing, retry_after: float | None, spread: float, now: datetime) -> Standing:
    """The rest after a 429: as long as it says, else doubling with each one that follows soon.

    `spread` (0 to 1) keeps replicas from coming back together. No rest is longer than an hour, and
    a shorter one does not end a longer one.
    """
    strikes = _strikes(standing, now)
    rest = retry_after
    if rest is None:
        rest = _FIRST_REST * 2 ** min(strikes - 1, 10) * (1 + spread / 4)
    until = now + timedelta(seconds=min(max(rest, 1.0), _LONGEST_REST))
    if standing.paused_until is not None:
        until = max(until, standing.paused_until)
    return standing.model_copy(update={"paused_until": until, "strikes": strikes})


def _strikes(standing: Standing, now: datetime) -> int:
    before = standing.paused_until
    if before is None or now - before >= _CALM:
        return 1
    # Calls that were under way when the rest began are the same strike.
    return standing.strikes + (1 if before <= now else 0)


# -- the breaker ----------------------------------------------------------------------------------


def breaker(standing: Standing, limits: Limits, now: datetime) -> Breaker:
    """Whether too much is uncertain to send more (reliability §b.8).

    It is open while too many orders are unresolved, and for a rest after the last ambiguous send of a
    window with too many; then one send at a time probes, until one has an outcome that is not ambiguous.
    """
    rest = limits.breaker_rest_seconds
    if len(live(standing.unresolved, now)) >= limits.breaker_unresolved:
        return Breaker("open", rest)
    ambiguous = [settled.at for settled in standing.recent if settled.ambiguous]
    if len(ambiguous) * 100 <= limits.breaker_ambiguous_percent * limits.breaker_window:
        return Breaker("closed")
    left = rest - (now - max(ambiguous)).total_seconds()
    return Breaker("open", left) if left > 0 else Breaker("probing")


def verifying(standing: Standing, request_id: str, limits: Limits, now: datetime) -> Standing:
    """The request's order is unresolved, for as long as that is said again."""
    until = now + timedelta(seconds=limits.unresolved_seconds)
    others = resolved(standing, request_id, now).unresolved[-MOST_UNRESOLVED + 1 :]
    told = Unresolved(request_id=request_id, until=until)
    return standing.model_copy(update={"unresolved": (*others, told)})


def resolved(standing: Standing, request_id: str, now: datetime) -> Standing:
    """The request's order is not unresolved any more."""
    left = tuple(u for u in live(standing.unresolved, now) if u.request_id != request_id)
    return standing.model_copy(update={"unresolved": left})


# -- sends in flight ------------------------------------------------------------------------------


def refusal(
    standing: Standing, attempt: str | None, limits: Limits, now: datetime
) -> Refusal | None:
    """Why the account takes no send now; None when it does. An attempt's own place is not in its way."""
    rest = seconds_paused(standing, now)
    if rest is not None:
        return Refusal("account_paused", rest)
    state = breaker(standing, limits, now)
    if state.phase == "open":
        return Refusal("breaker_open", state.rest)
    others = [send for send in live(standing.sends, now) if send.attempt != attempt]
    if others and state.phase == "probing":
        return Refusal("breaker_open", ASK_AGAIN)
    if len(others) >= limits.sends_in_flight:
        return Refusal("sends_in_flight", ASK_AGAIN)
    return None


def taken(
    standing: Standing, attempt: str, seconds: float, limits: Limits, now: datetime
) -> tuple[Standing, Refusal | None]:
    """Give the attempt a place for so long, or keep the one it has; refused, nothing changes."""
    refused = refusal(standing, attempt, limits, now)
    if refused is not None:
        return standing, refused
    until = now + timedelta(seconds=seconds)
    own = [send.until for send in standing.sends if send.attempt == attempt]
    place = Send(attempt=attempt, until=max([until, *own]))
    return standing.model_copy(update={"sends": (*_without(standing, attempt, now), place)}), None


def freed(standing: Standing, attempt: str, now: datetime) -> Standing:
    """The attempt is not under way any more."""
    return standing.model_copy(update={"sends": _without(standing, attempt, now)})


def settled(
    standing: Standing, attempt: str, ambiguous: bool, limits: Limits, now: datetime
) -> Standing:
    """An attempt was sent and has an outcome; the same told again changes nothing.

    The first outcome after a rest that is not ambiguous shows that the marketplace answers: what was
    judged before is forgotten, which closes the breaker.
    """
    if any(s.attempt == attempt and s.ambiguous == ambiguous for s in standing.recent):
        return standing
    before = [s for s in standing.recent if s.attempt != attempt]
    if not ambiguous and breaker(standing, limits, now).phase == "probing":
        before = []
    outcome = Settled(attempt=attempt, ambiguous=ambiguous, at=now)
    recent = (*before, outcome)[-limits.breaker_window :]
    return standing.model_copy(update={"recent": recent})


def _without(standing: Standing, attempt: str, now: datetime) -> tuple[Send, ...]:
    return tuple(send for send in live(standing.sends, now) if send.attempt != attempt)
