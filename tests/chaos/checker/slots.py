"""I11: at most one open request for each slot, at the end and at every moment before."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from .evidence import Fact, instant
from .intents import Intent, Ledger
from .protocol import BOUGHT, CLOSED, HOLDS_SLOT
from .report import Verdict

SLACK = 1.0
"""Seconds by which the clocks of two processes may differ: each follows the business clock by itself."""
FIELDS = ("slot_buy", "slot_now", "slot_renewal")


@dataclass(frozen=True)
class Span:
    """A time in which a request was open for certain; it may have been open for longer."""

    intent: Intent
    began: float
    ended: float
    places: tuple[str, ...]


def exclusive(ledger: Ledger) -> Verdict:
    """I11: from the slots that documents hold, and from when requests were open for certain."""
    verdict = Verdict(absent="no requests")
    verdict.judged = len(ledger.intents)
    _held(ledger, verdict)
    for spans in (_spans_of_documents(ledger), _spans_of_facts(ledger)):
        by_slot: dict[str, list[Span]] = defaultdict(list)
        for span in spans:
            by_slot[slot_of(span.intent)].append(span)
        for slot, taken in by_slot.items():
            _overlaps(slot, taken, verdict)
    return verdict


def slot_of(intent: Intent) -> str:
    """What only one open request may concern: a tenant's product, or a subscription."""
    if intent.kind == "buy":
        return "|".join((str(intent.state["tenant_id"]), *intent.product))
    return f"{intent.kind == 'plan'}|{intent.state.get('subscription_id')}"


def _held(ledger: Ledger, verdict: Verdict) -> None:
    """Open requests hold their slot, others none, and no two hold the same."""
    holders: dict[tuple[str, str], Intent] = {}
    for intent in ledger.intents.values():
        held = {name: str(intent.document[name]) for name in FIELDS if intent.document.get(name)}
        if bool(held) != (intent.status in HOLDS_SLOT | {"scheduled"}):
            said = f"the request is {intent.status} and holds {sorted(held) or 'no slot'}"
            verdict.against("I11", [f"request {intent.id}"], said, [intent.where])
        for name, value in held.items():
            other = holders.setdefault((name, value), intent)
            if other is not intent:
                named = [f"request {other.id}", f"request {intent.id}", f"slot {value}"]
                said = "two open requests hold one slot"
                verdict.against("I11", named, said, [other.where, intent.where])


def _overlaps(slot: str, spans: list[Span], verdict: Verdict) -> None:
    spans.sort(key=lambda span: span.began)
    widest: Span | None = None
    for span in spans:
        if widest is not None and _beside(widest, span):
            named = [f"request {widest.intent.id}", f"request {span.intent.id}", f"slot {slot}"]
            seconds = min(widest.ended, span.ended) - span.began
            said = f"both were open for at least {seconds:.1f} s"
            verdict.against("I11", named, said, [*widest.places, *span.places])
        if widest is None or span.ended > widest.ended:
            widest = span


def _beside(earlier: Span, later: Span) -> bool:
    return later.intent is not earlier.intent and later.began + SLACK < earlier.ended


def _spans_of_documents(ledger: Ledger) -> Iterator[Span]:
    """From the first attempt, which is made after the slot was taken, to the last thing that was
    learnt of the order while the slot was held: real times of the one service that writes them."""
    for intent in ledger.intents.values():
        starts = [instant(attempt["started_at"]) for attempt in intent.attempts]
        if not starts:
            continue
        learnt = [intent.document.get("absence_shown_at")]
        if not _given_up(ledger, intent):
            # what shows up of a request that was given up shows up while it holds nothing
            learnt += [one["at"] for one in (intent.document.get("evidence") or [])[:1]]
        ends = [*starts, *(instant(time) for time in learnt if time)]
        yield Span(intent, min(starts), max(ends), (intent.where,))


def _given_up(ledger: Ledger, intent: Intent) -> bool:
    facts = ledger.evidence.by_subject.get(f"license-change-request/{intent.id}", [])
    return intent.status in CLOSED - BOUGHT or any(fact.status in CLOSED - BOUGHT for fact in facts)


def _spans_of_facts(ledger: Ledger) -> Iterator[Span]:
    """Between two facts that were decided while the request was open. The first fact of all is decided
    before the slot is taken, so the span begins with the second."""
    for intent in ledger.intents.values():
        facts = ledger.evidence.by_subject.get(f"license-change-request/{intent.id}", [])
        for run in _runs(facts):
            yield Span(intent, run[0].time, run[-1].time, (run[0].where, run[-1].where))


def _runs(facts: list[Fact]) -> Iterator[list[Fact]]:
    """Facts from one that holds the slot to the one that gives it back."""
    run: list[Fact] = []
    for before, fact in itertools.pairwise(facts):
        if before.status not in HOLDS_SLOT or fact.sequence != before.sequence + 1:
            if len(run) > 1:
                yield run
            run = []
            continue
        run.append(fact)
    if len(run) > 1:
        yield run
