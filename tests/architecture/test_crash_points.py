"""Crash points: the code and the table name the same ones, each in one place."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from crash_points import HOWS, POINTS

ROOT = Path(__file__).resolve().parents[2]
UNNAMED = "(no plain text)"


def points(root: Path) -> Iterator[str]:
    """What every call of `crash.point` in production code names."""
    for path in [*root.glob("*/src/**/*.py"), *root.glob("*/*/src/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "crash.point":
                named = node.args[0] if len(node.args) == 1 else None
                plain = isinstance(named, ast.Constant) and isinstance(named.value, str)
                yield named.value if plain else UNNAMED


def test_code_and_table_name_the_same_points() -> None:
    assert sorted(points(ROOT)) == sorted(point.name for point in POINTS)


def test_a_point_stands_in_one_place() -> None:
    assert [name for name, times in Counter(points(ROOT)).items() if times > 1] == []


def test_a_row_says_how_each_way_ends() -> None:
    for point in POINTS:
        assert point.reached
        assert set(point.ends) == set(HOWS), point.name
        assert all((point.place, point.persisted, point.visible, point.recovers)), point.name


def test_a_point_with_a_computed_name_is_told(tmp_path: Path) -> None:
    code = tmp_path / "libs/some/src/some"
    code.mkdir(parents=True)
    (code / "work.py").write_text('crash.point("a.b")\ncrash.point(name)\ncrash.point(f"a.{b}")\n')
    assert list(points(tmp_path)) == ["a.b", UNNAMED, UNNAMED]
