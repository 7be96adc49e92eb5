"""I9, I10: who agreed to what is bought, and whether it stays within what was allowed."""

from collections import defaultdict
from decimal import Decimal

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
    """`spend_caps` of run.json: the most that the orders of a tenant may cost on one day."""
    caps = {str(cap["tenant_id"]): cap for cap in ledger.evidence.told("spend_caps")}
    spent: dict[tuple[str, str], list[str]] = defaultdict(list)
    totals: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in ledger.evidence.journal:
        intent = ledger.made_for.get(str(row["id"]))
        if intent is None or intent.state["tenant_id"] not in caps:
            continue
        day = (str(intent.state["tenant_id"]), str(row["time"])[:10])
        totals[day] += Decimal(str((row.get("record") or {}).get("total", 0)))
        spent[day].append(row.where)
    for (tenant, date), total in totals.items():
        verdict.judged += 1
        if total > Decimal(str(caps[tenant]["amount"])):
            said = f"{total} were spent on {date}, the cap is {caps[tenant]['amount']}"
            verdict.against("I10", [f"tenant {tenant}"], said, spent[tenant, date])
