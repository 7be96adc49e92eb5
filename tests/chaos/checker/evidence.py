"""The evidence directory of a run: every row with the place where it stands.

Nothing but these files is read, and nothing of the product is imported: what a row means is decided here
and in the judges, from the published documents.
"""

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

FILES = (
    "run.json",
    "history.jsonl",
    "faults.jsonl",
    "journal.jsonl",
    "marketplace.json",
    "kafka.jsonl",
    "groups.json",
    "http.jsonl",
)
FOLDERS = ("mongo", "logs")
DEAD_LETTERS = ".dlq"
Json = Any


class BadEvidence(Exception):
    """The directory cannot be judged; the message names the file, the line and what is wrong."""


class Row(dict[str, Any]):
    """One JSON object of the evidence; `where` is its `file:line`."""

    __slots__ = ("where",)

    def __init__(self, fields: dict[str, Any], where: str) -> None:
        super().__init__(fields)
        self.where = where


@dataclass(frozen=True, slots=True)
class Fact:
    """One record of a fact topic: `state` is its state in canonical form, `digest` names its content."""

    where: str
    topic: str
    partition: int
    offset: int
    key: str
    header: str
    id: str
    type: str
    source: str
    subject: str
    sequence: int
    time: float
    status: str | None
    answer: str | None
    state: str
    digest: str

    @property
    def aggregate(self) -> str:
        """The kind of thing that the fact is about."""
        return self.subject.partition("/")[0]

    @property
    def label(self) -> str:
        """How a report names the record."""
        return f"{self.topic}[{self.partition}]@{self.offset}"


def canonical(value: Json) -> str:
    """JSON that is equal when the content is: sorted, and without what is absent."""
    return json.dumps(without_nulls(value), sort_keys=True, separators=(",", ":"))


def without_nulls(value: Json) -> Json:
    """Absent and null mean the same in a fact."""
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [without_nulls(one) for one in value]
    return value


def instant(value: Json) -> float:
    """Seconds since the epoch, of a number or an ISO time. Raises BadEvidence."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError as error:
        raise BadEvidence(f"{value!r} is not a time") from error


def decoded(value: Json) -> bytes | None:
    """The bytes of a `{"base64": …}`, else None."""
    if isinstance(value, dict) and set(value) == {"base64"}:
        return base64.b64decode(value["base64"])
    return None


def first(row: dict[str, Any], *names: str) -> Json:
    """The first of these fields that the row has; the sandbox writes some in two spellings."""
    return next((row[name] for name in names if row.get(name) is not None), None)


class Evidence:
    """Everything that one run left behind. Raises BadEvidence for what is missing or unreadable."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        missing = [name for name in FILES if not (directory / name).is_file()]
        missing += [f"{name}/" for name in FOLDERS if not (directory / name).is_dir()]
        if missing:
            raise BadEvidence(f"{directory} lacks {', '.join(missing)}")

    def document(self, name: str) -> Json:
        """A file that holds one JSON value."""
        try:
            return json.loads((self.directory / name).read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadEvidence(f"{name}: {error}") from error

    def rows(self, name: str) -> Iterator[Row]:
        """The lines of a `.jsonl` file."""
        with (self.directory / name).open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                where = f"{name}:{number}"
                try:
                    fields = json.loads(line)
                except ValueError as error:
                    raise BadEvidence(f"{where}: {error}") from error
                if not isinstance(fields, dict):
                    raise BadEvidence(f"{where}: not an object")
                yield Row(fields, where)

    # -- the run and its driver --------------------------------------------------------------------

    @cached_property
    def run(self) -> dict[str, Any]:
        """What was run: seed, times, settings, accounts, outages, poison, hand-made orders, canaries."""
        run = self.document("run.json")
        for name in ("seed", "started", "ended"):
            if name not in run:
                raise BadEvidence(f"run.json lacks {name!r}")
        return dict(run)

    def told(self, name: str) -> list[Json]:
        """A list of `run.json` that may be absent."""
        return list(self.run.get(name) or [])

    @cached_property
    def by_hand(self) -> frozenset[str]:
        """Orders that the driver made in the marketplace's portal."""
        return frozenset(str(id) for id in self.told("portal_orders"))

    @cached_property
    def history(self) -> list[Row]:
        """What the driver asked and was answered, in its order."""
        return list(self.rows("history.jsonl"))

    # -- the marketplace ---------------------------------------------------------------------------

    @cached_property
    def journal(self) -> list[Row]:
        """Every order that the marketplace executed, as it wrote it down."""
        return list(self.rows("journal.jsonl"))

    @cached_property
    def marketplace(self) -> dict[str, dict[str, Row]]:
        """What exists there at the end: `orders` and `subscriptions` by id."""
        whole = self.document("marketplace.json")
        shown: dict[str, dict[str, Row]] = {}
        for kind in ("orders", "subscriptions"):
            rows = whole.get(kind, [])
            listed = list(rows.values()) if isinstance(rows, dict) else rows
            shown[kind] = {
                str(row["id"]): Row(row, f"marketplace.json#{kind}/{row['id']}") for row in listed
            }
        return shown

    # -- Kafka -------------------------------------------------------------------------------------

    @cached_property
    def groups(self) -> list[Row]:
        """Where each consumer group stands."""
        return [Row(row, f"groups.json#{n}") for n, row in enumerate(self.document("groups.json"))]

    @cached_property
    def _log(self) -> tuple[list[Fact], list[Row], list[Row]]:
        facts: list[Fact] = []
        unreadable: list[Row] = []
        dead: list[Row] = []
        for row in self.rows("kafka.jsonl"):
            if row["topic"].endswith(DEAD_LETTERS):
                dead.append(row)
            elif (fact := _fact(row)) is None:
                unreadable.append(row)
            else:
                facts.append(fact)
        return facts, unreadable, dead

    @cached_property
    def facts(self) -> list[Fact]:
        """Every copy of every fact, as the log holds them; injected poison is not among them."""
        return [fact for fact in self._log[0] if fact.id not in self._poison_ids]

    @cached_property
    def _poison_ids(self) -> frozenset[str]:
        return frozenset(str(poison["id"]) for poison in self.told("poison"))

    @property
    def unreadable(self) -> list[Row]:
        """Records of fact topics that are no facts."""
        return self._log[1]

    @property
    def dead_letters(self) -> list[Row]:
        """Records of the dead-letter topics."""
        return self._log[2]

    @cached_property
    def by_subject(self) -> dict[str, list[Fact]]:
        """The facts of each aggregate: every event once, by sequence."""
        events: dict[str, dict[str, Fact]] = defaultdict(dict)
        for fact in self.facts:
            events[fact.subject].setdefault(fact.id, fact)
        return {
            subject: sorted(once.values(), key=lambda fact: (fact.sequence, fact.where))
            for subject, once in events.items()
        }

    # -- MongoDB -----------------------------------------------------------------------------------

    @cached_property
    def databases(self) -> dict[str, list[str]]:
        """The collections of each database."""
        return {
            database.name: sorted(file.stem for file in database.glob("*.jsonl"))
            for database in sorted((self.directory / "mongo").iterdir())
            if database.is_dir()
        }

    def documents(self, database: str, collection: str) -> Iterator[Row]:
        """The documents of a collection; none when it does not exist."""
        if collection in self.databases.get(database, ()):
            yield from self.rows(f"mongo/{database}/{collection}.jsonl")

    @cached_property
    def aggregates(self) -> dict[tuple[str, str], Row]:
        """(database, id) → document, of everything that has facts: it counts and keeps them."""
        return {
            (database, str(row["_id"])): row
            for database, collections in self.databases.items()
            for collection in collections
            for row in self.documents(database, collection)
            if "outbox" in row and "sequence" in row
        }

    def source_of(self, fact: Fact) -> Row | None:
        """The document that a fact is about, in the database of the service that published it."""
        service = fact.source.rpartition("/")[2].replace("-", "_")
        return self.aggregates.get((f"purser_{service}", fact.subject.partition("/")[2]))


def _fact(row: Row) -> Fact | None:
    value = row["value"]
    if not isinstance(value, dict):
        return None
    inner = value.get("data")
    data: dict[str, Any] = inner if isinstance(inner, dict) else {}
    state = data.get("state")
    named = all(isinstance(value.get(name), str) for name in ("id", "type", "source", "subject"))
    if not isinstance(state, dict) or not named or not isinstance(value.get("sequence"), int):
        return None
    return Fact(
        where=row.where,
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        key=row.get("key") or "",
        header=(row.get("headers") or {}).get("ce_type", ""),
        id=value["id"],
        type=value["type"],
        source=value["source"],
        subject=value["subject"],
        sequence=value["sequence"],
        time=instant(value.get("time")),
        status=state.get("status"),
        answer=data.get("answer"),
        state=canonical(state),
        digest=hashlib.sha256(canonical(value).encode()).hexdigest(),
    )
