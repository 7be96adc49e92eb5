"""The operator's command against the whole system: dead letters, facts that wait, reviews."""

import json
import os
import re
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from purser_common.kafka import Producer
from purser_common.testing import eventually
from purser_events.envelope import TYPE_HEADER
from purser_events.topics import BY_NAME

PURSER = Path(__file__).resolve().parents[2] / ".venv/bin/purser"
TOPIC = "tenant.connected"
READERS = {"audit.record", "gateway.read-model", "order.copies", "subscription.copies"}
"""The groups that read that topic."""
"""Every group reads it."""


class Operator:
    """Runs `purser` as an operator does; answers its exit code, output and complaints."""

    def __init__(self, system: Any) -> None:
        keys = system.stack.home / "keys"
        services = ("gateway", "reseller", "tenant-connection", "subscription", "order", "audit")
        urls = {f"{n.upper().replace('-', '_')}_URL": system.stack.url(n) for n in services}
        self._environment = {
            **os.environ,
            **urls,
            "SANDBOX_URL": system.stack.url("sandbox"),
            "IDENTITY__PRIVATE_KEY_FILE": str(keys / "operator/private.pem"),
            "IDENTITY__PUBLIC_KEYS_DIR": str(keys / "public"),
            "PURSER_TOKEN": system.admin,
        }

    def run(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a command."""
        return subprocess.run(
            [str(PURSER), *words],
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def does(self, *words: str) -> str:
        """The output of a command that must go well."""
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def lines(self, *words: str) -> list[Any]:
        """The JSON lines of a command that must go well."""
        return [json.loads(line) for line in self.does(*words, "--json").splitlines()]


@pytest.fixture
def operator(system: Any) -> Operator:
    return Operator(system)


def metric(system: Any, service: str, name: str) -> float:
    """A figure of a service, summed over its labels."""
    with system.outside(service) as http:
        text = http.get("/metrics").text
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for value in found)


@pytest.mark.timeout(300)
async def test_poison_on_a_topic_is_listed_for_every_group_and_stays_until_it_is_discarded(
    system: Any, operator: Operator
) -> None:
    key = f"poison-{uuid.uuid4().hex[:8]}"
    poison = json.dumps({"key": key, "client_secret": "canary"}).encode()
    producer = Producer(system.kafka)
    await producer.send(TOPIC, key, poison, [(TYPE_HEADER, BY_NAME[TOPIC].event_type.encode())])
    await producer.stop()

    def letters() -> list[Any]:
        return operator.lines("dlq", "list", "--key", key)

    await eventually(lambda: len(letters()) == len(READERS), within=40, every=0.5)
    assert {one["group"] for one in letters()} == READERS
    first = letters()[0]
    shown = operator.does("dlq", "show", first["id"])
    assert "canary" not in shown
    assert json.loads(shown)["value"]["key"] == key
    await eventually(lambda: metric(system, "audit", "dlq_waiting") >= 1, within=40, every=1)

    assert "would be replayed" in operator.does("dlq", "replay", "--key", key, "--dry-run")
    again = operator.run("dlq", "replay", "--key", key)
    assert again.returncode == 1
    assert f"{first['id']}: unreadable still" in again.stderr
    assert len(letters()) == len(READERS)

    discard = ("dlq", "discard", "--reason", "a test's", "--id")
    operator.does(*discard, first["id"], "--dry-run")
    waiting = letters()
    assert first in waiting
    for letter in waiting:
        operator.does(*discard, letter["id"])
    assert letters() == []
    kept = operator.lines("dlq", "list", "--key", key, "--settled")
    assert {(one["outcome"], one["reason"]) for one in kept} == {("discarded", "a test's")}


def test_the_outbox_of_every_service_is_told(operator: Operator) -> None:
    told = operator.lines("outbox", "list")
    assert [one["service"] for one in told] == [
        "gateway",
        "reseller",
        "tenant-connection",
        "subscription",
        "order",
        "audit",
    ]
    assert all(one["documents"] >= 0 for one in told)
    assert "published" in operator.does("outbox", "publish", "--service", "order")


async def test_a_review_is_listed_shown_tried_and_settled(
    system: Any, shop: Any, operator: Operator
) -> None:
    shop.fault(kind="status", status=504, family="html")
    asked = shop.buy()
    await system.request(asked["id"], "needs_review", within=20)
    assert asked["id"] in {one["id"] for one in operator.lines("review", "list")}
    shown = json.loads(operator.does("review", "show", asked["id"]))
    assert shown["execution"]["attempts"][0]["outcome"] == "unknown"
    await eventually(lambda: metric(system, "order", "review_items") >= 1, within=30, every=0.5)
    assert metric(system, "order", "review_oldest_seconds") > 0

    words = ("review", "settle", asked["id"], "--reason", "a test's")
    nothing = operator.run(*words, "--answer", "link", "--order-id", "1", "--dry-run")
    assert (nothing.returncode, "shows no order 1" in nothing.stderr) == (1, True)
    told = operator.does(*words, "--answer", "give_up", "--dry-run")
    assert told == f"{asked['id']}: would become cancelled\n"
    assert system.get(f"/v1/license-change-requests/{asked['id']}")["status"] == "needs_review"
    told = operator.does(*words, "--answer", "give_up")
    assert told == f"{asked['id']}: is cancelled\n"
    twice = operator.run(*words, "--answer", "give_up", "--dry-run")
    assert (twice.returncode, "not_in_review" in twice.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("dlq", "replay"), "name exactly one of --id, --key and --all"),
        (("dlq", "show", "nowhere/0/0"), "nowhere is no consumer group"),
        (("dlq", "show", "audit.record/0/99999999"), "not_found"),
        (("outbox", "list", "--service", "console"), "choose from gateway"),
        (("review", "settle", "x", "--answer", "no", "--reason", "r"), "choose from link"),
        (
            ("review", "settle", "x", "--answer", "link", "--reason", "r"),
            "--order-id goes with --answer link",
        ),
        (("review", "show", str(uuid.uuid4())), "not_found"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(
    operator: Operator, words: tuple[str, ...], why: str
) -> None:
    done = operator.run(*words)
    assert done.returncode != 0
    assert why in done.stderr


def test_a_wrong_key_and_an_absent_service_are_told(operator: Operator, tmp_path: Path) -> None:
    done = operator.run("dlq", "list", IDENTITY__PRIVATE_KEY_FILE=str(tmp_path / "none.pem"))
    assert (done.returncode, "the operator's key cannot be used" in done.stderr) == (1, True)
    away = operator.run("outbox", "list", "--json", AUDIT_URL="http://127.0.0.1:9")
    assert (away.returncode, "audit: no answer from" in away.stderr) == (1, True)
    assert len(away.stdout.splitlines()) == 5


def test_filling_makes_each_customer_with_its_tenants_once(system: Any, operator: Operator) -> None:
    name = f"Fill {uuid.uuid4().hex[:8]}"
    words = ("fill", "--customers", "3", "--tenants", "2", "--name", name)
    for _ in range(2):
        operator.does(*words)
        customers = [c for c in system.get("/v1/customers")["items"] if c["name"].startswith(name)]
        assert sorted(c["name"] for c in customers) == [f"{name} 00000{n}" for n in range(3)]
        for one in customers:
            tenants = system.get(f"/v1/customers/{one['id']}/tenants")["items"]
            assert len(tenants) == 2
