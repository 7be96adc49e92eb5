"""How long a file, a function and a service may be, and which parts must be in use."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES, FUNCTION_LINES, SERVICE_LINES = 400, 50, 2_000
NAMED = re.compile(r"^\*\*Over 2,000 lines:\*\* (.+)\.$", re.MULTILINE)
"""How a decision names the services that it lets be larger."""
USED = {
    "faststream": "faststream",
    "aiokafka": "aiokafka",
    "fastapi": "fastapi",
    "motor": "motor",
    "httpx": "httpx",
    "opentelemetry-sdk": "opentelemetry.sdk",
    "pytest-asyncio": "pytest_asyncio",
    "testcontainers": "testcontainers",
}
"""Distribution → what is imported of it. pytest-asyncio is a plugin: its setting is its use."""


def sources(root: Path) -> Iterator[Path]:
    """Every Python file of ours; caches and environments begin with a dot."""
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if not any(part.startswith(".") or part == "__pycache__" for part in parts):
            yield path


def production(root: Path) -> Iterator[Path]:
    """Every Python file but the tests."""
    for path in sources(root):
        if "tests" not in path.relative_to(root).parts:
            yield path


def long_files(root: Path) -> list[str]:
    """Files over the limit: split them by behaviour."""
    lengths = {path: len(path.read_text().splitlines()) for path in production(root)}
    return [
        f"{path.relative_to(root)}: {lines} lines"
        for path, lines in lengths.items()
        if lines > FILE_LINES
    ]


def long_functions(root: Path) -> list[str]:
    """Functions over the limit; a function that only holds others, such as a router, is one too
    when its own lines are too many."""
    found = []
    for path in production(root):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                own = lines_of(node) - sum(lines_of(one) for one in nested(node))
                if own > FUNCTION_LINES:
                    found.append(f"{path.relative_to(root)}:{node.lineno} {node.name}: {own} lines")
    return found


def large_services(root: Path) -> list[str]:
    """Services over the limit that no decision names, and services that one names without need."""
    decisions = (path.read_text() for path in sorted((root / "docs/adr").glob("*.md")))
    named = {
        name for text in decisions for names in NAMED.findall(text) for name in names.split(", ")
    }
    lines = {
        service.name: sum(len(path.read_text().splitlines()) for path in sources(service / "src"))
        for service in sorted((root / "services").iterdir())
    }
    over = {name for name, count in lines.items() if count > SERVICE_LINES}
    return [
        *(f"{name}: {lines[name]} lines, named in no decision" for name in sorted(over - named)),
        *(f"{name}: named in a decision, and not over the limit" for name in sorted(named - over)),
    ]


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From the first decorator to the last line."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return (node.end_lineno or node.lineno) - first + 1


def nested(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions that are defined directly inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
        else:
            yield from nested(child)


def unlocked(root: Path) -> list[str]:
    """Parts that the development lock does not hold."""
    lock = (root / "requirements/dev.txt").read_text()
    return [name for name in USED if not re.search(rf"^{name}==", lock, re.MULTILINE)]


def unused(root: Path) -> list[str]:
    """Parts that nothing imports, or, for a pytest plugin, that no setting turns on."""
    imported: set[str] = set()
    for path in sources(root):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module)
    settings = (root / "pyproject.toml").read_text()
    if re.search(r'^asyncio_mode = "auto"$', settings, re.MULTILINE):
        imported.add("pytest_asyncio")
    return [
        name
        for name, module in USED.items()
        if not any(one == module or one.startswith(f"{module}.") for one in imported)
    ]


@pytest.mark.parametrize("rule", [long_files, long_functions, large_services, unlocked, unused])
def test_the_rule_holds(rule: object) -> None:
    assert callable(rule)
    assert rule(ROOT) == []


def test_a_long_file_is_told_unless_it_is_a_test(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for name in ("long.py", "tests/test_long.py"):
        (tmp_path / name).write_text("x = 1\n" * 401)
    (tmp_path / "short.py").write_text("x = 1\n" * 400)
    assert long_files(tmp_path) == ["long.py: 401 lines"]


def test_a_long_function_is_told(tmp_path: Path) -> None:
    body = "    x = 1\n"
    text = (
        f"def short():\n{body * 49}\n\nclass A:\n    async def long(self):\n{'    ' * 1}{body * 1}"
    )
    text += f"{'        x = 1' + chr(10)}" * 49
    (tmp_path / "code.py").write_text(text)
    assert long_functions(tmp_path) == ["code.py:54 long: 51 lines"]


def test_a_large_service_is_told_unless_a_decision_names_it(tmp_path: Path) -> None:
    for name, files in (("large", 6), ("huge", 7), ("small", 5)):
        source = tmp_path / "services" / name / "src"
        source.mkdir(parents=True)
        for number in range(files):
            (source / f"part_{number}.py").write_text("x = 1\n" * 400)
        (source.parent / "tests").mkdir()
        (source.parent / "tests/test_it.py").write_text("x = 1\n" * 400)
    (tmp_path / "docs/adr").mkdir(parents=True)
    decision = tmp_path / "docs/adr/0001-large.md"
    decision.write_text("# Large\n\n**Over 2,000 lines:** large, small.\n")
    assert large_services(tmp_path) == [
        "huge: 2800 lines, named in no decision",
        "small: named in a decision, and not over the limit",
    ]
    decision.write_text("# Large\n\n**Over 2,000 lines:** large, huge.\n")
    assert large_services(tmp_path) == []


def test_a_part_that_is_not_locked_is_told(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    lock = (ROOT / "requirements/dev.txt").read_text()
    (tmp_path / "requirements/dev.txt").write_text(lock.replace("\nmotor==", "\nmotorcycle=="))
    assert unlocked(tmp_path) == ["motor"]


def test_a_part_that_nothing_imports_is_told(tmp_path: Path) -> None:
    modules = [module for module in USED.values() if module != "testcontainers"]
    (tmp_path / "code.py").write_text("".join(f"import {module}.part\n" for module in modules[:-1]))
    (tmp_path / "pyproject.toml").write_text("")
    assert unused(tmp_path) == ["pytest-asyncio", "testcontainers"]
