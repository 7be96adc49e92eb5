"""What must hold after every crash: one order for one request, and no fact lost, doubled or invented."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from crash_points import POINTS

from crash.armory import Hit
from crash.flows import BUYING
from crash.site import Site
from crash.watch import Record

if TYPE_CHECKING:
    from crash.matrix import Strike

Json = dict[str, Any]
AGGREGATES = {
    ("purser_reseller", "resellers"): "reseller",
    ("purser_reseller", "license_mappings"): "license-mapping",
    ("purser_tenant_connection", "customers"): "customer",
    ("purser_tenant_connection", "tenants"): "tenant",
    ("purser_subscription", "subscriptions"): "subscription",
    ("purser_subscription", "findings"): "finding",
    ("purser_order", "license_change_requests"): "license-change-request",
    ("purser_order", "orders"): "order",
    ("purser_gateway", "role_assignments"): "role-assignment",
    ("purser_gateway", "actions"): "action",
}
MODEL = ("resellers", "customers", "tenants", "subscriptions", "findings", "requests")
SENT_AGAIN = ("not_sent", "refused")
"""What an attempt came to after which a machine may send again."""


def judge(site: Site, within: float = 90.0) -> list[str]:
    """What is wrong once everything has come to rest; empty when nothing is."""
    deadline = time.monotonic() + within
    while True:
        wrong = sorted(_wrong(site))
        if not wrong or time.monotonic() > deadline:
            return wrong
        time.sleep(1)


def endings(strikes: Sequence["Strike"], hits: Sequence[Hit]) -> Iterator[str]:
    """Flows that ended otherwise than the crashes on their way allow."""
    for strike in strikes:
        cell, error = strike.cell, strike.flow.exception()
        if error is not None:
            yield f"{cell}: {error or type(error).__name__}"
            continue
        allowed = {cell.end, "needs_review" if cell.flow == "absent" else "completed"}
        if cell.flow in BUYING:
            met = [hit for hit in hits if strike.began <= hit.at <= strike.ended]
            allowed |= {end for hit in met for end in _ends(hit, strike, strikes)}
        if strike.flow.result() not in allowed:
            told = f"ended {strike.flow.result()}, not {' or '.join(sorted(allowed))}"
            yield f"{cell}: {cell.flow} {told}"


def _ends(hit: Hit, strike: "Strike", strikes: Sequence["Strike"]) -> set[str]:
    """How a flow may end that met this crash: as its point says, and when others were on their way
    too, as any point of the program says that was killed, for any of them may have been hit there."""
    others = (
        one.cell.flow in BUYING and one.began <= hit.at <= one.ended
        for one in strikes
        if one is not strike
    )
    somewhere = hit.how == "kill" and any(others)
    return {
        point.ends[hit.how]
        for point in POINTS
        if point.name == hit.point or (somewhere and hit.program in point.reached)
    }


def _wrong(site: Site) -> Iterator[str]:
    records = list(site.watch.records)
    facts = [record for record in records if record.fact is not None and not record.dead]
    yield from _orders(site)
    yield from _sequences(facts)
    yield from _documents(site, facts)
    yield from _readers(site, facts)
    yield from _dead_letters(site, [record for record in records if record.dead])


def _orders(site: Site) -> Iterator[str]:
    """One order at most for a request, each linked; a machine sends again only what never left."""
    requests = site.databases["purser_order"]["license_change_requests"]
    for shop, id in site.bought:
        document = requests.find_one({"_id": id})
        if document is None:
            yield f"request {id}: accepted and gone"
            continue
        executed = shop.orders(document["state"])
        linked = {one["order_id"] for one in document["evidence"]}
        phase = document["phase"]
        if len(executed) > 1:
            yield f"request {id}: {len(executed)} orders were executed"
        if len(executed) != (phase == "completed"):
            yield f"request {id}: {phase} with {len(executed)} executed orders"
        if any(linked.isdisjoint(map(str, order.values())) for order in executed):
            yield f"request {id}: its order is not linked"
        unclear = [a for a in document["attempts"][:-1] if a["outcome"] not in SENT_AGAIN]
        if unclear and not _settled(site, id):
            yield f"request {id}: sent again although attempt {unclear[0]['n']} may have arrived"


def _settled(site: Site, id: str) -> bool:
    subject = f"license-change-request/{id}"
    return any(
        one.topic == "order.review-settled" and one.fact and one.fact["subject"] == subject
        for one in list(site.watch.records)
    )


def _sequences(facts: list[Record]) -> Iterator[str]:
    """Gapless by subject; first copies in order by topic; a copy is the same to the byte."""
    copies: dict[tuple[str, int], bytes] = {}
    newest: dict[tuple[str, str], int] = {}
    for record in facts:
        assert record.fact is not None
        subject, sequence = record.fact["subject"], record.fact["sequence"]
        first = copies.setdefault((subject, sequence), record.value)
        if first is not record.value:
            if first != record.value:
                yield f"{subject} {sequence}: two facts with one number"
            continue
        if sequence < newest.get((subject, record.topic), 0):
            yield f"{subject} {sequence}: came after a later one"
        newest[subject, record.topic] = sequence
    counts: dict[str, list[int]] = defaultdict(list)
    for subject, sequence in copies:
        counts[subject].append(sequence)
    for subject, numbers in counts.items():
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            yield f"{subject}: facts {sorted(numbers)}, so one is lost"


def _documents(site: Site, facts: list[Record]) -> Iterator[str]:
    """Every document has published what it wrote, and nothing was published that it did not write."""
    published = _newest(facts)
    written: dict[str, int] = {}
    for (database, collection), aggregate in AGGREGATES.items():
        for document in site.databases[database][collection].find({}):
            subject = f"{aggregate}/{document['_id']}"
            written[subject] = document["sequence"]
            if document["outbox"]:
                yield f"{subject}: {len(document['outbox'])} facts still wait"
    for subject in sorted(written.keys() | published.keys()):
        if written.get(subject, 0) != published.get(subject, 0):
            told = f"{written.get(subject)} written, {published.get(subject)} published"
            yield f"{subject}: {told}"


def _readers(site: Site, facts: list[Record]) -> Iterator[str]:
    """The audit trail has every fact, the gateway's model the newest of every subject."""
    ids = {record.fact["id"] for record in facts if record.fact}
    kept = {one["_id"] for one in site.databases["purser_audit"]["records"].find({}, {"_id": 1})}
    if lacking := ids - kept:
        yield f"audit lacks {len(lacking)} facts, such as {min(lacking)}"
    if invented := kept - ids:
        yield f"audit has {len(invented)} facts that nobody published"
    published = _newest(facts)
    for collection in MODEL:
        for document in site.databases["purser_gateway"][collection].find({}):
            subject, sequence = document["_id"], document["sequence"]
            if sequence != published.get(subject):
                yield f"gateway has {subject} {sequence}, published is {published.get(subject)}"


def _newest(facts: list[Record]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for record in facts:
        assert record.fact is not None
        subject = record.fact["subject"]
        newest[subject] = max(newest.get(subject, 0), record.fact["sequence"])
    return newest


def _dead_letters(site: Site, dead: list[Record]) -> Iterator[str]:
    """What was put aside is the poison, all of it, and a second copy names the same record."""
    places: dict[bytes, set[tuple[str, ...]]] = defaultdict(set)
    for record in dead:
        place = tuple(
            record.headers.get(f"dlq_{part}", "") for part in ("topic", "partition", "offset")
        )
        places[record.value].add((record.topic, *place))
    for value in places.keys() - set(site.poison):
        yield f"put aside though it is readable: {value[:80]!r}"
    for value in site.poison:
        if len(places[value]) != 1:
            yield f"{value!r} was put aside for {len(places[value])} records"
