"""Whether an account's credentials work, as every real use of them shows (R21)."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from purser_events.reseller import (
    Reseller,
    ResellerAccount,
    ResellerAccountBroken,
    ResellerAccountFact,
    ResellerAccountRecovered,
)

WORKING, BROKEN = "working", "broken"


@dataclass(frozen=True)
class Refusal:
    """Why the marketplace did not take the credentials, and for which resource (None: for any)."""

    reason: str
    resource: str | None
    detail: str


@dataclass(frozen=True)
class Use:
    """One use of a reseller's credentials: of which resource, and whether they were refused."""

    reseller: Reseller
    resource: str
    refusal: Refusal | None = None


class Connection(BaseModel):
    """Whether the marketplace takes a reseller's credentials."""

    model_config = ConfigDict(frozen=True)

    state: str = Field(description="`working` or `broken`.")
    since: AwareDatetime
    reason: str | None = Field(default=None, description="Why it is broken; see the event.")
    detail: str | None = Field(default=None, description="What the marketplace said.")


def observed(
    before: ResellerAccount | None, use: Use, now: datetime
) -> tuple[ResellerAccount, tuple[ResellerAccountFact, ...]] | None:
    """What a use changes; None when everything is as it was.

    Credentials are proven before they are stored, so an account works until a use says otherwise. What
    older credentials came to says nothing of those that replaced them. Where one resource is forbidden,
    only that resource shows that it is allowed again.
    """
    reseller, refused = use.reseller, use.refusal
    if before is not None and before.credentials_set_at > reseller.credentials_set_at:
        return None
    broken = before is not None and before.status == BROKEN
    if refused is None:
        if before is None or not broken or _says_nothing(before, use):
            return None
        return _working(reseller, now)
    if broken and before is not None and before.credentials_set_at == reseller.credentials_set_at:
        return None
    state = ResellerAccount(
        id=reseller.id,
        marketplace=reseller.marketplace,
        reseller_id=reseller.id,
        status=BROKEN,
        since=now,
        reason=refused.reason,
        resource=refused.resource,
        detail=refused.detail,
        credentials_set_at=reseller.credentials_set_at,
    )
    return state, (ResellerAccountBroken(state=state),)


def _says_nothing(before: ResellerAccount, use: Use) -> bool:
    same = before.credentials_set_at == use.reseller.credentials_set_at
    return same and before.resource is not None and before.resource != use.resource


def _working(
    reseller: Reseller, now: datetime
) -> tuple[ResellerAccount, tuple[ResellerAccountFact, ...]]:
    state = ResellerAccount(
        id=reseller.id,
        marketplace=reseller.marketplace,
        reseller_id=reseller.id,
        status=WORKING,
        since=now,
        credentials_set_at=reseller.credentials_set_at,
    )
    return state, (ResellerAccountRecovered(state=state),)


def connection(reseller: Reseller, account: ResellerAccount | None) -> Connection:
    """What is shown beside the reseller: from the newest credentials on, by their use."""
    if account is None or account.credentials_set_at < reseller.credentials_set_at:
        return Connection(state=WORKING, since=reseller.credentials_set_at)
    return Connection(
        state=account.status, since=account.since, reason=account.reason, detail=account.detail
    )
