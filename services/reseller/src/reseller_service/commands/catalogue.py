"""Looking at the marketplace's catalogue, and answering from what was seen."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from prometheus_client import Counter

from purser_common import logs
from purser_common.errors import NotFound, Problem, Unavailable
from purser_common.outbox import Loaded
from purser_events.reseller import Reseller
from purser_events.values import ProductIdentity
from reseller_service.domain import catalogue as rules
from reseller_service.domain.catalogue import (
    COMPLETE,
    EMPTY,
    FAILED,
    PAGE_SIZE,
    Kept,
    Listing,
    PageOfRows,
    Pass,
    Standing,
    Sync,
)

FRESH_WITHIN = 3.0
"""Seconds that a read of the live catalogue may take where the last known row will do."""
SYNC_WITHIN = 20.0
"""Seconds that somebody who asks for a look waits for it."""
RENEW_EVERY = 3.0
_POLL = 0.1

_log = logs.get(__name__)
_syncs = Counter("catalogue_syncs_total", "Looks at a reseller's catalogue.", ["outcome"])


class Catalogue(Protocol):
    """Where products are kept."""

    async def find(self, id: str) -> Kept | None: ...
    async def keep(self, reseller_id: str, listings: Sequence[Listing], at: datetime) -> int: ...
    async def keep_read(self, reseller_id: str, listing: Listing, at: datetime) -> None: ...
    async def miss(
        self, reseller_id: str, seen: frozenset[str], spared: frozenset[str], at: datetime
    ) -> tuple[int, int]: ...


class Syncs(Protocol):
    """Who looks at which catalogue, and how it went."""

    async def enlist_all(self) -> None: ...
    async def standing(self, reseller_id: str) -> tuple[Standing, bool]: ...
    async def claim(self, token: str) -> str | None: ...
    async def take(self, reseller_id: str, token: str) -> bool: ...
    async def renew(self, reseller_id: str, token: str) -> bool: ...
    async def end(
        self, reseller_id: str, token: str, standing: Standing, next_look: timedelta
    ) -> None: ...
    async def hasten(self, reseller_id: str) -> None: ...
    async def forget(self, reseller_id: str) -> None: ...


class Resellers(Protocol):
    """Reads resellers."""

    async def load(self, id: str) -> Loaded[Reseller]: ...


class Marketplace(Protocol):
    """The live catalogue."""

    async def product(self, reseller_id: str, product: ProductIdentity) -> Listing | None: ...
    async def products(self, reseller_id: str, offset: int, limit: int) -> PageOfRows: ...


@dataclass(frozen=True)
class Window:
    """What looking at catalogues needs."""

    catalogue: Catalogue
    syncs: Syncs
    resellers: Resellers
    marketplace: Marketplace
    looked: Callable[[str], Awaitable[None]]
    """Told of a reseller whose rows may have changed."""
    now: Callable[[], datetime]
    every: timedelta
    reread_after: timedelta
    looking: "set[asyncio.Task[None]]" = field(default_factory=set)
    """Looks that were asked for; they go on when whoever asked has gone."""


@dataclass(frozen=True)
class Known:
    """A product as it is known: what it is, when that was read, and whether it may be out of date."""

    kept: Kept
    read_at: datetime
    stale: bool


async def sync_due(window: Window) -> bool:
    """Look at the catalogue that has been due longest; False when none is."""
    await window.syncs.enlist_all()
    token = uuid.uuid4().hex
    reseller_id = await window.syncs.claim(token)
    if reseller_id is None:
        return False
    try:
        active = (await window.resellers.load(reseller_id)).state.status == "active"
    except NotFound:
        active = False
    if not active:
        await window.syncs.forget(reseller_id)
        return True
    await _sync(window, reseller_id, token)
    return True


async def ready(window: Window, reseller_id: str, *, refresh: bool = False) -> Standing:
    """The standing of a catalogue that has been read to its end at least once.

    With `refresh` another look comes first; while the marketplace is away the last one will do.
    Raises NotFound for the reseller, and why there is no catalogue: Unavailable, BadGateway.
    """
    await window.resellers.load(reseller_id)
    standing, _ = await window.syncs.standing(reseller_id)
    if standing.usable_at is not None and not refresh:
        return standing
    with suppress(TimeoutError):
        async with asyncio.timeout(SYNC_WITHIN):
            standing = await _looked(window, reseller_id, anew=refresh)
    if standing.usable_at is None:
        raise _unusable(standing.last)
    return standing


async def _looked(window: Window, reseller_id: str, *, anew: bool) -> Standing:
    """The standing after a look that begins now, or after any that came to the list's end.

    It looks itself unless somebody does: then it waits, and looks afterwards if that was too early.
    """
    began = window.now()
    while True:
        standing, running = await window.syncs.standing(reseller_id)
        last = standing.last
        if not anew and standing.usable_at is not None:
            return standing
        if last is not None and last.began_at >= began:
            return standing
        token = uuid.uuid4().hex
        if not running and await window.syncs.take(reseller_id, token):
            await asyncio.shield(_own_task(window, _sync(window, reseller_id, token)))
        else:
            await asyncio.sleep(_POLL)


def _own_task(window: Window, look: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    task = asyncio.create_task(look)
    window.looking.add(task)
    task.add_done_callback(window.looking.discard)
    task.add_done_callback(_told)
    return task


def _told(task: "asyncio.Task[None]") -> None:
    """A look that fails after whoever asked has gone is told nobody but the log."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("look at a catalogue ended", error=str(error))


def _unusable(last: Sync | None) -> Problem:
    if last is None:
        return Unavailable(
            "the catalogue is being read for the first time", code="catalogue_unread"
        )
    if last.outcome == EMPTY:
        return Unavailable(
            "the marketplace lists not one product, which is not believed", code="catalogue_empty"
        )
    return Unavailable(last.detail or "the catalogue could not be read", code=last.code)


async def _sync(window: Window, reseller_id: str, token: str) -> None:
    """One look under a lease, from the list's start; how it went is recorded whatever happens."""
    walk = Pass(reseller_id, window.now())
    standing, _ = await window.syncs.standing(reseller_id)
    async with _leased(window, reseller_id, token):
        try:
            sync = await _walk(window, walk)
        except Problem as problem:
            sync = walk.record(FAILED, window.now()).model_copy(
                update={"code": problem.code, "detail": problem.detail}
            )
            _log.warning("catalogue not read", reseller_id=reseller_id, code=problem.code)
        _syncs.labels(sync.outcome).inc()
        await window.looked(reseller_id)
        after = rules.after(standing, sync)
        await window.syncs.end(reseller_id, token, after, rules.due_after(sync, window.every))


async def _walk(window: Window, walk: Pass) -> Sync:
    """Each page is kept as it comes: a row is written whole, and only when it differs."""
    id = walk.reseller_id
    while not walk.ended:
        page = await window.marketplace.products(id, walk.offset, PAGE_SIZE)
        read_at = window.now()
        fresh = walk.take(page)
        if walk.endless and not walk.ended:
            raise Unavailable("the list of products does not end", code="catalogue_endless")
        if fresh:
            walk.changed += await window.catalogue.keep(id, fresh, read_at)
    outcome, missing, vanished = walk.outcome(), 0, 0
    if outcome == COMPLETE:
        missing, vanished = await window.catalogue.miss(
            id, frozenset(walk.seen), frozenset(walk.spared), window.now()
        )
    return walk.record(outcome, window.now(), missing=missing, vanished=vanished)


@asynccontextmanager
async def _leased(window: Window, reseller_id: str, token: str) -> AsyncIterator[None]:
    """Keep the lease while the body runs, however long one page takes."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            if not await window.syncs.renew(reseller_id, token):
                return

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)


def read_at(kept: Kept, standing: Standing) -> datetime:
    """When a row was last seen as it is: a complete look saw every listed row."""
    looked = standing.complete_at if kept.listed and not kept.missing else None
    return max(kept.read_at, looked) if looked else kept.read_at


def known(window: Window, kept: Kept, standing: Standing) -> Known:
    """A kept product with its age."""
    at = read_at(kept, standing)
    return Known(kept, at, rules.is_stale(standing, at, window.now(), window.every))


async def view_product(window: Window, reseller_id: str, id: str) -> Known:
    """One product; read again within 3 s when it is old, else as it was last known, marked stale.

    Raises NotFound, and what `ready` raises.
    """
    standing = await ready(window, reseller_id)
    kept = await window.catalogue.find(id)
    if kept is None or kept.reseller_id != reseller_id:
        raise NotFound("the reseller's catalogue has no such product")
    found = known(window, kept, standing)
    if not kept.listed or window.now() - found.read_at <= window.reread_after:
        return found
    try:
        async with asyncio.timeout(FRESH_WITHIN):
            listing = await window.marketplace.product(reseller_id, kept.listing.product)
    except (Problem, TimeoutError):
        return Known(kept, found.read_at, stale=True)
    if listing is None:
        # One look makes nothing vanish; the walk through the whole list decides.
        await window.syncs.hasten(reseller_id)
        return Known(kept, found.read_at, stale=True)
    at = window.now()
    await window.catalogue.keep_read(reseller_id, listing, at)
    return Known(Kept(id, reseller_id, listing, at, listed=True), at, stale=False)
