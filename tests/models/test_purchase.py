"""The purchase protocol, searched exhaustively on the code's own decisions.

Two workers, the hop that sends, a network on either side of it, a lagging marketplace, people, and
time: everything may be slow, repeated, lost or dead at any point (`purchasing`). Judged is:

- double buy: the marketplace executes two orders of one request
- lost order: an order that nothing of Purser will ever link, or a second one that is never flagged
- false link: a request is placed, and there is no such order
- stuck: neither a person's nor anybody's turn
- sent though seen: a request is sent of which an order was seen

The rows are those of the protocol's published table: what was considered, and why it is not built.
"""

from dataclasses import replace
from functools import cache

import pytest

from order_service.domain import purchase as rules

from .bounds import ATTEMPTS, SECONDS
from .deciding import Book
from .purchasing import Purchasing
from .search import Verdict
from .world import Variant

pytestmark = pytest.mark.timeout(SECONDS)

NOTHING: frozenset[str] = frozenset()
DESIGN = Variant(attempts=ATTEMPTS)
NEVER = replace(DESIGN, resend="never", covers=NOTHING)
MACHINE = replace(DESIGN, resend="machine")
RESENDS_AT_ONCE = {"believes": (("lost", "no"),), "takes_over": True}

THREE_ATTEMPTS = replace(NEVER, attempts=3, refusals=())
BY_HAND = Variant(by_hand=True, refusals=("400",), workers=1)
"""People order in the portal with our number and delete mappings; placed orders are followed."""

TABLE = {
    "1: resend on a time-out or takeover": (
        replace(MACHINE, covers=NOTHING, **RESENDS_AT_ONCE),
        "double buy",
    ),
    "2: a 5xx taken for not placed": (replace(DESIGN, believes=(("504", "429"),)), "double buy"),
    "3: look it up, absent, resend": (replace(MACHINE, covers=NOTHING), "double buy"),
    "4: waiting for late arrival only": (
        replace(MACHINE, covers=frozenset({"late", "pauses"})),
        "double buy",
    ),
    "5: waiting for the listing's lag only": (
        replace(MACHINE, covers=frozenset({"lag", "pauses"})),
        "double buy",
    ),
    "6: both waits, no pause fence": (
        replace(MACHINE, covers=frozenset({"late", "lag"})),
        "double buy",
    ),
    "7: both waits and the fence; a machine resends": (MACHINE, None),
    "8: both waits and the fence; a person resends": (DESIGN, None),
    "9: a person resends without waits and fence": (replace(DESIGN, covers=NOTHING), "double buy"),
    "10: never resend an unknown, no timing assumption": (NEVER, None),
    "11: as 10, and a client or proxy repeats the POST": (
        replace(NEVER, repeats_posts=True),
        "double buy",
    ),
    "12: as 10, the account sweeper off": (replace(NEVER, sweeps_all=False), "lost order"),
    "13: as 12, late answers dropped too": (
        replace(NEVER, sweeps_all=False, drops_late=True),
        "lost order",
    ),
    "10, with three attempts": (THREE_ATTEMPTS, None),
    "14: as 10, late answers dropped, the sweeper on": (replace(NEVER, drops_late=True), None),
    "15: a unique purchase order number, even with naive resends": (
        replace(NEVER, unique_po=True, **RESENDS_AT_ONCE),
        None,
    ),
}
"""Each variant, and the property that it violates."""

HOP = {
    "the hop is called twice for an attempt": (replace(DESIGN, repeats_calls=True), None),
    "as before, and an attempt is not recorded once": (
        replace(DESIGN, repeats_calls=True, one_record=False),
        "double buy",
    ),
    "an attempt that was closed may be recorded again": (
        replace(DESIGN, one_record=False),
        "double buy",
    ),
    "Send-By is ignored": (replace(DESIGN, keeps_send_by=False), "double buy"),
    "closing does not insert the attempt": (replace(DESIGN, closes=False), "double buy"),
    "a missing answer of the hop is taken for no": (replace(DESIGN, asks_hop=False), "double buy"),
    "an attempt without an outcome is taken for not sent": (
        replace(DESIGN, believes_lost=True),
        "double buy",
    ),
    "the fence is off, and the hop says so": (
        replace(DESIGN, fenced=False, covers=frozenset({"late", "lag"})),
        None,
    ),
    "the fence is off, and resending allowed all the same": (
        replace(DESIGN, fenced=False, covers=frozenset({"late", "lag"}), ignores_fence=True),
        "double buy",
    ),
    "a listing without its control shows absence": (
        replace(DESIGN, ignores_control=True),
        "double buy",
    ),
    "a listing counts from its end": (replace(DESIGN, dates_listing_at_end=True), "double buy"),
    "a late answer is taken for the latest attempt's": (
        replace(THREE_ATTEMPTS, ignores_attempt=True),
        "double buy",
    ),
}
"""Why each part of the hop and of the looking is there."""

UNREACHED: dict[tuple[str, str], str] = {}
"""Steps of the code's table that the search does not take, each with the reason."""


BOOK = Book()


@cache
def searched(variant: Variant, until: str | None) -> tuple[Verdict, set[tuple[str, str]]]:
    """What a search finds, and the steps that it takes the purchase through."""
    searching = Purchasing(BOOK, variant)
    return searching.search(until), searching.moves


def verdict_of(variant: Variant, stated: str | None) -> Verdict:
    """The verdict. A violation is looked for among fewer workers first, and ends the search."""
    until = stated if stated == "double buy" else None
    verdict, _ = searched(replace(variant, workers=1) if stated else variant, until)
    return verdict if stated in (None, *verdict.names) else searched(variant, until)[0]


@pytest.mark.parametrize("row", TABLE)
def test_every_row_of_the_table_gives_its_verdict(row: str) -> None:
    variant, stated = TABLE[row]
    verdict = verdict_of(variant, stated)
    assert verdict.names == ({stated} if stated else set()), verdict


@pytest.mark.parametrize("row", HOP)
def test_every_part_of_the_hop_is_needed(row: str) -> None:
    variant, stated = HOP[row]
    verdict = verdict_of(variant, stated)
    assert verdict.names == ({stated} if stated else set()), verdict


def test_orders_made_by_hand_are_told_from_ours_or_flagged() -> None:
    verdict = verdict_of(BY_HAND, None)
    assert verdict.names == set(), verdict


def test_the_search_and_the_codes_table_have_the_same_steps() -> None:
    taken = searched(DESIGN, None)[1] | searched(BY_HAND, None)[1]
    table = {(a, b) for a, steps in rules.TRANSITIONS.items() for b in steps}
    assert taken <= table
    assert table - taken == set(UNREACHED)


@pytest.mark.parametrize("variant", [replace(DESIGN, attempts=1), replace(NEVER, sweeps_all=False)])
def test_leaving_out_what_has_no_effect_changes_no_verdict(variant: Variant) -> None:
    """Worlds that differ only in what nobody can ask for any more are searched once."""
    variant = replace(variant, attempts=ATTEMPTS - 1)
    short, long = Purchasing(BOOK, variant), Purchasing(BOOK, variant, forgets=False)
    verdict, whole = short.search(), long.search()
    assert verdict.names == whole.names
    assert short.moves == long.moves
    assert verdict.states < whole.states
