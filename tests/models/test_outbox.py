"""The outbox and what consumes it, searched exhaustively on the code's own publisher.

One writer, two publishers that pause, fail and die, sends that were given up and arrive, a consumer that
dies between any two of its steps (`publishing`). Judged is:

- lost: a fact that never takes effect · twice: an effect that happens twice
- order: first copies in the log out of order · stale: an older fact takes effect after a newer one
- unfound: facts wait where the sweeper does not look · unquiet: it looks for ever where nothing waits

The rows are those of the published table: the design, and what it was chosen over.
"""

import pytest

from .bounds import FACTS, LOG, SECONDS
from .publishing import (
    Publishing,
    Variant,
    clears_all,
    clears_first,
    pipelines,
    the_code,
)

pytestmark = pytest.mark.timeout(SECONDS)

TABLE = {
    "A: the code; effect and gate in one document": (the_code, "gate", set()),
    "B: removed before the broker acknowledged": (clears_first, "gate", {"lost"}),
    "C: everything removed, not what was acknowledged": (clears_all, "gate", {"lost"}),
    "D: several sends in flight, a gate": (pipelines, "gate", {"lost"}),
    "E: several sends in flight, ids": (pipelines, "ids", {"order", "stale"}),
    "F: no mark": (the_code, "none", {"twice", "stale"}),
    "G: the code; effect and ids in one document": (the_code, "ids", set()),
    "H: a mark in another document, before the effect": (the_code, "mark first", {"lost"}),
    "I: a mark in another document, after the effect": (the_code, "mark last", {"twice"}),
    "J: the offset committed before the handler": (the_code, "commit first", {"lost"}),
}
"""Who publishes, how the consumer knows what it has seen, and what is violated."""


@pytest.mark.parametrize("row", TABLE)
def test_every_row_of_the_table_gives_its_verdict(row: str) -> None:
    program, consumer, stated = TABLE[row]
    log = LOG - 1 if stated == {"lost"} else LOG  # a fact is lost within a shorter log already
    verdict = Publishing(Variant(program, consumer, FACTS, log)).search()
    assert verdict.names >= stated, verdict
    if not stated:
        assert verdict.names == set(), verdict
