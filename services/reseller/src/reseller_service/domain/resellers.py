"""Proving credentials, adding a reseller, and changing it."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, HttpUrl, SecretStr

from purser_common.errors import Conflict, FieldError, Invalid
from purser_events.envelope import Change
from purser_events.reseller import (
    Reseller,
    ResellerAdded,
    ResellerBuyingDisabled,
    ResellerBuyingEnabled,
    ResellerFact,
    ResellerUpdated,
)

MODULE = "ingram-micro-xvantage"
MODULE_NAME = "Ingram Micro Xvantage"
VERIFICATION_LIFE = timedelta(minutes=15)
PARENT, LEAF = "parent", "leaf"


class Region(BaseModel):
    """Where a region's marketplace answers, and its code in the token request (R13)."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(pattern=r"^[a-z0-9-]{1,20}$")
    name: str
    api_url: HttpUrl
    marketplace_code: str

    @property
    def base_url(self) -> str:
        """The address without a trailing slash."""
        return str(self.api_url).rstrip("/")


class Credentials(BaseModel):
    """One API user of the marketplace. No part of it can be printed."""

    model_config = ConfigDict(frozen=True)

    subscription_key: SecretStr
    username: SecretStr
    password: SecretStr


class VisibleReseller(BaseModel):
    """A reseller that the verified credentials can act for."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str


class Verification(BaseModel):
    """Credentials that the marketplace took, kept sealed for 15 minutes of business time."""

    model_config = ConfigDict(frozen=True)

    id: str
    region: str
    account_kind: str = Field(description="`parent`: sees resellers below it; `leaf`: itself only.")
    resellers: tuple[VisibleReseller, ...] = Field(description="Those to choose from.")
    expires_at: AwareDatetime
    own_prices: bool = Field(exclude=True)
    """Whether the catalogue's figures are surely the reseller's own; not shown."""


@dataclass(frozen=True)
class Proof:
    """What the marketplace showed to credentials that it took.

    `listed` is None when the list of resellers is not for this account; `own` is the reseller that the
    account's own customers belong to, looked up when the list does not show a parent.
    """

    listed: tuple[VisibleReseller, ...] | None
    own: VisibleReseller | None


@dataclass(frozen=True)
class Account:
    """What it takes to act at the marketplace for a reseller."""

    reseller: Reseller
    credentials: Credentials
    own_prices: bool


def name_key(display_name: str) -> str:
    """What two display names share that people would take for the same (R12)."""
    return unicodedata.normalize("NFKC", display_name).casefold()


def region_named(regions: Sequence[Region], code: str) -> Region:
    """The configured region of this code. Raises Invalid naming the known ones (R13)."""
    for region in regions:
        if region.code == code:
            return region
    known = ", ".join(region.code for region in regions)
    raise Invalid(
        f"there is no region {code!r}; choose one of: {known}",
        code="unknown_region",
        errors=(FieldError("/region", f"choose one of: {known}"),),
    )


def verified(id: str, region: Region, proof: Proof, now: datetime) -> Verification:
    """The verification that a proof gives (R17).

    A parent lists the resellers below it. A leaf's list is refused, empty, or only itself; its one
    reseller is derived from its customers, or named and proven when it is added. Who lists just one
    reseller may also be its parent, whose prices are that reseller's costs: then they are not its own.
    """
    listed = proof.listed or ()
    leaf = not listed or (
        len(listed) == 1 and proof.own is not None and listed[0].id == proof.own.id
    )
    resellers = ((proof.own,) if proof.own else ()) if leaf else listed
    return Verification(
        id=id,
        region=region.code,
        account_kind=LEAF if leaf else PARENT,
        resellers=resellers,
        expires_at=now + VERIFICATION_LIFE,
        own_prices=not listed,
    )


def require_valid(verification: Verification, now: datetime) -> None:
    """Raises Conflict when the verification has expired."""
    if now >= verification.expires_at:
        raise expired()


def expired() -> Conflict:
    """The refusal of a verification that has expired."""
    return Conflict(
        "the verification has expired; verify the credentials again",
        code="verification_expired",
        missing_step="POST /v1/reseller-verifications",
    )


def chosen(verification: Verification, marketplace_reseller_id: str) -> VisibleReseller | None:
    """The chosen reseller; None when it must be proven, because a leaf shows nobody.

    Raises Invalid for one that the credentials do not show.
    """
    for reseller in verification.resellers:
        if reseller.id == marketplace_reseller_id:
            return reseller
    if verification.account_kind == LEAF and not verification.resellers:
        return None
    raise unknown_reseller()


def unknown_reseller() -> Invalid:
    """The refusal of a marketplace reseller that the credentials do not show."""
    return Invalid(
        "the verified credentials do not show this reseller",
        code="unknown_marketplace_reseller",
        errors=(
            FieldError("/marketplace_reseller_id", "choose one that the verification has listed"),
        ),
    )


def reseller_added(
    id: str,
    verification: Verification,
    display_name: str,
    reseller: VisibleReseller,
    now: datetime,
) -> tuple[Reseller, tuple[ResellerFact, ...]]:
    """A new reseller; buying is off until somebody turns it on (R19)."""
    state = Reseller(
        id=id,
        marketplace=MODULE,
        display_name=display_name,
        region=verification.region,
        marketplace_reseller_id=reseller.id,
        marketplace_reseller_name=reseller.name,
        account_kind=verification.account_kind,
        buying_enabled=False,
        credentials_set_at=now,
        added_at=now,
    )
    changes = (
        Change(pointer="/display_name", after=display_name),
        Change(pointer="/credentials", after="set"),
    )
    return state, (ResellerAdded(state=state, changes=changes),)


@dataclass(frozen=True)
class Edit:
    """What to change of a reseller; None leaves a field as it is.

    `credentials` names the parts that are given anew; the others stay.
    """

    display_name: str | None = None
    buying_enabled: bool | None = None
    po_suffix: bool | None = None
    region: str | None = None
    marketplace_reseller_id: str | None = None
    credentials: Mapping[str, SecretStr] = field(default_factory=dict)

    def touches_access(self, reseller: Reseller) -> bool:
        """Whether the marketplace has to prove it."""
        return (
            bool(self.credentials)
            or self.region not in (None, reseller.region)
            or self.marketplace_reseller_id not in (None, reseller.marketplace_reseller_id)
        )


@dataclass(frozen=True)
class Access:
    """A whole set of credentials that the marketplace took, and the reseller that it shows to them."""

    credentials: Credentials
    verification: Verification
    reseller: VisibleReseller
    replaced: bool
    """Whether any part of the credentials was given anew."""


def moves(before: Reseller, after: Reseller) -> bool:
    """Whether what tenants are connected to becomes something else (R22)."""
    places = {(one.region, one.marketplace_reseller_id) for one in (before, after)}
    return len(places) > 1


def not_shown(edit: Edit, proof: Verification) -> Invalid:
    """The refusal of credentials or of a choice: the two must fit together."""
    listed = [reseller.model_dump() for reseller in proof.resellers]
    if edit.marketplace_reseller_id is not None:
        pointer, remedy = "/marketplace_reseller_id", "choose one that the credentials show"
    elif edit.region is not None:
        pointer = "/marketplace_reseller_id"
        remedy = "choose one that the credentials show in this region"
    else:
        pointer, remedy = "/credentials", "credentials that show the same marketplace reseller"
    return Invalid(
        "the credentials do not show this reseller",
        code="unknown_marketplace_reseller",
        errors=(FieldError(pointer, remedy),),
        resellers=listed,
    )


def below_credentials(refused: Invalid) -> Invalid:
    """The same refusal where the credentials are a part of what is changed."""
    errors = tuple(FieldError(f"/credentials{e.pointer}", e.detail) for e in refused.errors)
    return Invalid(refused.detail, code=refused.code, errors=errors)


def reseller_changed(
    reseller: Reseller, edit: Edit, access: Access | None, now: datetime
) -> tuple[Reseller, tuple[ResellerFact, ...]]:
    """The reseller with the named fields changed; what stays as it was makes no fact."""
    facts: list[ResellerFact] = []
    named = {"display_name": edit.display_name, "po_suffix": edit.po_suffix}
    update = {name: value for name, value in named.items() if value is not None}
    update |= _accessed(access) if access else {}
    changes = [
        Change(pointer=f"/{name}", before=getattr(reseller, name), after=value)
        for name, value in update.items()
        if value != getattr(reseller, name)
    ]
    if access and access.replaced:
        changes.append(Change(pointer="/credentials", before="set", after="set"))
    if changes:
        proven = {"credentials_set_at": now} if access else {}
        reseller = reseller.model_copy(update={**update, **proven})
        facts.append(ResellerUpdated(state=reseller, changes=tuple(changes)))
    on = edit.buying_enabled
    if on is not None and on != reseller.buying_enabled:
        reseller = reseller.model_copy(update={"buying_enabled": on})
        change = Change(pointer="/buying_enabled", before=not on, after=on)
        kind = ResellerBuyingEnabled if on else ResellerBuyingDisabled
        facts.append(kind(state=reseller, changes=(change,)))
    return reseller, tuple(facts)


def _accessed(access: Access) -> dict[str, Any]:
    return {
        "region": access.verification.region,
        "marketplace_reseller_id": access.reseller.id,
        "marketplace_reseller_name": access.reseller.name,
        "account_kind": access.verification.account_kind,
    }
