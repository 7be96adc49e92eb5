"""Proving credentials, adding resellers, changing them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from purser_common.errors import Stale, VersionConflict
from purser_common.identity import Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.reseller import Reseller
from reseller_service.domain import resellers as rules
from reseller_service.domain.resellers import (
    Account,
    Credentials,
    Proof,
    Region,
    Verification,
    VisibleReseller,
)

ATTEMPTS = 3


class Verifications(Protocol):
    """Where proven credentials wait to be used."""

    async def replayed(self, request: Request) -> Verification | None: ...
    async def insert(
        self, verification: Verification, credentials: Credentials, request: Request
    ) -> Verification: ...
    async def load(self, id: str) -> tuple[Verification, Credentials | None]: ...


class Resellers(Protocol):
    """Where resellers are kept."""

    async def load(self, id: str) -> Loaded[Reseller]: ...
    async def replayed(self, request: Request) -> Loaded[Reseller] | None: ...
    async def insert(
        self,
        account: Account,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request,
    ) -> Loaded[Reseller]: ...
    async def save(
        self, loaded: Loaded[Reseller], state: Reseller, facts: Sequence[Fact], cause: Cause
    ) -> Loaded[Reseller]: ...


class Prover(Protocol):
    """Asks the marketplace what credentials can see."""

    async def prove(self, region: Region, credentials: Credentials) -> Proof: ...
    async def prove_reseller(
        self, region_code: str, credentials: Credentials, id: str
    ) -> VisibleReseller | None: ...


@dataclass(frozen=True)
class Registry:
    """What adding and changing resellers needs."""

    resellers: Resellers
    verifications: Verifications
    prover: Prover
    regions: tuple[Region, ...]
    now: Callable[[], datetime]


@dataclass(frozen=True)
class Choice:
    """Step 2 of adding: which of the visible resellers, under which name."""

    verification_id: str
    display_name: str
    marketplace_reseller_id: str


@dataclass(frozen=True)
class Edit:
    """What to change of a reseller; None leaves a field as it is."""

    display_name: str | None
    buying_enabled: bool | None
    po_suffix: bool | None


async def verify_credentials(
    registry: Registry, region_code: str, credentials: Credentials, caller: Caller, request: Request
) -> Verification:
    """Step 1 of adding a reseller: prove credentials, and see whom they can act for (R17).

    Raises Forbidden; Invalid for an unknown region and for credentials that the marketplace does not
    take; Unavailable when it is away.
    """
    caller.require("credential_admin")
    earlier = await registry.verifications.replayed(request)
    if earlier is not None:
        return earlier
    region = rules.region_named(registry.regions, region_code)
    proof = await registry.prover.prove(region, credentials)
    verification = rules.verified(request.id(), region, proof, registry.now())
    return await registry.verifications.insert(verification, credentials, request)


async def add_reseller(
    registry: Registry, choice: Choice, caller: Caller, cause: Cause, request: Request
) -> Loaded[Reseller]:
    """Step 2 of adding a reseller: choose one of those that the credentials can see (R18, R19).

    Raises Forbidden; Invalid for an unknown verification or reseller; Conflict when the verification
    has expired, the reseller was added before, or the name is taken.
    """
    caller.require("credential_admin")
    earlier = await registry.resellers.replayed(request)
    if earlier is not None:
        return earlier
    verification, credentials = await registry.verifications.load(choice.verification_id)
    now = registry.now()
    rules.require_valid(verification, now)
    if credentials is None:
        raise rules.expired()
    reseller = rules.chosen(verification, choice.marketplace_reseller_id)
    if reseller is None:
        reseller = await registry.prover.prove_reseller(
            verification.region, credentials, choice.marketplace_reseller_id
        )
    if reseller is None:
        raise rules.unknown_reseller()
    state, facts = rules.reseller_added(
        request.id(), verification, choice.display_name, reseller, now
    )
    account = Account(state, credentials, verification.own_prices)
    return await registry.resellers.insert(account, facts, cause, request)


async def change_reseller(
    registry: Registry, id: str, edit: Edit, expected: int, caller: Caller, cause: Cause
) -> Loaded[Reseller]:
    """Rename a reseller, turn buying on or off (R20), or the mark behind its order numbers.

    Raises Forbidden, NotFound, Stale when it has changed since `expected`, Conflict for a taken name.
    """
    if edit.display_name is not None:
        caller.require("credential_admin")
    if edit.buying_enabled is not None or edit.po_suffix is not None:
        caller.require("purchaser")
    for _ in range(ATTEMPTS):
        loaded = await registry.resellers.load(id)
        if loaded.sequence != expected:
            raise Stale("the reseller has changed since; read it again and decide again")
        state, facts = rules.reseller_changed(
            loaded.state, edit.display_name, edit.buying_enabled, edit.po_suffix
        )
        if not facts:
            return loaded
        try:
            return await registry.resellers.save(loaded, state, facts, cause)
        except VersionConflict:
            continue
    raise VersionConflict(id)
