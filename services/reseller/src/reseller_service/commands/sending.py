"""The hop that sends: an attempt is noted first, sent at most once, and its outcome kept."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from purser_common import crash, logs
from purser_common.errors import Problem, Unavailable
from purser_common.outbox import Loaded
from purser_events.reseller import Reseller
from reseller_service.domain import sending as rules
from reseller_service.domain.resellers import Account
from reseller_service.domain.sending import Attempt, Outcome, Permission, Throttle

_log = logs.get(__name__)


class Egress(Protocol):
    """The record of all attempts."""

    async def open(
        self, attempt: Attempt, reseller_id: str, at: datetime, fenced: bool
    ) -> None: ...
    async def settle(self, attempt: Attempt, outcome: Outcome) -> None: ...
    async def close(self, attempt_id: str, at: datetime, outcome: Outcome) -> bool: ...
    async def outcome(self, attempt_id: str) -> tuple[Outcome | None, bool]: ...


class Accounts(Protocol):
    """Whether accounts rest."""

    async def throttle(self, reseller_id: str) -> Throttle | None: ...


class Resellers(Protocol):
    """Reads resellers."""

    async def load(self, id: str) -> Loaded[Reseller]: ...
    async def account(self, id: str) -> Account: ...


class Sender(Protocol):
    """Reaches the marketplace."""

    async def authorize(self, account: Account) -> Mapping[str, str]: ...
    async def send(
        self, account: Account, headers: Mapping[str, str], order: bytes, fenced: bool
    ) -> Outcome: ...


@dataclass(frozen=True)
class Hop:
    """What sending needs. `keep` repeats a piece of work beside the caller until it succeeds."""

    resellers: Resellers
    accounts: Accounts
    egress: Egress
    sender: Sender
    fenced: Callable[[], bool]
    keep: Callable[[Callable[[], Awaitable[None]]], None]
    now: Callable[[], datetime]


async def permission(hop: Hop, reseller_id: str) -> Permission:
    """Whether a reseller's account may send orders now. Raises NotFound."""
    reseller = await hop.resellers.load(reseller_id)
    return rules.permission(reseller.state, await hop.accounts.throttle(reseller_id), hop.now())


async def send_order(hop: Hop, reseller_id: str, attempt: Attempt, order: bytes) -> Outcome:
    """Send an order once, or say why it was definitely not sent (design §4).

    Whoever inserts the attempt sends it; everybody else gets Conflict. Raises NotFound for the
    reseller, Unavailable when the attempt cannot be noted: nothing was sent then.
    """
    account = await hop.resellers.account(reseller_id)
    headers, reason = await _clearance(hop, account)
    fenced = hop.fenced()
    crash.point("reseller.send.cleared")
    await hop.egress.open(attempt, reseller_id, hop.now(), fenced)
    crash.point("reseller.send.noted")
    if hop.now() > attempt.send_by:
        reason = "too_late"
    if headers is None or reason is not None:
        outcome = rules.not_sent(reason or "no_token", fenced)
    else:
        outcome = await hop.sender.send(account, headers, order, fenced)
    crash.point("reseller.send.answered")
    _log.info("attempt", attempt=attempt.id, sent=outcome.sent, status=outcome.status)
    try:
        await hop.egress.settle(attempt, outcome)
    except Unavailable:
        hop.keep(lambda: hop.egress.settle(attempt, outcome))
    crash.point("reseller.send.stored")
    return outcome


async def _clearance(hop: Hop, account: Account) -> tuple[Mapping[str, str] | None, str | None]:
    """Headers to send with, or the reason why nothing may be sent."""
    allowed = await permission(hop, account.reseller.id)
    if not allowed.sending_allowed:
        return None, allowed.reason
    try:
        return await hop.sender.authorize(account), None
    except Problem as error:
        return None, f"no_token: {error.code}"


async def close_attempt(hop: Hop, attempt_id: str) -> Outcome:
    """What became of an attempt; one that never came here is closed and can never be sent.

    Raises Malformed, Unavailable.
    """
    rules.attempt_id(attempt_id)
    closed = Outcome(sent="no", reason="closed before it was sent", closed=True)
    if await hop.egress.close(attempt_id, hop.now(), closed):
        crash.point("reseller.closure.inserted")
        return closed
    outcome, fenced = await hop.egress.outcome(attempt_id)
    return outcome or rules.lost(fenced)
