"""I9, I10: who agreed to what is bought, and whether it stays within what was allowed."""

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .evidence import Evidence
from .intents import Ledger
from .report import Verdict


def approved(evidence: Evidence) -> Verdict:
    """I9. There are no approvals yet, so nothing can be said; where one shows up, this must be built:
    it is told as a violation, never passed over."""
    verdict = Verdict(absent="there are no approvals yet")
    for fact in evidence.facts:
        if fact.topic.startswith("license.change-approved") or fact.status == "pending_approval":
            verdict.judged += 1
            said = "there are approvals now, but the checker does not judge them"
            verdict.against("I9", [fact.subject], said, [fact.where])
    return verdict


def within(ledger: Ledger) -> Verdict:
    """I10: no order of a request takes a subscription below the seats in use, none exceeds a cap."""
    verdict = Verdict(absent="neither seats in use nor caps are in the evidence")
    _assigned(ledger, verdict)
    _caps(ledger, verdict)
    return verdict


def _assigned(ledger: Ledger, verdict: Verdict) -> None:
    """`assigned` of run.json: subscription at the marketplace → seats in use while the run went on."""
    assigned = ledger.evidence.run.get("assigned") or {}
    for order_id in ledger.made_for:
        order = ledger.orders[order_id]
        if order.type != "change":
            continue
        for subscription in order.subscriptions & assigned.keys():
            verdict.judged += 1
            seats = sum((quantity for _, quantity in order.lines), Decimal(0))
            if seats < Decimal(str(assigned[subscription])):
                said = f"seats were set to {seats}, but {assigned[subscription]} are in use"
                named = [f"request {ledger.made_for[order_id].id}", f"subscription {subscription}"]
                verdict.against("I10", named, said, [order.where])


def _caps(ledger: Ledger, verdict: Verdict) -> None:
    """`spend_caps` of run.json: the most that a reseller's requests may spend on one business day.

    A request that was asked for and executed on different days may have been counted to either: such
    ones are counted to neither.
    """
    caps = {str(cap["reseller_id"]): cap for cap in ledger.evidence.told("spend_caps")}
    spent: dict[tuple[str, str], list[str]] = defaultdict(list)
    totals: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in ledger.evidence.journal:
        intent = ledger.made_for.get(str(row["id"]))
        if intent is None or str(intent.state["reseller_id"]) not in caps:
            continue
        date = str(row["time"])[:10]
        if date != str(intent.state["requested_at"])[:10]:
            verdict.count("orders of a capped reseller that were executed on another day")
            continue
        day = (str(intent.state["reseller_id"]), date)
        totals[day] += _spend(intent.state)
        spent[day].append(row.where)
    for (reseller, date), total in totals.items():
        verdict.judged += len(spent[reseller, date])
        cap = Decimal(str(caps[reseller]["amount"]))
        if total > cap:
            said = f"{total} were spent on {date}, the cap is {cap}"
            verdict.against("I10", [f"reseller {reseller}"], said, spent[reseller, date])


def _spend(state: Mapping[str, Any]) -> Decimal:
    """What the added seats cost the customer in a billing period; an unknown price fits no cap."""
    price = state.get("unit_price") or {"amount": "Infinity"}
    added = int(state["quantity"]) - int(state.get("expected_quantity") or 0)
    return Decimal(str(price["amount"])) * added if added > 0 else Decimal()
