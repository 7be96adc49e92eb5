"""One moment of a purchase's world, the variants of what happens in it, and small steps of it."""

from dataclasses import dataclass
from typing import Any, NamedTuple

IDLE = ("idle", 0, "")

Worker = tuple[str, int, str]
"""What it does, for which attempt, and the outcome that it has been told."""
Send = tuple[int, tuple[Any, ...], str]
"""A call at work in the hop: its attempt, the answers so far, and `works`, `stalls` or `waits`."""
Listing = tuple[int, tuple[str, ...], bool]
"""The latest attempt's age when the listing began, what it shows, whether its control is in it."""


class World(NamedTuple):
    """Everything that matters at one moment."""

    purchase: int
    workers: tuple[Worker, ...]
    calls: tuple[int, ...] = ()
    """Calls on the way to the hop, by attempt."""
    sends: tuple[Send, ...] = ()
    records: tuple[str | None, ...] = ()
    """What the hop has stored of each attempt."""
    posts: tuple[int, ...] = ()
    """Orders on the way to the marketplace, by attempt."""
    orders: tuple[str, ...] = ()
    """Orders that the marketplace has executed for us."""
    shown: tuple[str, ...] = ()
    """Orders that a listing shows."""
    ages: tuple[int, ...] = ()
    listing: Listing | None = None
    sent_though_seen: bool = False


@dataclass(frozen=True)
class Variant:
    """The design, and how one of its alternatives or mistakes differs from it."""

    resend: str = "human"
    """Who may send again after an unknown outcome: `human`, `machine`, or `never`."""
    covers: frozenset[str] = frozenset({"late", "lag", "pauses"})
    """What has surely passed once Q has: late arrivals, the listing's lag, paused senders."""
    fenced: bool = True
    """Whether the hop runs its pause fence, and says so."""
    believes: tuple[tuple[str, str], ...] = ()
    """Outcomes that the order service takes for others."""
    takes_over: bool = False
    """Whether a lapsed lease is taken for a send that did not happen."""
    one_record: bool = True
    """Whether an attempt is recorded once."""
    keeps_send_by: bool = True
    closes: bool = True
    """Whether closing an attempt that never came keeps it out for ever."""
    asks_hop: bool = True
    """Whether a missing answer of the hop is asked for; else it is taken for `no`."""
    believes_lost: bool = False
    """Whether the hop takes an attempt without an outcome for one that was not sent."""
    ignores_fence: bool = False
    """Whether `not placed` is allowed although the sender ran without its fence."""
    ignores_control: bool = False
    """Whether a listing without its control shows absence."""
    dates_listing_at_end: bool = False
    ignores_attempt: bool = False
    """Whether a late answer is taken for one of the latest attempt."""
    drops_late: bool = False
    sweeps_all: bool = True
    """Whether the sweeper accounts for every order, not only those of unsettled requests."""
    unique_po: bool = False
    """Whether the marketplace refuses a purchase order number that it has seen."""
    repeats_posts: bool = False
    repeats_calls: bool = False
    by_hand: bool = False
    """Whether people also buy in the portal, mappings are deleted, and placed orders are followed."""
    refusals: tuple[str, ...] = ("429", "504")
    """How the marketplace may answer an order that it did not execute."""
    workers: int = 2
    attempts: int = 2


def plus(several: tuple[Any, ...], one: Any) -> tuple[Any, ...]:
    """With one more, in an order that is always the same."""
    return tuple(sorted((*several, one)))


def without(several: tuple[Any, ...], one: Any) -> tuple[Any, ...]:
    """With one less of those that are alike."""
    place = several.index(one)
    return several[:place] + several[place + 1 :]


def works(w: World, worker: Worker, does: Worker) -> World:
    """The world in which a worker does something else; workers are interchangeable."""
    return w._replace(workers=plus(without(w.workers, worker), does))


def stored(w: World, n: int, record: str | None) -> World:
    """The world in which the hop has stored this of an attempt."""
    return w._replace(records=(*w.records[: n - 1], record, *w.records[n:]))
