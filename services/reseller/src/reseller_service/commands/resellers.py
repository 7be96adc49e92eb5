"""Proving credentials, adding resellers, changing them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from purser_common import crash
from purser_common.errors import Conflict, Invalid, Problem, VersionConflict
from purser_common.identity import Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.reseller import Reseller
from reseller_service.domain import closing as endings
from reseller_service.domain import resellers as rules
from reseller_service.domain.closing import Closing, Kept
from reseller_service.domain.resellers import (
    Access,
    Account,
    Credentials,
    Edit,
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
    async def kept(self, id: str) -> Loaded[Kept]: ...
    async def account(self, id: str) -> Account: ...
    async def replayed(self, request: Request) -> Loaded[Reseller] | None: ...
    async def insert(
        self,
        account: Account,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request,
    ) -> Loaded[Reseller]: ...
    async def save(
        self,
        loaded: Loaded[Kept],
        kept: Kept,
        facts: Sequence[Fact],
        cause: Cause,
        access: Access | None = None,
    ) -> Loaded[Kept]: ...
    async def claim_closing(self, lease: timedelta) -> Loaded[Kept] | None: ...


class Prover(Protocol):
    """Asks the marketplace what credentials can see."""

    async def prove(self, region: Region, credentials: Credentials) -> Proof: ...
    async def prove_reseller(
        self, region_code: str, credentials: Credentials, id: str
    ) -> VisibleReseller | None: ...


class References(Protocol):
    """What still refers to a reseller; asked for a caller or, by a job, for this service itself."""

    async def tenants(
        self, reseller_id: str, caller: Caller | None, cause: Cause
    ) -> Sequence[Mapping[str, Any]]: ...
    async def open_requests(
        self, reseller_id: str, caller: Caller | None, cause: Cause
    ) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True)
class Registry:
    """What adding, changing and deleting resellers needs.

    `proven` is told of credentials that the marketplace has just taken.
    """

    resellers: Resellers
    verifications: Verifications
    prover: Prover
    references: References
    regions: tuple[Region, ...]
    now: Callable[[], datetime]
    real_now: Callable[[], datetime]
    settle_after: timedelta
    proven: Callable[[Reseller], Awaitable[None]]


@dataclass(frozen=True)
class Choice:
    """Step 2 of adding: which of the visible resellers, under which name."""

    verification_id: str
    display_name: str
    marketplace_reseller_id: str


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
    reseller = await _visible(registry, verification, credentials, choice.marketplace_reseller_id)
    if reseller is None:
        raise rules.unknown_reseller()
    state, facts = rules.reseller_added(
        request.id(), verification, choice.display_name, reseller, now
    )
    account = Account(state, credentials, verification.own_prices)
    return await registry.resellers.insert(account, facts, cause, request)


async def change_reseller(
    registry: Registry, id: str, edit: Edit, expected: int, caller: Caller, cause: Cause
) -> Loaded[Kept]:
    """Change single fields of a reseller (R7, R22), its credentials as one proven set (R20).

    Raises Forbidden, NotFound; Stale when it has changed since `expected`; Conflict for a taken name,
    while it is closing, and for another region or marketplace reseller while tenants are connected;
    Invalid for credentials that the marketplace does not take or that do not show the reseller;
    Unavailable.
    """
    _require_roles(edit, caller)
    for _ in range(ATTEMPTS):
        loaded = await _decided_on(registry, id, expected)
        before = loaded.state.reseller
        access = await _access(registry, before, edit)
        after, facts = rules.reseller_changed(before, edit, access, registry.now())
        if not facts:
            return loaded
        try:
            if rules.moves(before, after):
                changed = await _moved(registry, loaded, after, facts, cause, access, caller)
            else:
                changed = await registry.resellers.save(loaded, Kept(after), facts, cause, access)
        except VersionConflict:
            continue
        if access is not None:
            await registry.proven(after)
        return changed
    raise VersionConflict(id)


def _require_roles(edit: Edit, caller: Caller) -> None:
    how_is_bought = (edit.buying_enabled, edit.po_suffix)
    what_it_is = (edit.display_name, edit.region, edit.marketplace_reseller_id)
    if any(field is not None for field in what_it_is) or edit.credentials:
        caller.require("credential_admin")
    if any(field is not None for field in how_is_bought):
        caller.require("purchaser")
    caller.require("credential_admin", "purchaser")


async def _decided_on(registry: Registry, id: str, expected: int) -> Loaded[Kept]:
    loaded = await registry.resellers.kept(id)
    loaded.must_be_at(expected, "the reseller")
    endings.require_open(loaded.state, registry.real_now())
    return loaded


async def _access(registry: Registry, reseller: Reseller, edit: Edit) -> Access | None:
    """The whole set with what is given anew, proven together with region and reseller."""
    if not edit.touches_access(reseller):
        return None
    stored = (await registry.resellers.account(reseller.id)).credentials
    credentials = stored.model_copy(update=dict(edit.credentials))
    region = rules.region_named(registry.regions, edit.region or reseller.region)
    try:
        proof = await registry.prover.prove(region, credentials)
    except Invalid as refused:
        raise rules.below_credentials(refused) from None
    verification = rules.verified(reseller.id, region, proof, registry.now())
    wanted = edit.marketplace_reseller_id or reseller.marketplace_reseller_id
    found = await _visible(registry, verification, credentials, wanted)
    if found is None:
        raise rules.not_shown(edit, verification)
    return Access(credentials, verification, found, bool(edit.credentials))


async def _visible(
    registry: Registry, verification: Verification, credentials: Credentials, id: str
) -> VisibleReseller | None:
    try:
        shown = rules.chosen(verification, id)
    except Invalid:
        return None
    return shown or await registry.prover.prove_reseller(verification.region, credentials, id)


async def _moved(
    registry: Registry,
    loaded: Loaded[Kept],
    after: Reseller,
    facts: Sequence[Fact],
    cause: Cause,
    access: Access | None,
    caller: Caller,
) -> Loaded[Kept]:
    closed = await _closed(registry, loaded, cause, caller, deleting=False)
    try:
        return await registry.resellers.save(closed, Kept(after), facts, cause, access)
    except Problem:
        await _reopen(registry, closed, cause)
        raise


async def delete_reseller(
    registry: Registry, id: str, expected: int, caller: Caller, cause: Cause
) -> Loaded[Kept]:
    """Delete a reseller with its credentials (R8); it can be added again.

    Raises Forbidden, NotFound, Stale; Conflict naming the tenants that are connected to it or the
    requests whose orders are not settled; Unavailable when whoever has to be asked is away.
    """
    caller.require("credential_admin")
    loaded = await _decided_on(registry, id, expected)
    closed = await _closed(registry, loaded, cause, caller, deleting=True)
    return await _delete(registry, closed, cause)


async def settle_closing(registry: Registry) -> bool:
    """Settle one reseller that a crash left closing; False when there is none.

    A deletion is decided by asking again, a move is given up: nobody was told that it was made. Raises
    Unavailable when nobody can tell: it is asked again later.
    """
    loaded = await registry.resellers.claim_closing(registry.settle_after)
    closing = loaded.state.closing if loaded else None
    if loaded is None or closing is None:
        return False
    cause = Cause(closing.actor, closing.correlation_id)
    if not closing.deleting:
        await _reopen(registry, loaded, cause)
        return True
    try:
        await _require_unreferenced(registry, loaded, None, cause)
    except Conflict:
        await _reopen(registry, loaded, cause)
    else:
        await _delete(registry, loaded, cause)
    return True


async def _closed(
    registry: Registry, loaded: Loaded[Kept], cause: Cause, caller: Caller, *, deleting: bool
) -> Loaded[Kept]:
    """Refuse references, then ask for those that there are (design §3); reopened when there are any.

    Raises VersionConflict, Conflict, Unavailable.
    """
    until = registry.real_now() + registry.settle_after
    closing = Closing(deleting, until, cause.actor, cause.correlation_id)
    kept = Kept(loaded.state.reseller, closing)
    closed = await registry.resellers.save(loaded, kept, (), cause)
    crash.point("reseller.closing.written")
    try:
        await _require_unreferenced(registry, closed, caller, cause)
    except Problem:
        await _reopen(registry, closed, cause)
        raise
    return closed


async def _require_unreferenced(
    registry: Registry, closed: Loaded[Kept], caller: Caller | None, cause: Cause
) -> None:
    id, references = closed.state.reseller.id, registry.references
    if closed.state.closing is not None and closed.state.closing.deleting:
        endings.require_settled(await references.open_requests(id, caller, cause))
    endings.require_unconnected(await references.tenants(id, caller, cause))


async def _delete(registry: Registry, closed: Loaded[Kept], cause: Cause) -> Loaded[Kept]:
    state, facts = endings.reseller_deleted(closed.state.reseller)
    deleted = await registry.resellers.save(closed, Kept(state), facts, cause)
    crash.point("reseller.closing.finished")
    return deleted


async def _reopen(registry: Registry, closed: Loaded[Kept], cause: Cause) -> None:
    try:
        await registry.resellers.save(closed, Kept(closed.state.reseller), (), cause)
    except VersionConflict:
        return  # the job has settled it meanwhile
