"""What the judges found, and how it is told."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

INVARIANTS = {
    "I1": "at most one executed order for each request",
    "I2": "every executed order is linked, or flagged as foreign or duplicate",
    "I3": "a placed request has its order, with its product and quantity",
    "I4": "an acknowledged call has its request",
    "I5": "one request for each client key",
    "I6": "facts are the state's transitions: gapless, in order, legal",
    "I7": "readers end with the state of the source, each effect once",
    "I8": "no fact without a committed state",
    "I9": "approved before sent, and what was approved",
    "I10": "seats never below what is assigned; spending within its cap",
    "I11": "at most one open request for each slot at any time",
    "I12": "nothing is stuck: terminal or in review, outbox empty, no lag",
    "I13": "dead letters are the injected poison and nothing else",
    "I14": "review holds what is truly ambiguous; no machine sends again",
    "I15": "no secret anywhere",
    "I16": "no unhandled exception; no 5xx outside declared outages",
}
GOALS = frozenset(INVARIANTS) - {"I14", "I16"}
"""What must hold without exception (reliability §d); I14 and I16 are violations too, but rates."""
SHOWN = 20


@dataclass(frozen=True)
class Violation:
    """One invariant that did not hold: of what, why, and the rows that show it."""

    invariant: str
    objects: tuple[str, ...]
    said: str
    evidence: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(self.evidence[:6]) + (" …" if len(self.evidence) > 6 else "")
        return f"{self.invariant} {' '.join(self.objects)}: {self.said}\n    {shown}"


@dataclass
class Verdict:
    """What one judge says. `judged` counts what it looked at: an invariant without any is not held,
    it is not applicable, and `absent` says why."""

    judged: int = 0
    violations: list[Violation] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=dict)
    absent: str = "nothing to judge"

    def against(
        self, invariant: str, objects: Iterable[str], said: str, evidence: Iterable[str]
    ) -> None:
        """Note a violation."""
        found = Violation(invariant, tuple(objects), said, tuple(evidence))
        self.violations.append(found)

    def count(self, name: str, number: float = 1) -> None:
        """Add to a figure of the report."""
        self.counts[name] = self.counts.get(name, 0) + number


@dataclass
class Report:
    """What the checker says of a run."""

    title: str
    verdicts: dict[str, Verdict]

    @property
    def violations(self) -> list[Violation]:
        """Everything that did not hold."""
        return [one for verdict in self.verdicts.values() for one in verdict.violations]

    @property
    def violated(self) -> frozenset[str]:
        """The invariants that did not hold."""
        return frozenset(violation.invariant for violation in self.violations)

    @property
    def counts(self) -> dict[str, float]:
        """The figures of the run."""
        return {k: v for verdict in self.verdicts.values() for k, v in verdict.counts.items()}

    def standing(self, invariant: str) -> str:
        """`held`, `VIOLATED` or `not applicable`; what was not judged never counts as held."""
        if invariant in self.violated:
            return "VIOLATED"
        verdict = self.verdicts[invariant]
        return "held" if verdict.judged else "not applicable"

    def text(self) -> str:
        """The report for people."""
        return "\n".join([self.title, *self._standings(), "", *self._figures(), *self._found()])

    def _standings(self) -> Iterator[str]:
        for invariant, meaning in INVARIANTS.items():
            verdict, standing = self.verdicts[invariant], self.standing(invariant)
            detail = f"{verdict.judged} judged" if verdict.judged else verdict.absent
            if verdict.violations:
                detail = f"{len(verdict.violations)} violations, {detail}"
            yield f"{invariant:>4} {standing:<15} {meaning} ({detail})"

    def _figures(self) -> Iterator[str]:
        for name, value in self.counts.items():
            number = f"{value:.4f}" if value != int(value) else f"{int(value)}"
            yield f"     {name}: {number}"

    def _found(self) -> Iterator[str]:
        for verdict in self.verdicts.values():
            if verdict.violations:
                yield ""
            for violation in verdict.violations[:SHOWN]:
                yield str(violation)
            if len(verdict.violations) > SHOWN:
                yield f"    … and {len(verdict.violations) - SHOWN} more"
