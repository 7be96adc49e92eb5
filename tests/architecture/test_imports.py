"""Who may import whom: the contracts of `.importlinter` hold, and each fails when it is violated."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

PLANTED = {
    "services": [("order_service/domain/offers.py", "audit_service.settings")],
    "layers": [
        ("purser_common/clock.py", "purser_marketplace.values"),
        ("purser_events/values.py", "purser_common.clock"),
        ("purser_marketplace/values.py", "purser_cli.login"),
    ],
    "marketplace": [("purser_marketplace/errors.py", "purser_events.values")],
    "sandbox": [("purser_sandbox/clock.py", "purser_common.clock")],
    "unsandboxed": [("purser_cli/login.py", "purser_sandbox.clock")],
    "anatomy": [
        ("order_service/domain/review.py", "order_service.commands.ports"),
        ("order_service/commands/ports.py", "order_service.store"),
        ("order_service/store.py", "order_service.views"),
        ("order_service/clients.py", "order_service.api"),
        ("subscription_service/api.py", "subscription_service.consumers"),
        ("gateway_service/consumers.py", "gateway_service.main"),
    ],
    "reads": [("order_service/views.py", "order_service.commands.ports")],
    "calls": [("subscription_service/clients.py", "subscription_service.store")],
    "entrance": [
        ("order_service/api.py", "order_service.store"),
        ("audit_service/api.py", "pymongo"),
    ],
    "background": [("order_service/jobs.py", "order_service.clients")],
    "pure": [
        ("order_service/domain/purchase.py", "fastapi"),
        ("subscription_service/commands/reading.py", "httpx"),
        ("purser_events/envelope.py", "aiokafka"),
    ],
    "mongo": [("audit_service/store.py", "pymongo"), ("purser_common/jobs.py", "motor")],
    "kafka": [("subscription_service/consumers.py", "faststream")],
}


def contracts(root: Path) -> dict[str, str]:
    """The name of each contract by its id."""
    config = configparser.ConfigParser()
    config.read(root / ".importlinter")
    prefix = "importlinter:contract:"
    return {
        section.removeprefix(prefix): config[section]["name"]
        for section in config.sections()
        if section.startswith(prefix)
    }


def broken(root: Path) -> str:
    """What import-linter says of a tree; empty when every contract is kept."""
    sources = sorted(str(path) for path in root.glob("*/src")) + sorted(
        str(path) for path in root.glob("*/*/src")
    )
    checked = subprocess.run(
        [sys.executable, "-c", LINT, "--config", str(root / ".importlinter"), "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sources), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Contracts: " in checked.stdout, checked.stdout + checked.stderr
    return "" if checked.returncode == 0 else checked.stdout


def section(told: str, name: str) -> str:
    """The part of import-linter's account that explains one broken contract."""
    found = re.search(
        rf"^{re.escape(name)}\n-+\n(.*?)(?=\n[^\n]+\n-{{5,}}\n|\Z)", told, re.DOTALL | re.MULTILINE
    )
    return found[1] if found else ""


def copied(root: Path, to: Path) -> Path:
    """A copy of everything that import-linter reads."""
    for source in [*root.glob("*/src"), *root.glob("*/*/src")]:
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, to / source.relative_to(root), ignore=ignored)
    shutil.copy(root / ".importlinter", to / ".importlinter")
    return to


def planted(root: Path, file: str, text: str) -> None:
    """Add a line to a source file of a copy, or the file itself."""
    package = file.partition("/")[0]
    (source,) = [
        path.parent for path in [*root.glob(f"*/src/{package}"), *root.glob(f"*/*/src/{package}")]
    ]
    path = source / file
    path.write_text((path.read_text() if path.exists() else "") + text)


@pytest.fixture(scope="module")
def violated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy in which every contract is violated."""
    root = copied(ROOT, tmp_path_factory.mktemp("violated"))
    for plants in PLANTED.values():
        for file, imported in plants:
            planted(root, file, f"\nimport {imported}  # planted\n")
    return broken(root)


def test_every_contract_is_kept() -> None:
    assert broken(ROOT) == ""


def test_a_copy_without_a_violation_is_kept(tmp_path: Path) -> None:
    assert broken(copied(ROOT, tmp_path)) == ""


def test_every_contract_has_a_planted_violation() -> None:
    assert set(PLANTED) == set(contracts(ROOT))


@pytest.mark.parametrize(
    ("contract", "file", "imported"),
    [(contract, *plant) for contract, plants in PLANTED.items() for plant in plants],
)
def test_the_planted_import_breaks_its_contract(
    violated: str, contract: str, file: str, imported: str
) -> None:
    module = file.removesuffix(".py").replace("/", ".")
    told = section(violated, contracts(ROOT)[contract])
    assert re.search(rf"{re.escape(module)} -> {re.escape(imported)}\b", told), told or violated


def test_a_module_with_another_name_breaks_the_anatomy(tmp_path: Path) -> None:
    root = copied(ROOT, tmp_path)
    planted(root, "order_service/tools.py", '"""Odds and ends."""\n')
    told = section(broken(root), contracts(root)["anatomy"])
    assert "order_service.tools" in told
