"""I4, I5: what clients were told, and what became of it. Indefinite calls are counted apart."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

from .evidence import Evidence, Row, instant
from .intents import Intent, Ledger, answer_of, product_of
from .report import Verdict

WANTS = "/v1/license-change-requests"
SETTLES = "/v1/review-items/"
TAKEN, REFUSED = range(200, 300), range(400, 500)


@dataclass
class Call:
    """Every try under one key: the question, and the answers that were definite."""

    caller: str
    key: str
    path: str
    body: dict[str, object]
    asked: list[Row] = field(default_factory=list)
    taken: list[Row] = field(default_factory=list)
    refused: list[tuple[Row, Row]] = field(default_factory=list)
    """(question, answer)"""
    unknown: int = 0

    @property
    def places(self) -> list[str]:
        """The rows that show it."""
        refusals = [answer for _, answer in self.refused]
        return [row.where for row in (*self.asked[:1], *self.taken, *refusals)]

    @property
    def outcome(self) -> str:
        """Acknowledged, refused, or unknown for ever."""
        if self.taken:
            return "acknowledged"
        return "unknown" if self.unknown or not self.refused else "refused"


def calls(evidence: Evidence, path: str) -> list[Call]:
    """The keyed POST calls below a path, tries of one key together."""
    found: dict[tuple[str, str], Call] = {}
    by_op: dict[object, tuple[Call, Row]] = {}
    answered = set()
    for row in evidence.history:
        if row["type"] == "invoke":
            if row.get("method") != "POST" or not str(row.get("path")).startswith(path):
                continue
            caller, key = str(row.get("caller")), str(row.get("idempotency_key"))
            make = partial(Call, caller, key, str(row["path"]), dict(row.get("body") or {}))
            call = found.setdefault((caller, key), make())
            call.asked.append(row)
            by_op[row["op"]] = call, row
        elif (known := by_op.get(row["op"])) is not None:
            answered.add(row["op"])
            _note(*known, row)
    for op in by_op.keys() - answered:
        by_op[op][0].unknown += 1
    return list(found.values())


def _note(call: Call, question: Row, row: Row) -> None:
    status = int(row.get("status") or 0)
    if row["type"] == "ok" and status in TAKEN:
        call.taken.append(row)
    elif row["type"] == "fail" and status in REFUSED and not _passing(row, status):
        call.refused.append((question, row))
    else:
        call.unknown += 1


def _passing(row: Row, status: int) -> bool:
    return status == 429 or (status == 409 and answer_of(row).get("code") == "request_in_flight")


def kept(ledger: Ledger) -> Verdict:
    """I4: whatever was acknowledged is there, as it was asked for."""
    verdict = Verdict(absent="no acknowledged calls")
    for call in calls(ledger.evidence, WANTS):
        verdict.count(f"requests {call.outcome}")
        for row in call.taken:
            verdict.judged += 1
            _kept(ledger, call, row, verdict)
    _settled(ledger, verdict)
    return verdict


def _kept(ledger: Ledger, call: Call, row: Row, verdict: Verdict) -> None:
    id = str(answer_of(row).get("id"))
    intent = ledger.intents.get(id)
    places = [*(asked.where for asked in call.asked[:1]), row.where]
    if intent is None:
        said = "the call was acknowledged, but there is no such request"
        verdict.against("I4", [f"key {call.key}", f"request {id}"], said, places)
        return
    for said in _differences(call, intent):
        verdict.against("I4", [f"request {id}"], said, [*places, intent.where])


def _differences(call: Call, intent: Intent) -> list[str]:
    found, asked = [], call.body
    for name in ("tenant_id", "kind", "po_number"):
        if name in asked and asked[name] != intent.state.get(name):
            found.append(f"{name} was asked as {asked[name]!r}, is {intent.state.get(name)!r}")
    if "quantity" in asked and Decimal(str(asked["quantity"])) != intent.quantity:
        found.append(f"quantity was asked as {asked['quantity']}, is {intent.quantity}")
    product = asked.get("product")
    if isinstance(product, dict) and product_of(product) != intent.product:
        found.append("another product was asked for")
    return found


def _settled(ledger: Ledger, verdict: Verdict) -> None:
    """An acknowledged answer to a review is a fact."""
    told = defaultdict(set)
    for fact in ledger.evidence.facts:
        if fact.topic == "order.review-settled":
            told[fact.subject.partition("/")[2]].add(fact.answer)
    for call in calls(ledger.evidence, SETTLES):
        verdict.count(f"settlements {call.outcome}")
        if not call.taken:
            continue
        verdict.judged += 1
        request = call.path.removeprefix(SETTLES).partition("/")[0]
        if call.body.get("answer") not in told[request]:
            said = f"the answer {call.body.get('answer')} was acknowledged, but no fact tells it"
            verdict.against("I4", [f"request {request}"], said, call.places)


def single(ledger: Ledger) -> Verdict:
    """I5: one request for each client key, none for a key whose every call was refused."""
    verdict = Verdict(absent="no calls")
    asked = calls(ledger.evidence, WANTS)
    named: dict[object, int] = defaultdict(int)
    for call in asked:
        named[call.body.get("po_number")] += 1
    by_po: dict[str, list[Intent]] = defaultdict(list)
    for intent in ledger.intents.values():
        by_po[intent.typed].append(intent)
    for call in asked:
        verdict.judged += 1
        alone = named[call.body.get("po_number")] == 1
        made = by_po.get(str(call.body.get("po_number")), []) if alone else []
        _single(call, made, verdict)
    return verdict


def _denied(call: Call, made: list[Intent]) -> bool:
    """Whether a try was refused that began when the request was already on its way."""
    begun = [instant(intent.attempts[0]["started_at"]) for intent in made if intent.attempts]
    return any(start < instant(question["t"]) for question, _ in call.refused for start in begun)


def _single(call: Call, made: list[Intent], verdict: Verdict) -> None:
    answered = {str(answer_of(row).get("id")) for row in call.taken}
    ids = answered | {intent.id for intent in made}
    named = [f"key {call.key}", *(f"request {id}" for id in sorted(ids))]
    places = [*call.places, *(intent.where for intent in made)]
    if len(ids) > 1:
        verdict.against("I5", named, f"one key has {len(ids)} requests", places)
    if made and (call.outcome == "refused" or _denied(call, made)):
        verdict.against("I5", named, "the call was refused, but there is a request", places)
    if call.outcome == "unknown":
        verdict.count("unknown requests that exist" if made else "unknown requests without effect")
