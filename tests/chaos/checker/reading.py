"""I7: whoever follows the facts ends where their source is, and each fact has had its effect once."""

from collections import defaultdict
from collections.abc import Iterator

from .evidence import Evidence, Row, canonical
from .intents import Ledger
from .ordering import seats
from .report import Verdict
from .telling import differing

GATEWAY = "purser_gateway"
MODEL = {
    "resellers": "reseller",
    "customers": "customer",
    "tenants": "tenant",
    "subscriptions": "subscription",
    "requests": "license-change-request",
}
"""Collection of the gateway → aggregate that it must hold whole."""
MIRROR = ("purser_subscription", "subscriptions")
RECORDS = ("purser_audit", "records")


def follow(ledger: Ledger) -> Verdict:
    """I7: read model, copies, mirror and records agree with their sources."""
    verdict = Verdict(absent="no readers")
    _copies(ledger.evidence, verdict)
    _complete(ledger.evidence, verdict)
    _records(ledger.evidence, verdict)
    _mirrored(ledger, verdict)
    return verdict


def _kept(evidence: Evidence) -> Iterator[tuple[str, str, Row]]:
    """(database, collection, copy): whoever keeps a state with a sequence, but publishes nothing."""
    for database, collections in evidence.databases.items():
        for collection in collections:
            for row in evidence.documents(database, collection):
                if "sequence" in row and "state" in row and "outbox" not in row:
                    yield database, collection, row


def _copies(evidence: Evidence, verdict: Verdict) -> None:
    sources: dict[str, list[tuple[str, Row]]] = defaultdict(list)
    for (database, id), row in evidence.aggregates.items():
        if "state" in row:
            sources[id].append((database, row))
    for database, collection, copy in _kept(evidence):
        if (database, collection) == RECORDS:
            continue
        verdict.judged += 1
        id = str(copy["_id"]).rpartition("/")[2]
        owned = [row for owner, row in sources.get(id, []) if owner != database]
        named = [f"{database}.{collection}", str(copy["_id"])]
        if not owned:
            verdict.against("I7", named, "a copy of something that nobody owns", [copy.where])
        elif not any(_equal(copy, source) for source in owned):
            said = _difference(copy, owned[0])
            verdict.against("I7", named, said, [copy.where, owned[0].where])


def _equal(copy: Row, source: Row) -> bool:
    same = canonical(copy["state"]) == canonical(source["state"])
    return same and copy["sequence"] == source["sequence"]


def _difference(copy: Row, source: Row) -> str:
    if copy["sequence"] != source["sequence"]:
        return f"the copy is at fact {copy['sequence']}, the source at {source['sequence']}"
    return f"the copy differs in {', '.join(differing(copy['state'], source['state']))}"


def _complete(evidence: Evidence, verdict: Verdict) -> None:
    """The read model holds every aggregate of its kinds."""
    subjects: dict[str, list[str]] = defaultdict(list)
    for subject, facts in evidence.by_subject.items():
        subjects[facts[0].aggregate].append(subject)
    for collection, aggregate in MODEL.items():
        held = {str(row["_id"]) for row in evidence.documents(GATEWAY, collection)}
        for subject in subjects[aggregate]:
            verdict.judged += 1
            if subject not in held:
                source = evidence.source_of(evidence.by_subject[subject][0])
                places = [fact.where for fact in evidence.by_subject[subject]]
                places += [source.where] if source else []
                named = [f"{GATEWAY}.{collection}", subject]
                verdict.against("I7", named, "the read model lacks it", places)


def _records(evidence: Evidence, verdict: Verdict) -> None:
    """Audit has one record of each event, and of nothing else."""
    events = {fact.id: fact for facts in evidence.by_subject.values() for fact in facts}
    poison = {str(one["id"]) for one in evidence.told("poison")}
    records = {str(row["_id"]): row.where for row in evidence.documents(*RECORDS)}
    verdict.judged += len(events)
    for id, fact in events.items():
        if id not in records:
            said = f"audit has no record of fact {fact.sequence} ({fact.topic})"
            verdict.against("I7", [fact.subject, f"event {id}"], said, [fact.where])
    for id in records.keys() - events.keys() - poison:
        verdict.against("I7", [f"record {id}"], "a record of no event", [records[id]])


def _mirrored(ledger: Ledger, verdict: Verdict) -> None:
    """What requests have bought is mirrored; where only they acted, it is mirrored as it is."""
    shown = ledger.evidence.marketplace["subscriptions"]
    mirror = {
        str(row["state"]["marketplace_subscription_id"]): row
        for row in ledger.evidence.documents(*MIRROR)
    }
    for intent in ledger.intents.values():
        id = str(intent.state.get("marketplace_subscription_id"))
        if intent.status != "completed" or id not in shown:
            continue
        verdict.judged += 1
        named = [f"request {intent.id}", f"subscription {id}"]
        if id not in mirror:
            said = "the subscription that was bought is not mirrored"
            verdict.against("I7", named, said, [intent.where, shown[id].where])
        elif _ours_alone(ledger, id) and _unlike(mirror[id], shown[id]):
            said = (
                f"the mirror has {_told(mirror[id]['state'])}, the marketplace {_told(shown[id])}"
            )
            verdict.against("I7", named, said, [mirror[id].where, shown[id].where])


def _ours_alone(ledger: Ledger, subscription: str) -> bool:
    """Whether only orders of requests have touched it: else the mirror follows in its own time."""
    return ledger.touching[subscription] <= ledger.made_for.keys()


def _unlike(mirrored: Row, shown: Row) -> bool:
    return _told(mirrored["state"]) != _told(shown)


def _told(row: dict[str, object]) -> str:
    return f"{row['status']} with {seats(row)} seats"
