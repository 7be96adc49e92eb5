"""Stopping all buying, or one reseller's, and resuming it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from purser_common.errors import FieldError, Invalid, NotFound, VersionConflict
from purser_common.identity import Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from purser_events.buying import BuyingStop
from purser_events.envelope import Fact
from purser_events.reseller import Reseller
from reseller_service.domain import buying as rules

ATTEMPTS = 3


class Stops(Protocol):
    """Where stops are kept, one for each scope."""

    async def find(self, scope: str) -> Loaded[BuyingStop] | None: ...
    async def replayed(self, scope: str, request: Request) -> Loaded[BuyingStop] | None: ...
    async def insert(
        self, state: BuyingStop, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[BuyingStop] | None: ...
    async def save(
        self,
        loaded: Loaded[BuyingStop],
        state: BuyingStop,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[BuyingStop]: ...


class Resellers(Protocol):
    """Reads resellers."""

    async def load(self, id: str) -> Loaded[Reseller]: ...


@dataclass(frozen=True)
class Switch:
    """What stopping and resuming needs."""

    stops: Stops
    resellers: Resellers
    now: Callable[[], datetime]


async def stop_buying(
    switch: Switch, scope: str, reason: str, caller: Caller, cause: Cause, request: Request
) -> Loaded[BuyingStop]:
    """From now on nothing is sent in this scope: `all`, or a reseller's id. What is sent goes on.

    Raises Forbidden; Invalid for an unknown reseller; Conflict when buying is stopped there.
    """
    caller.require("purchaser")
    await _require_scope(switch, scope)
    for _ in range(ATTEMPTS):
        earlier = await switch.stops.replayed(scope, request)
        if earlier is not None:
            return earlier
        before = await switch.stops.find(scope)
        state, facts = rules.buying_stopped(
            before.state if before else None, scope, reason, cause.actor, switch.now()
        )
        try:
            if before is not None:
                return await switch.stops.save(before, state, facts, cause, request)
            stopped = await switch.stops.insert(state, facts, cause, request)
        except VersionConflict:
            continue
        if stopped is not None:
            return stopped
    raise VersionConflict(scope)


async def view_stop(switch: Switch, id: str) -> Loaded[BuyingStop]:
    """A stop that holds. Raises NotFound, also for one that was lifted."""
    found = await switch.stops.find(id)
    if found is None or found.state.status != rules.STOPPED:
        raise NotFound("buying is not stopped here")
    return found


async def resume_buying(
    switch: Switch, id: str, expected: int, caller: Caller, cause: Cause
) -> Loaded[BuyingStop]:
    """Lift a stop: what waited is sent, unless another stop holds it.

    Raises Forbidden, NotFound, Stale when it has changed since `expected`.
    """
    caller.require("purchaser")
    for _ in range(ATTEMPTS):
        loaded = await view_stop(switch, id)
        loaded.must_be_at(expected, "the stop")
        state, facts = rules.buying_resumed(loaded.state, cause.actor, switch.now())
        try:
            return await switch.stops.save(loaded, state, facts, cause)
        except VersionConflict:
            continue
    raise VersionConflict(id)


async def _require_scope(switch: Switch, scope: str) -> None:
    if scope == rules.ALL:
        return
    try:
        await switch.resellers.load(scope)
    except NotFound:
        raise Invalid(
            "there is no such reseller",
            code="unknown_reseller",
            errors=(FieldError("/scope", "all, or the id of one of /v1/resellers"),),
        ) from None
