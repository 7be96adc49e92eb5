"""Topics and consumer groups: each has an owner, and none comes into being by accident."""

import ast
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOPICS = "libs/events/src/purser_events/topics.py"
PROPERTIES = "deploy/local/kafka.properties"


def creating_by_accident(root: Path) -> list[str]:
    """Clients and brokers that would create a topic nobody declared."""
    found = []
    for path in [*root.glob("*/src/**/*.py"), *root.glob("*/*/src/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.keyword)
                and node.arg == "allow_auto_create_topics"
                and ast.unparse(node.value) != "False"
            ):
                found.append(f"{path.relative_to(root)}:{node.lineno}")
    properties = (root / PROPERTIES).read_text()
    if not re.search(r"^auto\.create\.topics\.enable=false$", properties, re.MULTILINE):
        found.append(PROPERTIES)
    return found


def ownerless(root: Path) -> list[str]:
    """Owners of topics that are no service."""
    owners = {
        one.value
        for node in ast.walk(ast.parse((root / TOPICS).read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "_topics"
        for one in ast.walk(node.args[0])
        if isinstance(one, ast.Constant)
    }
    assert owners, "no owner was found: how topics are declared has changed"
    return sorted(
        str(owner)
        for owner in owners
        if not (root / "services" / str(owner) / "pyproject.toml").is_file()
    )


def declared_groups(root: Path) -> set[str]:
    """The groups that the services consume with."""
    groups = set()
    for service in (root / "services").iterdir():
        for path in service.glob("src/**/*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "subscribe"
                    and isinstance(node.args[0], ast.Constant)
                ):
                    groups.add(f"{service.name}.{node.args[0].value!s}")
    return groups


def published_groups(root: Path) -> set[str]:
    """The groups that get a dead-letter topic."""
    for node in ast.parse((root / TOPICS).read_text()).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "CONSUMER_GROUPS":
            return set(ast.literal_eval(ast.unparse(node.value or ast.Tuple([]))))
    raise AssertionError("CONSUMER_GROUPS is not where it was")


def unmatched_groups(root: Path) -> list[str]:
    """Groups that are either declared or published, but not both."""
    return sorted(declared_groups(root) ^ published_groups(root))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the rules read."""
    ignored = shutil.ignore_patterns("__pycache__", "tests", "*.egg-info")
    for part in ("libs", "services", "sandbox", "cli"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    (tmp_path / PROPERTIES).parent.mkdir(parents=True)
    shutil.copy(ROOT / PROPERTIES, tmp_path / PROPERTIES)
    return tmp_path


def replaced(path: Path, old: str, new: str) -> None:
    """Plant a change."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("rule", [creating_by_accident, ownerless, unmatched_groups])
def test_the_rule_holds(rule: object) -> None:
    assert callable(rule)
    assert rule(ROOT) == []


def test_a_client_that_creates_topics_is_told(copy: Path) -> None:
    path = copy / "libs/common/src/purser_common/kafka/consuming.py"
    replaced(path, "allow_auto_create_topics=False", "allow_auto_create_topics=True")
    assert [told.partition(":")[0] for told in creating_by_accident(copy)] == [
        str(path.relative_to(copy))
    ]


def test_a_broker_that_creates_topics_is_told(copy: Path) -> None:
    replaced(copy / PROPERTIES, "auto.create.topics.enable=false", "")
    assert creating_by_accident(copy) == [PROPERTIES]


def test_a_topic_without_a_service_is_told(copy: Path) -> None:
    replaced(copy / TOPICS, '_topics("order", "order"', '_topics("billing", "order"')
    assert ownerless(copy) == ["billing"]


def test_a_group_without_dead_letters_is_told(copy: Path) -> None:
    replaced(copy / TOPICS, '    "audit.record",\n', "")
    assert unmatched_groups(copy) == ["audit.record"]


def test_a_group_that_nobody_declares_is_told(copy: Path) -> None:
    path = copy / "services/subscription/src/subscription_service/consumers.py"
    replaced(path, 'process.subscribe("mirror"', 'process.subscribe("echo"')
    assert unmatched_groups(copy) == ["subscription.echo", "subscription.mirror"]
