"""How long a service takes to be ready again when it already keeps many aggregates."""

import copy
import itertools
import time
from collections.abc import Iterator
from typing import Any

from program_settings import SERVICES
from pymongo import MongoClient
from stack import Stack

Json = dict[str, Any]
READY_WITHIN = 5.0
TRIES = 3
"""The best of them counts: a machine that does other things besides makes a start slower, never faster."""


def fill(mongo_url: str, aggregates: int) -> dict[str, int]:
    """Bring the largest collection of every service to so many documents; returns what there is.

    The new ones are copies of what is there, with ids and unique fields of their own.
    """
    found = {}
    client: MongoClient[Json] = MongoClient(mongo_url, tz_aware=True)
    with client:
        for service in SERVICES:
            database = client[f"purser_{service.replace('-', '_')}"]
            sizes = {name: database[name].count_documents({}) for name in _kept(database)}
            largest = max(sizes, key=lambda name: sizes[name])
            collection = database[largest]
            unique = {
                field
                for index in collection.list_indexes()
                if index.get("unique")
                for field in index["key"]
            }
            missing = max(0, aggregates - sizes[largest])
            rows = list(collection.find({"outbox_since": {"$exists": False}}))
            copies = itertools.islice(_copies(rows, unique | {"_id"}), missing)
            while batch := list(itertools.islice(copies, 500)):
                collection.insert_many(batch, ordered=False)
            found[f"{service}.{largest}"] = collection.count_documents({})
    return found


def empty(mongo_url: str) -> None:
    """Take every copy away again."""
    client: MongoClient[Json] = MongoClient(mongo_url)
    with client:
        for service in SERVICES:
            database = client[f"purser_{service.replace('-', '_')}"]
            for name in _kept(database):
                database[name].delete_many({"_id": {"$regex": "~[0-9]+$"}})


def _kept(database: Any) -> list[str]:
    return [name for name in database.list_collection_names() if not name.startswith("system.")]


def _copies(rows: list[Json], unique: set[str]) -> Iterator[Json]:
    for number in itertools.count(1):
        for row in rows:
            twin = copy.deepcopy(row)
            for field in unique & set(twin):
                if isinstance(twin[field], str):
                    twin[field] = f"{twin[field]}~{number}"
            yield twin


def seconds_to_ready(stack: Stack, service: str, within: float = 60.0) -> float:
    """Kill a service and wait until its next process is ready; the best of a few tries, if needed."""
    best = _once(stack, service, within)
    for _ in range(TRIES - 1):
        if best <= READY_WITHIN:
            break
        best = min(best, _once(stack, service, within))
    return best


def _once(stack: Stack, service: str, within: float) -> float:
    deadline = time.monotonic() + within
    while stack.supervision.state(service) != "RUNNING":  # else the supervisor pauses longer
        if time.monotonic() > deadline:
            raise TimeoutError(f"{service} does not keep running")
        time.sleep(0.1)
    gone = stack.kill(service)
    began = time.monotonic()
    while stack.pid(service) in (0, gone) or not stack.is_ready(service):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{service} was not ready within {within:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - began
