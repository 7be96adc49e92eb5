"""Collects what a run left behind: everything that the checker reads."""

import asyncio
import base64
import contextlib
import json
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from bson import Decimal128, ObjectId
from program_settings import SERVICES
from pymongo import MongoClient
from stack import Stack

from chaos.system import Sandbox

Json = dict[str, Any]


def write_lines(path: Path, lines: Iterable[Any]) -> None:
    """One JSON object a line."""
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False, default=_plain) + "\n")


def write(path: Path, content: Any) -> None:
    """One JSON document."""
    text = json.dumps(content, ensure_ascii=False, indent=1, default=_plain)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.isoformat()
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, Decimal | Decimal128 | ObjectId):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in the evidence")


def dump_mongo(url: str, directory: Path) -> None:
    """Every document of every database of Purser, by the driver."""
    client: MongoClient[Json] = MongoClient(url, tz_aware=True, serverSelectionTimeoutMS=20_000)
    with client:
        for name in client.list_database_names():
            if not name.startswith("purser_"):
                continue
            (directory / name).mkdir(parents=True, exist_ok=True)
            for collection in client[name].list_collection_names():
                path = directory / name / f"{collection}.jsonl"
                write_lines(path, client[name][collection].find({}))


def outbox_entries(url: str) -> int:
    """How many documents still have facts to publish."""
    client: MongoClient[Json] = MongoClient(url, serverSelectionTimeoutMS=20_000)
    with client:
        return sum(
            client[name][collection].count_documents({"outbox_since": {"$exists": True}})
            for name in client.list_database_names()
            if name.startswith("purser_")
            for collection in client[name].list_collection_names()
        )


async def dump_kafka(bootstrap: str, path: Path) -> None:
    """The whole log of every topic, without joining a group."""
    partitions = await _partitions(bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        with path.open("w", encoding="utf-8") as file:
            while await _behind(consumer, ends):
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    for record in batch:
                        line = json.dumps(_record(record), ensure_ascii=False, default=_plain)
                        file.write(line + "\n")
    finally:
        await consumer.stop()


async def _partitions(bootstrap: str) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        names = sorted(name for name in await admin.list_topics() if not name.startswith("__"))
        return [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in await admin.describe_topics(names)
            for partition in topic["partitions"]
        ]
    finally:
        await admin.close()


async def _behind(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    for partition, end in ends.items():
        if await consumer.position(partition) < end:
            return True
    return False


def _record(record: ConsumerRecord[bytes, bytes]) -> Json:
    value: Any = None
    if record.value is not None:
        try:
            value = json.loads(record.value)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            value = record.value
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": record.key.decode(errors="replace") if record.key is not None else None,
        "headers": {name: text.decode(errors="replace") for name, text in record.headers},
        "value": value,
    }


async def groups(bootstrap: str) -> list[Json]:
    """How far each of the services' consumer groups has committed on each partition, and where that
    ends. Whoever else has once subscribed is nobody's concern here."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await admin.start()
    await consumer.start()
    try:
        rows = []
        for group, *_ in await admin.list_consumer_groups():
            if group.partition(".")[0] not in SERVICES:
                continue
            committed = await admin.list_consumer_group_offsets(group)
            ends = await consumer.end_offsets(list(committed))
            rows += [
                {
                    "group": group,
                    "topic": partition.topic,
                    "partition": partition.partition,
                    "committed": place.offset,
                    "end": ends[partition],
                }
                for partition, place in committed.items()
            ]
        return rows
    finally:
        await consumer.stop()
        await admin.close()


async def lag(bootstrap: str) -> int:
    """Records that the groups have not committed yet."""
    return sum(row["end"] - max(0, row["committed"]) for row in await groups(bootstrap))


async def is_quiet(stack: Stack) -> bool:
    """Whether nothing waits in an outbox and no group lags."""
    if await asyncio.to_thread(outbox_entries, stack.mongo_url):
        return False
    return await lag(stack.kafka) == 0


async def what_waits(stack: Stack) -> str:
    """The documents with facts to publish, and the partitions on which a group lags."""
    documents = await asyncio.to_thread(outbox_entries, stack.mongo_url)
    behind = [
        f"{row['group']} {row['topic']}/{row['partition']}: {row['committed']} of {row['end']}"
        for row in await groups(stack.kafka)
        if row["end"] > max(0, row["committed"])
    ]
    return "; ".join([f"{documents} documents", *behind])


async def collect(directory: Path, stack: Stack, sandbox: Sandbox) -> None:
    """Everything that servers and marketplace hold, while they still run."""
    final = {
        "orders": await sandbox.ask("GET", "/sandbox/orders"),
        "subscriptions": await sandbox.ask("GET", "/sandbox/subscriptions"),
    }
    write(directory / "marketplace.json", final)
    copy_journal(stack.home, directory / "journal.jsonl")
    await dump_kafka(stack.kafka, directory / "kafka.jsonl")
    write(directory / "groups.json", await groups(stack.kafka))
    await asyncio.to_thread(dump_mongo, stack.mongo_url, directory / "mongo")


def copy_logs(home: Path, directory: Path) -> None:
    """What every program wrote, rotated files too."""
    directory.mkdir(exist_ok=True)
    for path in (home / "logs").glob("*.log*"):
        name, _, rotated = path.name.partition(".log")
        shutil.copy(path, directory / f"{name}{rotated}.log")


def copy_journal(home: Path, path: Path) -> None:
    """The marketplace's append-only file as it is."""
    path.touch()
    with contextlib.suppress(FileNotFoundError):
        shutil.copy(home / "sandbox" / "orders.jsonl", path)


def made_by_hand(directory: Path, prefix: str) -> list[str]:
    """The ids of the executed orders whose purchase order number begins so."""
    with (directory / "journal.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [str(row["id"]) for row in rows if (row["poNumber"] or "").startswith(prefix)]


def that_arrived(injected: list[dict[str, str]], directory: Path) -> list[dict[str, str]]:
    """The injected records that the log holds: a send without an answer may not have arrived."""
    found = set()
    with (directory / "kafka.jsonl").open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            value = row["value"]
            if isinstance(value, dict) and set(value) == {"base64"}:
                value = base64.b64decode(value["base64"]).decode(errors="replace")
            found |= {one["id"] for one in injected if one["id"] in str(value)}
    return [one for one in injected if one["id"] in found]
