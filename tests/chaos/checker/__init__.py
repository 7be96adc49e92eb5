"""Judges a run from what it left behind, by nothing but that: it imports no code of the product.

`check(directory)` reads the evidence and returns a `Report` with every invariant of reliability §d.
"""

from collections.abc import Callable
from pathlib import Path

from . import (
    calls,
    endings,
    failing,
    leaking,
    ordering,
    reading,
    reviewing,
    slots,
    spending,
    telling,
)
from .evidence import BadEvidence, Evidence
from .intents import Ledger
from .report import GOALS, INVARIANTS, Report, Verdict, Violation

__all__ = ["GOALS", "INVARIANTS", "BadEvidence", "Report", "Violation", "check"]

JUDGES: dict[str, Callable[[Ledger], Verdict]] = {
    "I1": ordering.once,
    "I2": ordering.accounted,
    "I3": ordering.real,
    "I4": calls.kept,
    "I5": calls.single,
    "I6": lambda ledger: telling.told(ledger.evidence),
    "I7": reading.follow,
    "I8": lambda ledger: telling.grounded(ledger.evidence),
    "I9": lambda ledger: spending.approved(ledger.evidence),
    "I10": spending.within,
    "I11": slots.exclusive,
    "I12": endings.rest,
    "I13": lambda ledger: endings.aside(ledger.evidence),
    "I14": reviewing.ambiguous,
    "I15": lambda ledger: leaking.sealed(ledger.evidence),
    "I16": lambda ledger: failing.unplanned(ledger.evidence),
}


def check(directory: Path) -> Report:
    """Judge the evidence of a run. Raises BadEvidence when it is incomplete or unreadable."""
    evidence = Evidence(directory)
    ledger = Ledger(evidence)
    title = f"seed {evidence.run['seed']}, {evidence.run['started']} to {evidence.run['ended']}"
    return Report(title, {name: judge(ledger) for name, judge in JUDGES.items()})
