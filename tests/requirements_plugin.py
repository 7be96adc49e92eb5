"""A test that names clauses of the requirements shows them through the gateway, or it fails.

A clause is shown by a call with a caller's token that the gateway answered with 2xx; a clause with a
code by a 4xx problem with exactly that code. Only calls that the test itself makes count, not those of
its fixtures. `--record-requirements` writes what was seen to docs/requirements/seen.json; any other run
fails a test that no longer sees what the record says, or that the record does not know.
"""

import json
import re
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clauses
import httpx
import pytest

Seen = dict[str, dict[str, list[str]]]
METHODS = ("get", "put", "post", "patch", "delete")


@dataclass(frozen=True)
class Call:
    """One call that the gateway answered."""

    operation: str
    status: int
    authenticated: bool
    code: str | None = None


class Watch:
    """The calls of the test that runs now."""

    def __init__(self) -> None:
        self._calls: list[Call] | None = None

    def begin(self) -> list[Call]:
        """Listen; the list grows with each call."""
        self._calls = []
        return self._calls

    def end(self) -> None:
        """Listen no more."""
        self._calls = None

    def over(self, client: httpx.Client) -> None:
        """Listen to a client of the gateway from now on."""
        table: list[tuple[str, re.Pattern[str], str]] = []

        def heard(response: httpx.Response) -> None:
            calls = self._calls
            if calls is None or response.request.url.path == "/openapi.json":
                return
            if not table:
                table.extend(operations(client.get("/openapi.json").raise_for_status().json()))
            request, code = response.request, None
            if 400 <= response.status_code < 500:
                code = _code(response.read())
            authenticated = "authorization" in request.headers
            named = operation_of(table, request.method, request.url.raw_path.decode())
            calls.append(Call(named, response.status_code, authenticated, code))

        client.event_hooks["response"].append(heard)


def _code(body: bytes) -> str | None:
    try:
        said = json.loads(body)
    except ValueError:
        return None
    return said.get("code") if isinstance(said, dict) else None


def operations(openapi: Mapping[str, Any]) -> Iterable[tuple[str, re.Pattern[str], str]]:
    """Method, path and name of each operation; paths with fewer parameters first."""
    for path, methods in sorted(openapi["paths"].items(), key=lambda one: one[0].count("{")):
        pattern = re.compile(re.sub(r"\\\{[^/]+?\\\}", "[^/]+", re.escape(path)))
        for method in METHODS:
            if method in methods:
                yield method.upper(), pattern, methods[method]["operationId"]


def operation_of(
    table: Iterable[tuple[str, re.Pattern[str], str]], method: str, target: str
) -> str:
    """The operation that a call means; the call itself when there is none."""
    path = target.partition("?")[0]
    for of, pattern, name in table:
        if of == method and pattern.fullmatch(path):
            return name
    return f"{method} {path}"


def shows(clause: clauses.Clause, calls: Iterable[Call]) -> list[str] | None:
    """The operations that show a clause, or None when no call does."""
    if clause.code is not None:
        seen = [c for c in calls if 400 <= c.status < 500 and c.code == clause.code]
        return sorted({call.operation for call in seen}) or None
    seen = [call for call in calls if 200 <= call.status < 300]
    if not any(call.authenticated for call in seen):
        return None
    return sorted({call.operation for call in seen})


def judge(
    named: Iterable[str],
    claimed: Mapping[str, clauses.Clause],
    calls: Collection[Call],
    recorded: Mapping[str, list[str]] | None,
) -> tuple[dict[str, list[str]], list[str]]:
    """What a test saw for each clause it names, and what is wrong with it.

    `recorded` is clause → operations as the record has them for this test; None while recording.
    """
    seen: dict[str, list[str]] = {}
    wrong: list[str] = []
    for id in named:
        if id not in claimed:
            wrong.append(f"{id}: no file of docs/requirements has this clause")
            continue
        found, code = shows(claimed[id], calls), claimed[id].code
        if found is None:
            answered = sorted({call.code or str(call.status) for call in calls})
            wanted = f"4xx with {code}" if code else "authenticated call answered with 2xx"
            wrong.append(f"{id}: no {wanted} was seen, but {', '.join(answered) or 'nothing'}")
            continue
        seen[id] = found
        if recorded is None:
            continue
        lost = sorted(set(recorded.get(id, ())) - set(found))
        if id not in recorded:
            wrong.append(f"{id}: the record does not know it; run with --record-requirements")
        elif lost:
            wrong.append(f"{id}: the record names {', '.join(lost)}, not seen any more")
    return seen, wrong


def test_of(item: pytest.Item) -> str:
    """A test by its file and name, whatever its parameters."""
    name = getattr(item, "originalname", None) or item.name
    path = item.path
    root = item.config.rootpath
    return f"{path.relative_to(root) if path.is_relative_to(root) else path}::{name}"


def named_by(item: pytest.Item) -> list[str]:
    """The clauses that a test names."""
    marks = item.iter_markers("requirement")
    return list(dict.fromkeys(str(id) for mark in marks for id in mark.args))


def merge(into: Seen, part: Mapping[str, Mapping[str, list[str]]]) -> None:
    """Add what was seen; of a test with several parameters what all of them saw."""
    for clause, tests in part.items():
        for test, found in tests.items():
            known = into.setdefault(clause, {})
            kept = set(known.get(test, found)) & set(found)
            known[test] = sorted(kept)


def renewed(record: clauses.Shown, seen: Seen, marked: Callable[[str, str], bool]) -> Seen:
    """The record after a run: what was seen anew, and of the rest what is still there."""
    ran = {test for tests in seen.values() for test in tests}
    after: Seen = {}
    for clause, tests in record.items():
        for test, found in tests.items():
            if test not in ran and marked(clause, test):
                after.setdefault(clause, {})[test] = list(found)
    merge(after, seen)
    ordered = sorted(after, key=clauses.rank)
    return {clause: dict(sorted(after[clause].items())) for clause in ordered}


watch = Watch()
"""One for the process: tests run one after another in it."""


class Plugin:
    """What a run knows of the clauses."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._claimed = clauses.clauses(folder)
        self._record = clauses.shown(folder)
        self._recording = bool(config.getoption("--record-requirements"))
        self._seen: Seen = {}
        self._marks: dict[str, set[str]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Refuse to collect a test that names a clause which no file has."""
        unknown = [id for id in named_by(metafunc.definition) if id not in self._claimed]
        if unknown:
            told = f"{metafunc.function.__name__}: no file of docs/requirements has "
            raise pytest.Collector.CollectError(told + ", ".join(unknown))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note which test names which clauses, all its parameters together."""
        for item in items:
            self._marks.setdefault(test_of(item), set()).update(named_by(item))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Run a test, and judge it when it passed."""
        calls, test = watch.begin(), test_of(item)
        try:
            result = yield
        finally:
            watch.end()
        recorded = {id: tests[test] for id, tests in self._record.items() if test in tests}
        named = named_by(item)
        told = None if self._recording else recorded
        seen, wrong = judge(named, self._claimed, calls, told)
        if not self._recording:
            unmarked = sorted(set(recorded) - self._marks.get(test, set()))
            wrong += [f"{id}: the record names this test, its marker does not" for id in unmarked]
        if wrong:
            pytest.fail("\n".join(wrong), pytrace=False)
        merge(self._seen, {id: {test: found} for id, found in seen.items()})
        return result

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker saw."""
        merge(self._seen, getattr(node, "workeroutput", {}).get("requirements", {}))

    def pytest_sessionfinish(self) -> None:
        """Hand over what was seen, or write it."""
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["requirements"] = self._seen
        elif self._recording:
            after = renewed(self._record, self._seen, self._still_marked)
            text = json.dumps(after, indent=2) + "\n"
            (self._folder / clauses.RECORD).write_text(text)

    def _still_marked(self, clause: str, test: str) -> bool:
        if clause not in self._claimed or not exists(self._config.rootpath, test):
            return False
        return clause in self._marks.get(test, {clause})


def exists(root: Path, test: str) -> bool:
    """Whether a file still has a test."""
    file, _, name = test.partition("::")
    path = root / file
    return path.is_file() and f"def {name}(" in path.read_text()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the record, and where the clauses are."""
    told = "write what the marked tests saw to docs/requirements/seen.json"
    parser.addoption("--record-requirements", action="store_true", help=told)
    parser.addini("requirements", "the folder of the clauses", default=str(clauses.FOLDER))


def pytest_configure(config: pytest.Config) -> None:
    """Read the clauses. A file that cannot be read ends the run."""
    try:
        plugin = Plugin(config, Path(config.getini("requirements")))
    except ValueError as problem:
        raise pytest.UsageError(f"requirements: {problem}") from None
    config.pluginmanager.register(plugin, "requirements")
