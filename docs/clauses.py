"""The clauses of the requirements, which tests showed them, and the page that tells both.

Run as a program it lists what is claimed and not shown, and exits with 1 when something is due.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "requirements"
RECORD = "seen.json"
DUE = frozenset((*range(1, 50), 63, 64, *range(67, 73), *range(75, 81)))
LATER = frozenset(range(1, 82)) - DUE
"""Requirements that nothing claims yet; they are listed only."""

_REQUIREMENT, _CLAUSE = re.compile(r"R([1-9]\d*)"), re.compile(r"[a-z]{1,2}")
Shown = Mapping[str, Mapping[str, list[str]]]
"""Clause → test → the operations that the test saw for it."""


@dataclass(frozen=True)
class Clause:
    """One verb of a requirement; `code` is the problem that a refusal must answer."""

    id: str
    title: str
    text: str
    code: str | None = None

    @property
    def number(self) -> int:
        """The number of its requirement."""
        return number_of(self.id)


def number_of(id: str) -> int:
    """The number of a requirement or of a clause's requirement."""
    return int(id.partition(".")[0].removeprefix("R"))


def rank(id: str) -> tuple[int, int, str]:
    """Where a clause stands on the page."""
    letters = id.partition(".")[2]
    return number_of(id), len(letters), letters


def clauses(folder: Path = FOLDER) -> dict[str, Clause]:
    """Every clause of the files by its id. Raises ValueError, naming file and clause."""
    found: dict[str, Clause] = {}
    for path in sorted(folder.glob("*.toml")):
        for id, requirement in tomllib.loads(path.read_text()).items():
            if not _REQUIREMENT.fullmatch(id):
                raise ValueError(f"{path.name}: {id} is no requirement such as R41")
            title = requirement.pop("title", "")
            for letters, fields in requirement.items():
                clause = f"{id}.{letters}"
                text = fields.get("text", "") if isinstance(fields, dict) else ""
                if not (_CLAUSE.fullmatch(letters) and title and text):
                    raise ValueError(f"{path.name}: {clause} needs a title above it and a text")
                if set(fields) - {"text", "code"} or clause in found:
                    raise ValueError(f"{path.name}: {clause} is there twice or has another field")
                found[clause] = Clause(clause, title, text, fields.get("code"))
    return {id: found[id] for id in sorted(found, key=rank)}


def shown(folder: Path = FOLDER) -> Shown:
    """What the committed record says that tests saw."""
    path = folder / RECORD
    read: Shown = json.loads(path.read_text()) if path.is_file() else {}
    return read


def untested(claimed: Iterable[str], record: Shown) -> list[str]:
    """Claimed clauses that no test of the record showed."""
    return [id for id in claimed if not record.get(id)]


def unclaimed(claimed: Iterable[str], record: Shown, numbers: Iterable[int]) -> list[str]:
    """Requirements without a clause, or with none for which an operation was seen."""
    seen = {number_of(id) for id in claimed if any(record.get(id, {}).values())}
    return [f"R{number}" for number in sorted(set(numbers) - seen)]


def page(folder: Path, notice: str) -> str:
    """The page of all requirements: their clauses, the operations seen, and the tests."""
    claimed, record = clauses(folder), shown(folder)
    lines = ["# Requirements", "", notice, ""]
    lines += ["What each requirement comes to, the operations of the gateway that its tests saw"]
    lines += ["answer, and the tests. A code is the problem with which the gateway refuses.", ""]
    before = 0
    for clause in claimed.values():
        if clause.number != before:
            lines += ["", f"## R{clause.number} · {clause.title}", ""]
            lines += ["| clause | what holds | operations seen | tests |", "| --- |" + " --- |" * 3]
        before = clause.number
        lines.append(_row(clause, record.get(clause.id, {})))
    for title, numbers in (("Not shown", DUE), ("Later", LATER)):
        open_ = unclaimed(claimed, record, numbers)
        lines += ["", f"## {title}", "", f"{', '.join(open_) or 'None'}."]
    return re.sub("\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _row(clause: Clause, tests: Mapping[str, list[str]]) -> str:
    text = clause.text + (f" (`{clause.code}`)" if clause.code else "")
    operations = sorted({one for seen in tests.values() for one in seen})
    links = [f"[{_sentence(test)}](../{test.partition('::')[0]})" for test in sorted(tests)]
    told = ", ".join(f"`{one}`" for one in operations)
    return f"| {clause.id} | {text} | {told or '—'} | {'<br>'.join(links) or '—'} |"


def _sentence(test: str) -> str:
    return test.rpartition("::")[2].removeprefix("test_").replace("_", " ")


def main() -> int:
    """List what nothing shows; 1 when a clause is claimed without a test or a requirement is due."""
    claimed, record = clauses(), shown()
    late = untested(claimed, record)
    due, later = (unclaimed(claimed, record, numbers) for numbers in (DUE, LATER))
    for what, ids in (
        ("claimed without a test", late),
        ("without a clause or an operation", due),
        ("later", later),
    ):
        sys.stdout.write(f"{what}: {', '.join(ids) or 'none'}\n")
    return 1 if late or due else 0


if __name__ == "__main__":
    sys.exit(main())
