"""The checker of chaos runs stands on the standard library alone: it shares no defect with what it judges."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKER = Path(__file__).resolve().parents[1] / "chaos" / "checker"
DYNAMIC = ("__import__", "import_module", "exec", "eval", "run_module", "run_path")


def imported(node: ast.AST) -> Iterator[str]:
    """What a node imports; a call that could import anything is told as it stands."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        outside = "." * node.level if node.level > 1 else ""
        if outside or not node.level:
            yield f"{outside}{node.module}"
    elif isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called.rpartition(".")[2] in DYNAMIC:
            yield f"({called})"


def foreign(checker: Path) -> list[str]:
    """What the checker imports beyond the standard library and its own modules."""
    return [
        f"{path.name}:{getattr(node, 'lineno', 0)} {name}"
        for path in sorted(checker.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        for name in imported(node)
        if name.partition(".")[0] not in sys.stdlib_module_names
    ]


def test_the_checker_imports_nothing_but_the_standard_library() -> None:
    assert len(list(CHECKER.rglob("*.py"))) > 5
    assert foreign(CHECKER) == []


@pytest.mark.parametrize(
    "planted",
    [
        "from purser_events.license import OrderPlaced",
        "import order_service.domain.purchase as rules",
        "def late():\n    from purser_common import outbox",
        "__import__('purser_common')",
        "import importlib\nimportlib.import_module('purser_common')",
        "from ..driver import Driver",
        "import httpx",
    ],
)
def test_a_planted_import_is_told(planted: str, tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text(f"from .evidence import Evidence\nimport json\n{planted}\n")
    assert len(foreign(tmp_path)) == 1
