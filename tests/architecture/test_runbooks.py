"""Every alarm has a runbook, its figure exists, a test has seen it, and the commands are there."""

import importlib
import pkgutil
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer.main
from prometheus_client import REGISTRY

from purser_cli.main import app

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = "docs/runbooks"
PACKAGES = (
    "purser_common",
    "audit_service",
    "gateway_service",
    "order_service",
    "reseller_service",
    "subscription_service",
    "tenant_connection_service",
)
_ROW = re.compile(r"^\| \[[^]]+\]\((?P<link>[^)]+)\) \| (?P<figures>[^|]*(?:\\\|[^|]*)*) \| .+ \|$")


def alarms(root: Path) -> dict[Path, dict[str, set[str]]]:
    """The alarms of each README: runbook → figures."""
    found: dict[Path, dict[str, set[str]]] = {}
    for readme in [root / "libs/common/README.md", *sorted(root.glob("services/*/README.md"))]:
        _, _, rest = readme.read_text().partition("\n## Alarms")
        own: dict[str, set[str]] = {}
        for line in rest.partition("\n## ")[0].splitlines():
            if row := _ROW.match(line):
                own.setdefault(row["link"], set()).update(names(row["figures"]))
        found[readme] = own
    return found


def names(text: str) -> set[str]:
    """The figures that a text names in backticks."""
    return {name for name in re.findall(r"`([a-z][a-z_]+)(?:\{[^`]*\})?`", text)}


def figures() -> set[str]:
    """Every figure that the services and their chassis have."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for one in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not one.name.startswith("purser_common.testing"):
                importlib.import_module(one.name)
    suffix = {"counter": ("_total",), "histogram": ("_count",), "gauge": ("",)}
    return {
        family.name + end for family in REGISTRY.collect() for end in suffix.get(family.type, ())
    }


def without_runbook(root: Path) -> list[str]:
    """READMEs without alarms, alarms that lead nowhere, and runbooks that no alarm leads to."""
    told, led = [], set()
    for readme, own in alarms(root).items():
        text = readme.read_text()
        if not own and "#alarms-of-every-service" not in text:
            told.append(f"{readme.relative_to(root)}: no alarms")
        for link in own:
            page = (readme.parent / link).resolve()
            led.add(page)
            if not page.is_file():
                told.append(f"{readme.relative_to(root)}: {link}")
    pages = {page.resolve() for page in (root / RUNBOOKS).glob("*.md") if page.stem != "README"}
    return told + [f"{RUNBOOKS}/{page.name}: no alarm" for page in sorted(pages - led)]


def unknown_figures(root: Path) -> list[str]:
    """Figures of alarms that no code has, or that their runbook does not name."""
    known, told = figures(), []
    for readme, own in alarms(root).items():
        for link, named in own.items():
            page = (readme.parent / link).resolve()
            opening = page.read_text().partition("**Means.**")[0] if page.is_file() else ""
            told += [f"{page.name}: {name} is no figure" for name in sorted(named - known)]
            if not named & names(opening):
                told.append(f"{page.name}: begins without {', '.join(sorted(named))}")
    return told


def unseen_figures(root: Path) -> list[str]:
    """Figures of alarms that no test looks at."""
    tests = [
        *root.glob("*/tests/**/*.py"),
        *root.glob("*/*/tests/**/*.py"),
        *root.glob("tests/**/*.py"),
    ]
    text = "\n".join(path.read_text() for path in tests if path != Path(__file__))
    named = {name for own in alarms(root).values() for found in own.values() for name in found}
    return sorted(name for name in named if not re.search(rf"\b{name}\b", text))


def unknown_commands(root: Path) -> list[str]:
    """Commands that a runbook or the command line's README names and `purser` does not have."""
    told = []
    for page in [*sorted((root / RUNBOOKS).glob("*.md")), root / "cli/README.md"]:
        for words in re.findall(r"\bpurser ((?:[a-z]+ ?)+(?:[^`\n#]*))", page.read_text()):
            trouble = unusable(words.split())
            if trouble:
                told.append(f"{page.name}: purser {words.strip()}: {trouble}")
    return told


def unusable(words: list[str]) -> str | None:
    """Why a command cannot be given so; None when it can."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if not words:
            return None
        found = command.commands.get(words[0])
        if found is None:
            return f"there is no {words[0]}"
        command, words = found, words[1:]
    known = {name for param in command.params for name in param.opts}
    unknown = [word for word in words if word.startswith("--") and word not in known]
    return f"no option {unknown[0]}" if unknown else None


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the rules read, without any test."""
    for readme in (
        "libs/common",
        *(f"services/{one.name}" for one in (ROOT / "services").iterdir()),
    ):
        if (ROOT / readme / "README.md").is_file():
            (tmp_path / readme).mkdir(parents=True)
            shutil.copy(ROOT / readme / "README.md", tmp_path / readme)
    shutil.copytree(ROOT / RUNBOOKS, tmp_path / RUNBOOKS)
    (tmp_path / "cli").mkdir()
    shutil.copy(ROOT / "cli/README.md", tmp_path / "cli")
    return tmp_path


def replaced(path: Path, old: str, new: str) -> None:
    """Plant a change."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    "rule", [without_runbook, unknown_figures, unseen_figures, unknown_commands]
)
def test_the_rule_holds(rule: object) -> None:
    assert callable(rule)
    assert rule(ROOT) == []


def test_an_alarm_without_a_runbook_and_a_runbook_without_an_alarm_are_told(copy: Path) -> None:
    (copy / RUNBOOKS / "breaker-open.md").rename(copy / RUNBOOKS / "breaker.md")
    replaced(copy / "services/audit/README.md", "#alarms-of-every-service", "")
    assert without_runbook(copy) == [
        "services/audit/README.md: no alarms",
        "services/reseller/README.md: ../../docs/runbooks/breaker-open.md",
        "docs/runbooks/breaker.md: no alarm",
    ]


def test_a_figure_that_no_code_has_is_told(copy: Path) -> None:
    replaced(copy / "libs/common/README.md", "`outbox_oldest_seconds`", "`outbox_age_seconds`")
    assert unknown_figures(copy) == [
        "outbox-age.md: outbox_age_seconds is no figure",
        "outbox-age.md: begins without outbox_age_seconds",
    ]


def test_a_figure_that_no_test_has_seen_is_told(copy: Path) -> None:
    assert "outbox_oldest_seconds" in unseen_figures(copy)


def test_a_command_that_there_is_not_is_told(copy: Path) -> None:
    page = copy / RUNBOOKS / "dead-letters.md"
    replaced(page, "purser dlq list ", "purser dlq lost ")
    replaced(page, "--reason", "--because")
    told = unknown_commands(copy)
    assert any(one.endswith("there is no lost") for one in told)
    assert any(one.endswith("no option --because") for one in told)
