"""Generated files are current and well-formed, and what the documentation shows works."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import ConsumerRecord
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema

from purser_common import kafka, testing
from purser_events.envelope import TYPE_HEADER
from purser_events.topics import BY_NAME, TOPICS

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.name for path in (ROOT / "services").iterdir() if path.name != "console")
PURCHASED = BY_NAME["license.purchased"]


def check(root: Path) -> tuple[int, str]:
    """What `docs/generate.py --check` answers for a tree."""
    done = subprocess.run(
        [sys.executable, str(root / "docs/generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def asyncapi(service: str) -> dict[str, Any]:
    """A service's committed AsyncAPI document."""
    path = ROOT / f"docs/reference/asyncapi/{service}.json"
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def dangling(document: dict[str, Any], folder: Path) -> list[str]:
    """References that lead nowhere, inside the document or beside it."""
    found = []
    for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)):
        file, _, pointer = reference.partition("#")
        if file:
            found += [] if (folder / file).resolve().is_file() else [reference]
            continue
        part: Any = document
        for step in pointer.strip("/").split("/"):
            part = part.get(step) if isinstance(part, dict) else None
        found += [reference] if part is None else []
    return found


def program(page: Path) -> ModuleType:
    """The program that a page shows."""
    (text,) = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    module = ModuleType(f"shown_{uuid4().hex}")
    sys.modules[module.__name__] = module  # pydantic looks generic classes up by their module
    exec(compile(text, str(page), "exec"), module.__dict__)  # noqa: S102  our own page
    return module


def example() -> bytes:
    """A purchase with an id of its own."""
    path = ROOT / f"libs/events/examples/{PURCHASED.event_type}.json"
    return json.dumps({**json.loads(path.read_text()), "id": str(uuid4())}).encode()


def record(value: bytes, type_: str) -> "ConsumerRecord[bytes, bytes]":
    """A record as aiokafka hands it over."""
    return ConsumerRecord(
        topic=PURCHASED.name,
        partition=0,
        offset=0,
        timestamp=0,
        timestamp_type=0,
        key=b"",
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=len(value),
        headers=((TYPE_HEADER, type_.encode()),),
    )


def test_generated_files_are_current() -> None:
    code, told = check(ROOT)
    assert code == 0, f"run `make docs`:\n{told}"


def test_stale_missing_and_left_over_files_are_named(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "libs/events/schemas", tmp_path / "libs/events/schemas")
    (tmp_path / "docs/reference/events.md").write_text("# Facts\n")
    (tmp_path / "docs/reference/asyncapi/order.json").unlink()
    (tmp_path / "libs/events/schemas/purser.order.lost.v1.json").write_text("{}")
    code, told = check(tmp_path)
    assert code == 1
    for name in (
        "docs/reference/events.md",
        "docs/reference/asyncapi/order.json",
        "libs/events/schemas/purser.order.lost.v1.json",
    ):
        assert f"stale: {name}\n" in told


@pytest.mark.parametrize("service", SERVICES)
def test_asyncapi_is_well_formed(service: str) -> None:
    document = asyncapi(service)
    assert document["asyncapi"] == "3.0.0"
    ApplicationSchema.model_validate(document)
    assert dangling(document, ROOT / "docs/reference/asyncapi") == []
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        assert operation["action"] in ("send", "receive")
        assert all(one["$ref"].startswith(f"{channel}/messages/") for one in operation["messages"])


def test_a_reference_that_leads_nowhere_is_told() -> None:
    document = asyncapi("order")
    document["channels"].pop("license.purchased")
    document["components"]["messages"]["OrderPlaced"]["payload"]["$ref"] = "gone.json"
    assert set(dangling(document, ROOT / "docs/reference/asyncapi")) == {
        "#/channels/license.purchased",
        "#/channels/license.purchased/messages/LicensePurchased",
        "gone.json",
    }


def test_every_topic_is_sent_by_its_owners_alone() -> None:
    sent = [
        (operation["channel"]["$ref"].rpartition("/")[2], service)
        for service in SERVICES
        for operation in asyncapi(service)["operations"].values()
        if operation["action"] == "send"
    ]
    assert sorted(sent) == sorted((topic.name, owner) for topic in TOPICS for owner in topic.owners)


def test_the_page_for_subscribers_names_every_fact() -> None:
    page = (ROOT / "docs/subscribe.md").read_text()
    named = set(re.findall(r"`([a-z-]+\.[a-z-]+)`", page))
    unnamed = {topic.name for topic in TOPICS} - named
    assert unnamed <= {"reseller.updated"}
    assert {name for name in named if name.split(".")[0] in ("order", "license")} <= set(BY_NAME)


def test_the_subscribers_program_needs_no_part_of_purser_but_the_language() -> None:
    page = (ROOT / "docs/subscribe.md").read_text()
    roots = set(re.findall(r"^(?:from|import) ([a-z_]+)", page, re.MULTILINE))
    assert roots - sys.stdlib_module_names == {"aiokafka", "pydantic", "purser_events"}


def test_the_subscribers_program_reads_purchases_and_skips_unknown_types() -> None:
    shown = program(ROOT / "docs/subscribe.md")
    purchase = shown.read(record(example(), PURCHASED.event_type))
    assert purchase.data.quantity_after == 25
    assert shown.read(record(b"not for us", "purser.license.lent.v1")) is None


async def test_the_subscribers_program_follows_purchases_past_an_unreadable_one(
    private_servers: testing.Servers,
) -> None:
    """On servers of its own: nobody else's consumers should meet the unreadable record."""
    servers = private_servers.kafka
    await kafka.provision(servers)
    shown = program(ROOT / "docs/subscribe.md")
    value = example()
    producer = kafka.Producer(servers)
    headers = [(TYPE_HEADER, PURCHASED.event_type.encode())]
    await producer.send(PURCHASED.name, "tenant", b"{}", headers)
    await producer.send(PURCHASED.name, "tenant", value, headers)
    await producer.stop()
    arrived = asyncio.Event()

    async def handle(purchase: Any) -> None:
        if purchase.id == json.loads(value)["id"]:
            arrived.set()

    following = asyncio.create_task(
        shown.follow(servers.bootstrap_servers, f"outside.{uuid4()}", handle)
    )
    try:
        async with asyncio.timeout(30):
            await arrived.wait()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
