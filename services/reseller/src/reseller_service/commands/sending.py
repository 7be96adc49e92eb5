"""The hop that sends: an attempt is noted first, sent at most once, and its outcome kept."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from purser_common import crash, logs
from purser_common.errors import Problem, Unavailable
from reseller_service.commands import accounts
from reseller_service.commands.accounts import Gatekeeper
from reseller_service.domain import sending as rules
from reseller_service.domain.resellers import Account
from reseller_service.domain.sending import Attempt, Noted, Outcome

_log = logs.get(__name__)


class Egress(Protocol):
    """The record of all attempts."""

    async def open(
        self, attempt: Attempt, reseller_id: str, at: datetime, fenced: bool
    ) -> None: ...
    async def settle(self, attempt: Attempt, outcome: Outcome) -> None: ...
    async def close(self, attempt_id: str, at: datetime, outcome: Outcome) -> bool: ...
    async def noted(self, attempt_id: str) -> Noted: ...


class Credentials(Protocol):
    """What it takes to act for a reseller."""

    async def account(self, id: str) -> Account: ...


class Sender(Protocol):
    """Reaches the marketplace."""

    async def authorize(self, account: Account) -> Mapping[str, str]: ...
    async def send(
        self, account: Account, headers: Mapping[str, str], order: bytes, fenced: bool
    ) -> Outcome: ...


@dataclass(frozen=True)
class Hop:
    """What sending needs. A send keeps its place for `place_seconds`: longer than it can take.

    `keep` repeats a piece of work beside the caller until it succeeds.
    """

    credentials: Credentials
    keeper: Gatekeeper
    egress: Egress
    sender: Sender
    fenced: Callable[[], bool]
    keep: Callable[[Callable[[], Awaitable[None]]], None]
    now: Callable[[], datetime]
    place_seconds: float


async def send_order(hop: Hop, reseller_id: str, attempt: Attempt, order: bytes) -> Outcome:
    """Send an order once, or say why it was definitely not sent (design §4).

    Whoever inserts the attempt sends it; everybody else gets Conflict. Raises NotFound for the
    reseller, Unavailable when the attempt cannot be noted: nothing was sent then.
    """
    account = await hop.credentials.account(reseller_id)
    headers, reason = await _clearance(hop, account, attempt)
    fenced = hop.fenced()
    crash.point("reseller.send.cleared")
    await hop.egress.open(attempt, reseller_id, hop.now(), fenced)
    crash.point("reseller.send.noted")
    if reason is None:
        reason = await _objection(hop, reseller_id, attempt)
    if hop.now() > attempt.send_by:
        reason = "too_late"
    if headers is None or reason is not None:
        outcome = rules.not_sent(reason or "no_token", fenced)
    else:
        crash.point("reseller.send.leaving")
        outcome = await hop.sender.send(account, headers, order, fenced)
    crash.point("reseller.send.answered")
    _log.info("attempt", attempt=attempt.id, sent=outcome.sent, status=outcome.status)

    async def store() -> None:
        await hop.egress.settle(attempt, outcome)
        await accounts.settle(hop.keeper, reseller_id, attempt.id, outcome)

    try:
        await store()
    except Unavailable:
        hop.keep(store)
    crash.point("reseller.send.stored")
    return outcome


async def _clearance(
    hop: Hop, account: Account, attempt: Attempt
) -> tuple[Mapping[str, str] | None, str | None]:
    """Headers to send with, or the reason why nothing may be sent."""
    allowed = await accounts.permission(hop.keeper, account.reseller.id, attempt.id)
    if not allowed.sending_allowed:
        return None, allowed.reason
    try:
        return await hop.sender.authorize(account), None
    except Problem as error:
        return None, f"no_token: {error.code}"


async def _objection(hop: Hop, reseller_id: str, attempt: Attempt) -> str | None:
    """The last word before the order leaves: take or renew its place, or say why there is none."""
    try:
        allowed = await accounts.take(hop.keeper, reseller_id, attempt.id, hop.place_seconds)
    except Problem as error:
        return f"account_unavailable: {error.code}"
    return allowed.reason


async def close_attempt(hop: Hop, attempt_id: str) -> Outcome:
    """What became of an attempt; one that never came here is closed and can never be sent.

    Raises Malformed, Unavailable.
    """
    rules.attempt_id(attempt_id)
    closed = Outcome(sent="no", reason="closed before it was sent", closed=True)
    if await hop.egress.close(attempt_id, hop.now(), closed):
        crash.point("reseller.closure.inserted")
        return closed
    noted = await hop.egress.noted(attempt_id)
    if noted.reseller_id is None:
        return noted.outcome or closed
    if noted.outcome is not None:
        await accounts.settle(hop.keeper, noted.reseller_id, attempt_id, noted.outcome)
        return noted.outcome
    lost = rules.lost(noted.fenced)
    await accounts.judge(hop.keeper, noted.reseller_id, attempt_id, lost)
    return lost
