"""The kept catalogue: what the marketplace lists, how a look at it is judged, when a row is old."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from purser_events.values import product_id
from reseller_service.domain.mapping import CatalogProduct

COMPLETE, SHORT, EMPTY, FAILED = "complete", "short", "empty", "failed"
PAGE_SIZE = 100
MOST_PAGES = 1_000
"""A list that goes on after 100,000 rows has no end that could be believed."""
PAGES_WITHOUT_NEWS = 3
CONFIRM_AFTER = timedelta(minutes=1)
"""What was missing for the first time is looked for again so soon."""
RETRY_AFTER = timedelta(minutes=1)
MOST_WORDS = 40


class Coterming(BaseModel):
    """Whether a purchase may or must end together with another one, as the marketplace says it."""

    model_config = ConfigDict(frozen=True)

    required: str
    type: str


class Need(BaseModel):
    """A product that the marketplace adds to an order when the customer lacks it."""

    model_config = ConfigDict(frozen=True)

    marketplace_id: str | None
    mpn: str | None


class Listing(CatalogProduct):
    """A row of the catalogue with what links it to other rows."""

    marketplace_id: str | None = None
    needs: tuple[Need, ...] = ()
    coterming: Coterming | None = None

    def id(self, reseller_id: str) -> str:
        """The product id: the same in mappings, price plans and the catalogue."""
        return product_id(reseller_id, self.product)

    @property
    def digest(self) -> str:
        """Differs when anything of the row does."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:32]


def words_of(text: str) -> tuple[str, ...]:
    """The distinct words of a name or of a search, without letter case and punctuation."""
    plain = "".join(c if c.isalnum() else " " for c in text.casefold())
    return tuple(dict.fromkeys(plain.split()))[:MOST_WORDS]


@dataclass(frozen=True)
class Row:
    """A row as a page has it: `key` tells it from others; without a listing nothing can be made of it."""

    key: str | None
    listing: Listing | None


@dataclass(frozen=True)
class PageOfRows:
    """One page of the marketplace's list."""

    rows: tuple[Row, ...]
    total: int | None


class Sync(BaseModel):
    """How the last look at a reseller's catalogue went."""

    model_config = ConfigDict(frozen=True)

    began_at: AwareDatetime
    ended_at: AwareDatetime
    outcome: str = Field(
        description="`complete`; `short`: the end came before the stated total, so that nothing counts "
        "as gone; `empty`: not one row, which is not believed; `failed`."
    )
    code: str | None = Field(default=None, description="Why it failed, as a problem's code.")
    detail: str | None = None
    pages: int = 0
    rows: int = Field(default=0, description="Different rows that were read.")
    total: int | None = Field(default=None, description="What the marketplace stated last.")
    changed: int = Field(default=0, description="Rows written: new, different, or back.")
    vanished: int = Field(default=0, description="Products found gone for the second time.")
    missing: int = Field(default=0, description="Products missing for the first time.")
    duplicates: int = Field(default=0, description="Rows that came again on a later page.")
    malformed: int = Field(default=0, description="Rows of which nothing can be made; left out.")


@dataclass
class Pass:
    """One walk through the marketplace's list, page by page, from its start to its end.

    Rows shift while paging: what comes twice counts once, and only a walk that met every row that the
    list says it has, with one total throughout, may say of a product that it is missing.
    """

    reseller_id: str
    began_at: datetime
    offset: int = 0
    pages: int = 0
    changed: int = 0
    duplicates: int = 0
    malformed: int = 0
    anonymous: int = 0
    ended: bool = False
    keys: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    """The product ids that were met."""
    spared: set[str] = field(default_factory=set)
    """The marketplace's ids of rows of which nothing can be made: they are there, all the same."""
    totals: list[int | None] = field(default_factory=list)
    _stale: int = 0

    def take(self, page: PageOfRows) -> list[Listing]:
        """Count a page, and answer what is new on it and readable."""
        fresh: list[Listing] = []
        before = len(self.keys)
        for row in page.rows:
            if row.key is None:
                self.anonymous += 1
                self.malformed += 1
            elif row.key in self.keys:
                self.duplicates += 1
            else:
                self.keys.add(row.key)
                fresh += self._new(row.key, row.listing)
        self.pages += 1
        self.offset += len(page.rows)
        if page.rows or page.total:
            self.totals.append(page.total)
        self._stale = 0 if len(self.keys) > before else self._stale + 1
        # A total below what was received is no total: read on to an empty page.
        self.ended = not page.rows or page.total == self.offset
        return fresh

    def _new(self, key: str, listing: Listing | None) -> list[Listing]:
        if listing is None:
            self.malformed += 1
            self.spared.add(key)
            return []
        id = listing.id(self.reseller_id)
        if id in self.seen:
            self.duplicates += 1
            return []
        self.seen.add(id)
        return [listing]

    @property
    def endless(self) -> bool:
        """Whether there is no sense in reading on."""
        return self._stale >= PAGES_WITHOUT_NEWS or self.pages >= MOST_PAGES

    @property
    def rows(self) -> int:
        """How many different rows came."""
        return len(self.keys) + self.anonymous

    def outcome(self) -> str:
        """What a walk that came to the end of the list is worth."""
        if not self.keys:
            return EMPTY
        stated = set(self.totals)
        if self.anonymous or len(stated) > 1:
            return SHORT
        total = next(iter(stated), None)
        steady = not self.duplicates if total is None else total == self.rows
        return COMPLETE if steady else SHORT

    def record(self, outcome: str, at: datetime, *, missing: int = 0, vanished: int = 0) -> Sync:
        """What is kept of the walk."""
        return Sync(
            began_at=self.began_at,
            ended_at=at,
            outcome=outcome,
            pages=self.pages,
            rows=self.rows,
            total=self.totals[-1] if self.totals else None,
            changed=self.changed,
            vanished=vanished,
            missing=missing,
            duplicates=self.duplicates,
            malformed=self.malformed,
        )


@dataclass(frozen=True)
class Standing:
    """What is known of a reseller's catalogue as a whole."""

    last: Sync | None = None
    usable_at: datetime | None = None
    """When the last walk began that came to the end of the list."""
    complete_at: datetime | None = None
    """When the last complete walk began: every listed row was seen since then."""


def after(standing: Standing, sync: Sync) -> Standing:
    """The standing when a look has ended."""
    usable = sync.outcome in (COMPLETE, SHORT)
    complete = sync.outcome == COMPLETE
    return Standing(
        last=sync,
        usable_at=sync.began_at if usable else standing.usable_at,
        complete_at=sync.began_at if complete else standing.complete_at,
    )


def due_after(sync: Sync, every: timedelta) -> timedelta:
    """How long to wait for the next look."""
    if sync.outcome == COMPLETE:
        return min(CONFIRM_AFTER, every) if sync.missing else every
    return min(RETRY_AFTER, every)


def is_stale(standing: Standing, read_at: datetime, now: datetime, every: timedelta) -> bool:
    """Whether a listed row may differ from what the marketplace says now.

    It is as soon as a look fails, and when two looks in a row were left out.
    """
    last = standing.last
    if last is None or (last.outcome in (EMPTY, FAILED) and read_at < last.began_at):
        return True
    return now - read_at > 2 * every


@dataclass(frozen=True)
class Kept:
    """A product as it is kept."""

    id: str
    reseller_id: str
    listing: Listing
    read_at: datetime
    listed: bool
    missing: bool = False
    """The last complete look did not meet it."""
    vanished_at: datetime | None = None


def needed_keys(listing: Listing) -> tuple[str, ...]:
    """Under which names the products that a row needs are found."""
    return tuple(dict.fromkeys(key for need in listing.needs for key in _keys_of(need)))


def names_of(listing: Listing) -> tuple[str, ...]:
    """The names under which other rows may need this one."""
    return _keys_of(Need(marketplace_id=listing.marketplace_id, mpn=listing.product.mpn))


def _keys_of(need: Need) -> tuple[str, ...]:
    by_id = (f"id:{need.marketplace_id}",) if need.marketplace_id else ()
    return (*by_id, *((f"mpn:{need.mpn.casefold()}",) if need.mpn else ()))


def is_meant(need: Need, listing: Listing) -> bool:
    """Whether a need is for this row: the id decides where there is one, else the part number."""
    if need.marketplace_id is not None and listing.marketplace_id is not None:
        return need.marketplace_id == listing.marketplace_id
    return need.mpn is not None and need.mpn.casefold() == listing.product.mpn.casefold()


def best_for(need: Need, wanting: Listing, candidates: Iterable[Kept]) -> Kept | None:
    """The row that fills a need: the one with the same periods where a part number has several."""
    fitting = [kept for kept in candidates if is_meant(need, kept.listing)]
    alike = [kept for kept in fitting if _same_periods(kept.listing, wanting)]
    return next(iter(alike or fitting), None)


def _same_periods(one: Listing, other: Listing) -> bool:
    mine, theirs = one.product, other.product
    return (mine.subscription_period, mine.billing_period) == (
        theirs.subscription_period,
        theirs.billing_period,
    )


def needing(kept: Kept, candidates: Sequence[Kept]) -> list[Kept]:
    """The rows that need this one."""
    return [
        other
        for other in candidates
        if other.id != kept.id and any(is_meant(need, kept.listing) for need in other.listing.needs)
    ]
