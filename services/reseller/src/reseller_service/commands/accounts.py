"""Whether an account may send, the places that its sends take, and what is unresolved."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from prometheus_client import Counter

from purser_common.outbox import Loaded
from purser_events.reseller import Reseller
from reseller_service.domain import accounts as rules
from reseller_service.domain.accounts import Limits, Permission, Refusal, Standing
from reseller_service.domain.sending import Outcome

T = TypeVar("T")
_refused = Counter("sends_refused_total", "Sends that an account did not allow.", ["reason"])


class Resellers(Protocol):
    """Reads resellers."""

    async def load(self, id: str) -> Loaded[Reseller]: ...


class Stops(Protocol):
    """Whether people have stopped buying."""

    async def holds(self, reseller_id: str) -> bool: ...


class Accounts(Protocol):
    """Every account's standing; `change` may decide more than once."""

    async def standing(self, reseller_id: str) -> Standing: ...
    async def change(
        self, reseller_id: str, decide: Callable[[Standing], tuple[Standing, T]]
    ) -> T: ...


@dataclass(frozen=True)
class Gatekeeper:
    """What deciding about an account needs. `now` is real time."""

    resellers: Resellers
    stops: Stops
    accounts: Accounts
    limits: Limits
    now: Callable[[], datetime]


async def permission(
    keeper: Gatekeeper, reseller_id: str, attempt: str | None = None
) -> Permission:
    """Whether a reseller's account takes this or another send now. Raises NotFound, Unavailable."""
    refused = await _forbidden(keeper, reseller_id)
    if refused is None:
        standing = await keeper.accounts.standing(reseller_id)
        refused = rules.refusal(standing, attempt, keeper.limits, keeper.now())
    return _told(reseller_id, refused)


async def take(
    keeper: Gatekeeper, reseller_id: str, attempt: str, seconds: float | None = None
) -> Permission:
    """Give an attempt a place among the account's sends for so long, if it may be sent now.

    The place expires by itself; asking again renews it. Raises NotFound, Unavailable.
    """
    held = keeper.limits.take_seconds if seconds is None else seconds

    def decide(standing: Standing) -> tuple[Standing, Refusal | None]:
        return rules.taken(standing, attempt, held, keeper.limits, keeper.now())

    refused = await _forbidden(keeper, reseller_id)
    if refused is None:
        refused = await keeper.accounts.change(reseller_id, decide)
    return _told(reseller_id, refused)


def _told(reseller_id: str, refused: Refusal | None) -> Permission:
    if refused is not None:
        _refused.labels(refused.reason).inc()
    return rules.permission(reseller_id, refused)


async def _forbidden(keeper: Gatekeeper, reseller_id: str) -> Refusal | None:
    reseller = await keeper.resellers.load(reseller_id)
    return rules.forbidden(reseller.state, await keeper.stops.holds(reseller_id))


async def settle(keeper: Gatekeeper, reseller_id: str, attempt: str, outcome: Outcome) -> None:
    """Free the place of an attempt that has an outcome, and judge it. Raises Unavailable."""

    def decide(standing: Standing) -> tuple[Standing, None]:
        return _judged(keeper, rules.freed(standing, attempt, keeper.now()), attempt, outcome), None

    await keeper.accounts.change(reseller_id, decide)


async def judge(keeper: Gatekeeper, reseller_id: str, attempt: str, outcome: Outcome) -> None:
    """Judge an attempt that may still be under way: its place expires. Raises Unavailable."""

    def decide(standing: Standing) -> tuple[Standing, None]:
        return _judged(keeper, standing, attempt, outcome), None

    await keeper.accounts.change(reseller_id, decide)


def _judged(keeper: Gatekeeper, standing: Standing, attempt: str, outcome: Outcome) -> Standing:
    if outcome.sent == "no":
        return standing
    return rules.settled(standing, attempt, outcome.ambiguous, keeper.limits, keeper.now())


async def begin_verifying(keeper: Gatekeeper, reseller_id: str, request_id: str) -> int:
    """Count a request's order as unresolved; returns how many are. Raises NotFound, Unavailable."""
    await keeper.resellers.load(reseller_id)

    def decide(standing: Standing) -> tuple[Standing, int]:
        after = rules.verifying(standing, request_id, keeper.limits, keeper.now())
        return after, len(after.unresolved)

    return await keeper.accounts.change(reseller_id, decide)


async def end_verifying(keeper: Gatekeeper, reseller_id: str, request_id: str) -> int:
    """Stop counting a request's order as unresolved; returns how many still are.

    Raises NotFound, Unavailable.
    """
    await keeper.resellers.load(reseller_id)

    def decide(standing: Standing) -> tuple[Standing, int]:
        after = rules.resolved(standing, request_id, keeper.now())
        return after, len(after.unresolved)

    return await keeper.accounts.change(reseller_id, decide)
