"""I16: what went wrong without anybody having planned for it."""

import json
from collections.abc import Iterator
from pathlib import Path

from .evidence import Evidence, instant
from .report import Verdict

NOT_OURS = frozenset({"kafka", "mongo", "sandbox", "supervisord"})
PLANNED = frozenset({"record put aside"})
"""What a service logs with its exception because it has dealt with it."""
RECOVERY = 30.0
"""Seconds after an outage in which answers may still be 5xx (reliability §d)."""
TRACE = "Traceback (most recent call last)"


def unplanned(evidence: Evidence) -> Verdict:
    """I16: no exception that nobody handled, no 5xx unless an outage was declared."""
    verdict = Verdict(absent="no logs and no failed answers")
    for path in sorted((evidence.directory / "logs").glob("*.log*")):
        if path.name.partition(".")[0] not in NOT_OURS:
            verdict.judged += 1
            _exceptions(evidence.directory, path, verdict)
    _answers(evidence, verdict)
    return verdict


def _exceptions(directory: Path, path: Path, verdict: Verdict) -> None:
    for number, line, entry in _lines(path):
        raised = entry.get("exception") and entry.get("message") not in PLANNED
        if raised or (not entry and TRACE in line):
            last = str(entry.get("exception") or line).strip().splitlines()[-1]
            said = f"{entry.get('message', 'unhandled')}: {last[:200]}"
            where = f"{path.relative_to(directory)}:{number}"
            verdict.against("I16", [path.name.partition(".")[0]], said, [where])


def _lines(path: Path) -> Iterator[tuple[int, str, dict[str, object]]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {}
            yield number, line, entry if isinstance(entry, dict) else {}


def _answers(evidence: Evidence, verdict: Verdict) -> None:
    outages = [
        (instant(one["from"]), instant(one["to"]) + RECOVERY) for one in evidence.told("outages")
    ]
    for row in evidence.rows("http.jsonl"):
        verdict.judged += 1
        at = instant(row["t"])
        declared = any(began <= at <= ended for began, ended in outages)
        verdict.count("5xx answers in outages" if declared else "5xx answers outside outages")
        if not declared:
            said = f"{row.get('method')} {row.get('path')} was answered {row.get('status')}"
            verdict.against("I16", ["gateway"], said, [row.where])
