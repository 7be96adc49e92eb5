"""I12, I13: how the run came to rest, and what was put aside on the way."""

from collections import defaultdict

from .evidence import DEAD_LETTERS, Evidence, Row, decoded
from .intents import Ledger
from .protocol import SETTLED
from .report import Verdict

UNFINISHED = frozenset({"submitted", "processing"})
PLAIN_READERS = frozenset({"audit.record"})
"""Groups that keep any event that has an envelope; the others also need its data to be right."""
ENVELOPE = ("specversion", "id", "source", "type", "subject", "time", "sequence", "data")


def rest(ledger: Ledger) -> Verdict:
    """I12: requests are at an end or in review, outboxes are empty, consumers have read everything."""
    verdict = Verdict(absent="nothing ran")
    _requests(ledger, verdict)
    for (database, id), row in ledger.evidence.aggregates.items():
        verdict.judged += 1
        if row["outbox"] or row.get("outbox_since"):
            said = f"{len(row['outbox'])} facts wait in its outbox"
            verdict.against("I12", [f"{database} {id}"], said, [row.where])
    _lag(ledger.evidence, verdict)
    return verdict


def _requests(ledger: Ledger, verdict: Verdict) -> None:
    for intent in ledger.intents.values():
        verdict.judged += 1
        verdict.count(f"requests {intent.status}")
        if intent.status in SETTLED:
            continue
        if intent.status in ("placed", "scheduled") and _at_the_marketplace(ledger, intent.linked):
            verdict.count("requests that wait for the marketplace")
            continue
        said = f"the request is still {intent.status} ({intent.phase})"
        verdict.against("I12", [f"request {intent.id}"], said, [intent.where])


def _at_the_marketplace(ledger: Ledger, orders: frozenset[str]) -> bool:
    """Whether the marketplace itself has not finished: the order, or the subscription of it."""
    shown = ledger.evidence.marketplace
    for order_id in orders:
        order = shown["orders"].get(order_id)
        if order is None or order["status"] in UNFINISHED:
            return order is not None
        subscription = shown["subscriptions"].get(str(order.get("subscription_id")))
        if subscription is not None and subscription["status"] == "pending":
            return True
    return False


def _lag(evidence: Evidence, verdict: Verdict) -> None:
    """Every partition with records is committed to its end, by each group that reads its topic."""
    ends: dict[tuple[str, int], int] = {}
    for fact in evidence.facts:
        place = (fact.topic, fact.partition)
        ends[place] = max(ends.get(place, 0), fact.offset + 1)
    committed: dict[str, dict[tuple[str, int], Row]] = defaultdict(dict)
    for row in evidence.groups:
        committed[row["group"]][row["topic"], int(row["partition"])] = row
    for group, rows in committed.items():
        topics = {topic for topic, _ in rows}
        for (topic, partition), end in ends.items():
            if topic in topics and (topic, partition) not in rows:
                said = f"{topic}[{partition}] has {end} records, none is committed"
                verdict.against("I12", [f"group {group}"], said, ["groups.json"])
        for (topic, partition), row in rows.items():
            verdict.judged += 1
            if int(row["committed"]) < int(row["end"]):
                said = f"{topic}[{partition}] is read to {row['committed']} of {row['end']}"
                verdict.against("I12", [f"group {group}"], said, [row.where])


def aside(evidence: Evidence) -> Verdict:
    """I13: each injected record is in the dead letters of the groups that cannot read it, and nothing
    else is. Two copies of one are allowed: the offset may not have been committed."""
    verdict = Verdict(absent="no dead-letter topics")
    poison = evidence.told("poison")
    verdict.judged = len(poison) + len(evidence.dead_letters) + len(evidence.groups)
    verdict.count("poison injected", len(poison))
    verdict.count("dead letters", len(evidence.dead_letters))
    found = defaultdict(set)
    for row in evidence.dead_letters:
        group = row["topic"].removesuffix(DEAD_LETTERS)
        named = [one for one in poison if _is(one, row)]
        for one in named:
            found[str(one["id"])].add(group)
        if not named:
            headers = row.get("headers") or {}
            place = f"{headers.get('dlq_topic')}[{headers.get('dlq_partition')}]"
            said = (
                f"a record of {place}@{headers.get('dlq_offset')} was put aside "
                f"({headers.get('dlq_error')}), which nobody had injected"
            )
            verdict.against("I13", [f"group {group}"], said, [row.where])
    _missing(evidence, found, verdict)
    _unannounced(evidence, verdict)
    return verdict


def _is(poison: dict[str, object], row: Row) -> bool:
    """Whether a dead letter or a record is this injected one: same topic and key, and its id inside."""
    headers = row.get("headers") or {}
    topic = headers.get("dlq_topic", row["topic"])
    inside = decoded(row["value"])
    text = inside.decode(errors="replace") if inside is not None else str(row["value"])
    named = str(poison["id"]) in text or str(poison["id"]) in headers.values()
    return topic == poison["topic"] and (row.get("key") or "") == poison["key"] and named


def _missing(evidence: Evidence, found: dict[str, set[str]], verdict: Verdict) -> None:
    poison = evidence.told("poison")
    if not poison:
        return
    readers: dict[str, set[str]] = defaultdict(set)
    for row in evidence.groups:
        readers[row["topic"]].add(row["group"])
    topics = {one["topic"] for one in poison}
    records = [row for row in evidence.rows("kafka.jsonl") if row["topic"] in topics]
    for one in poison:
        sent = [row for row in records if _is(one, row)]
        if not sent:
            said = "the poison that run.json names is not in the log"
            verdict.against("I13", [f"poison {one['id']}"], said, ["run.json"])
        for group in readers[str(one["topic"])] - found[str(one["id"])]:
            if group in PLAIN_READERS and any(_has_envelope(row) for row in sent):
                continue
            said = f"group {group} reads {one['topic']}, but has not put it aside"
            verdict.against("I13", [f"poison {one['id']}"], said, [row.where for row in sent])


def _has_envelope(row: Row) -> bool:
    return (
        all(name in row["value"] for name in ENVELOPE) if decoded(row["value"]) is None else False
    )


def _unannounced(evidence: Evidence, verdict: Verdict) -> None:
    """A record that is no fact and was not injected: somebody published nonsense."""
    for row in evidence.unreadable:
        if not any(_is(one, row) for one in evidence.told("poison")):
            said = f"a record of {row['topic']} is no fact, and nobody had injected it"
            verdict.against("I13", [f"key {row.get('key')}"], said, [row.where])
