"""I14: what people were asked, whether they had to be, and whether a machine ever sent again."""

from .evidence import instant
from .intents import Intent, Ledger
from .report import Verdict

AVOIDABLE = 0.01
"""Share of requests that may be asked about although the marketplace had their order (reliability §d);
in a small run, one."""
HARMLESS = frozenset({"not_sent", "refused"})


def ambiguous(ledger: Ledger) -> Verdict:
    """I14: review is for what nobody could know; only a person lets an order be sent again."""
    verdict = Verdict(absent="no requests")
    verdict.judged = len(ledger.intents)
    avoidable = []
    for intent in ledger.intents.values():
        facts = ledger.evidence.by_subject.get(f"license-change-request/{intent.id}", [])
        asked = [fact for fact in facts if fact.status == "needs_review"]
        if asked:
            verdict.count("requests that came to review")
            if any(order.time < asked[0].time for order in ledger.executed.get(intent.id, [])):
                avoidable.append(intent)
        allowed = sum(1 for fact in facts if fact.answer == "not_placed")
        _sent_again(intent, allowed, verdict)
    verdict.count("of those, the marketplace had the order by then", len(avoidable))
    rate = len(avoidable) / max(1, len(ledger.intents))
    verdict.count("share of requests asked about although the order was there", rate)
    if len(avoidable) > max(1, AVOIDABLE * len(ledger.intents)):
        said = f"{rate:.1%} of the requests came to review although their order was executed"
        named = [f"request {intent.id}" for intent in avoidable[:5]]
        verdict.against("I14", named, said, [intent.where for intent in avoidable])
    return verdict


def _sent_again(intent: Intent, allowed: int, verdict: Verdict) -> None:
    """Each attempt after one of unknown outcome needs an answer `not_placed`."""
    attempts = intent.attempts
    verdict.count("attempts to send", len(attempts))
    unknown = [one for one in attempts[:-1] if one.get("outcome") not in HARMLESS]
    if len(unknown) > allowed:
        last = unknown[-1]
        gap = instant(attempts[int(last["n"])]["started_at"]) - instant(last["started_at"])
        said = (
            f"attempt {last['n']} had the outcome {last.get('outcome')}, and {gap:.1f} s later the order "
            f"was sent again without a person's answer ({allowed} given)"
        )
        verdict.against("I14", [f"request {intent.id}"], said, [intent.where])
