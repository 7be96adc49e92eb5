"""I6, I8: what the facts say happened, against what the documents say happened."""

import base64
import itertools
import json
from collections import defaultdict

from .evidence import Evidence, Fact, Row, canonical
from .protocol import objection
from .report import Verdict

REQUEST = "license-change-request"


def told(evidence: Evidence) -> Verdict:
    """I6: per aggregate the facts are its transitions: gapless, first copies in order, legal, current."""
    verdict = Verdict(absent="no facts")
    _copies(evidence, verdict)
    _first_copies_in_order(evidence, verdict)
    for subject, facts in evidence.by_subject.items():
        verdict.judged += 1
        source = evidence.source_of(facts[0])
        if source is not None:
            _sequence(subject, facts, source, verdict)
            _current(subject, facts, source, verdict)
        if facts[0].aggregate == REQUEST:
            _chain(subject, facts, verdict)
    _silent(evidence, verdict)
    verdict.count("facts", sum(len(facts) for facts in evidence.by_subject.values()))
    verdict.count("records of facts", len(evidence.facts))
    return verdict


def grounded(evidence: Evidence) -> Verdict:
    """I8: every fact is about a committed document that has come as far as the fact."""
    verdict = Verdict(absent="no facts")
    for subject, facts in evidence.by_subject.items():
        verdict.judged += len(facts)
        source = evidence.source_of(facts[0])
        if source is None:
            said = f"{len(facts)} facts are about something that was never written"
            verdict.against("I8", [subject], said, [fact.where for fact in facts])
            continue
        for fact in facts:
            if fact.sequence > source["sequence"]:
                said = f"fact {fact.sequence} ({fact.topic}), but only {source['sequence']} written"
                verdict.against("I8", [subject], said, [fact.where, source.where])
    return verdict


def _copies(evidence: Evidence, verdict: Verdict) -> None:
    """Copies of one event are equal, and its envelope says what its record says."""
    seen: dict[str, Fact] = {}
    for fact in evidence.facts:
        other = seen.setdefault(fact.id, fact)
        if other.digest != fact.digest:
            said = f"two copies of event {fact.id} differ"
            verdict.against("I6", [fact.subject], said, [other.where, fact.where])
        state = json.loads(fact.state)
        own = fact.subject.partition("/")[2]
        owners = (
            own if fact.aggregate == "tenant" else state.get("tenant_id"),
            state.get("reseller_id"),
            state.get("customer_id"),
        )
        key = next((owner for owner in owners if owner), own)
        type_ = f"purser.{fact.topic}.v1"
        wrong = {
            "type": (fact.type, type_),
            "ce_type": (fact.header, type_),
            "key": (fact.key, key),
            "subject": (own, str(state.get("id", own))),
        }
        for name, (given, right) in wrong.items():
            if given != right:
                said = f"{name} is {given!r}, not {right!r}"
                verdict.against("I6", [fact.subject], said, [fact.where])
    verdict.count("repeated records of facts", len(evidence.facts) - len(seen))


def _first_copies_in_order(evidence: Evidence, verdict: Verdict) -> None:
    """Inside a topic and key, an aggregate's facts appear for the first time in their order."""
    newest: dict[tuple[str, str], Fact] = {}
    partitions: dict[tuple[str, str], int] = {}
    ids = set()
    for fact in sorted(evidence.facts, key=lambda one: (one.topic, one.partition, one.offset)):
        home = partitions.setdefault((fact.topic, fact.key), fact.partition)
        if home != fact.partition:
            said = f"key {fact.key} is on partitions {home} and {fact.partition} of {fact.topic}"
            verdict.against("I6", [fact.subject], said, [fact.where])
        if fact.id in ids:
            continue
        ids.add(fact.id)
        before = newest.get((fact.topic, fact.subject))
        if before is not None and before.sequence > fact.sequence:
            said = f"fact {fact.sequence} of {fact.topic} comes after fact {before.sequence}"
            verdict.against("I6", [fact.subject], said, [before.where, fact.where])
        newest[fact.topic, fact.subject] = fact


def _sequence(subject: str, facts: list[Fact], source: Row, verdict: Verdict) -> None:
    """Published and waiting facts together are 1 to the document's sequence, each once."""
    published = [fact.sequence for fact in facts]
    for earlier, later in itertools.pairwise(facts):
        if earlier.sequence == later.sequence:
            said = f"two facts have the sequence {later.sequence}"
            verdict.against("I6", [subject], said, [earlier.where, later.where])
    waiting = [int(entry["seq"]) for entry in source["outbox"]]
    lost = set(range(1, int(source["sequence"]) + 1)) - set(published) - set(waiting)
    if lost:
        said = f"facts {sorted(lost)} of {source['sequence']} were never published and do not wait"
        around = [
            fact.where for fact in facts if fact.sequence + 1 in lost or fact.sequence - 1 in lost
        ]
        verdict.against("I6", [subject], said, [source.where, *around])


def _current(subject: str, facts: list[Fact], source: Row, verdict: Verdict) -> None:
    """The last fact, published or waiting, carries the state that the document has."""
    if "state" not in source:
        return
    state, where = facts[-1].state, facts[-1].where
    if source["outbox"] and (entry := source["outbox"][-1])["seq"] > facts[-1].sequence:
        value = json.loads(base64.b64decode(entry["value"]["base64"]))
        state, where = canonical(value["data"]["state"]), source.where
    if state != canonical(source["state"]):
        fields = differing(json.loads(state), source["state"])
        said = f"the state differs from its last fact in {', '.join(fields)}"
        verdict.against("I6", [subject], said, [where, source.where])


def differing(one: dict[str, object], other: dict[str, object]) -> list[str]:
    """The fields in which two states differ."""
    names = sorted(one.keys() | other.keys())
    return [name for name in names if canonical(one.get(name)) != canonical(other.get(name))]


def _chain(subject: str, facts: list[Fact], verdict: Verdict) -> None:
    """Every step is one of the protocol; where a fact is missing, the chain is not judged beyond."""
    before, sequence, behind = "", 0, ""
    for fact in facts:
        if fact.sequence != sequence + 1:
            return
        said = objection(fact.topic, before, fact.status, fact.answer)
        if said is not None:
            places = [place for place in (behind, fact.where) if place]
            verdict.against("I6", [subject], f"illegal step: {said}", places)
        before, sequence, behind = fact.status or "", fact.sequence, fact.where


def _silent(evidence: Evidence, verdict: Verdict) -> None:
    """A document that counts facts of which none was ever seen."""
    heard: dict[str, set[str]] = defaultdict(set)
    for facts in evidence.by_subject.values():
        source = evidence.source_of(facts[0])
        if source is not None:
            heard[source.where.partition(":")[0]].add(str(source["_id"]))
    for (_, id), row in evidence.aggregates.items():
        waiting = {int(entry["seq"]) for entry in row["outbox"]}
        unseen = id not in heard[row.where.partition(":")[0]]
        if unseen and set(range(1, int(row["sequence"]) + 1)) - waiting:
            said = f"none of its {row['sequence']} facts was ever published"
            verdict.against(
                "I6", [f"{row.where.split('/')[-1].split('.')[0]} {id}"], said, [row.where]
            )
