"""Reads everything on Kafka while it is written, and lets flows wait for what it says."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer

from purser_common import kafka, settings

T = TypeVar("T")
Json = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """One record; `fact` is its event when it is one."""

    topic: str
    partition: int
    offset: int
    headers: dict[str, str]
    value: bytes
    fact: Json | None

    @property
    def dead(self) -> bool:
        """Whether it was put aside."""
        return self.topic.endswith(".dlq")


class Watch:
    """Every record of every topic from the beginning, in a thread of its own."""

    def __init__(self, config: settings.Kafka) -> None:
        self._config = config
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._read()])
        self.records: list[Record] = []
        self.states: dict[str, tuple[int, Json]] = {}
        """By subject the newest (sequence, state)."""
        self._thread.start()

    def close(self) -> None:
        """End the reading."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()

    def wait(self, check: Callable[[], T | None], what: str, within: float) -> T:
        """What the check finds, asked anew with every record. Raises AssertionError."""
        deadline = time.monotonic() + within
        with self._news:
            while not (found := check()):
                if not self._news.wait(deadline - time.monotonic()):
                    raise AssertionError(f"not within {within:.0f} s: {what}")
        return found

    def state(self, subject: str, *statuses: str, within: float) -> Json:
        """The newest state of a subject once its status is one of these."""

        def reached() -> Json | None:
            _, state = self.states.get(subject, (0, {}))
            return state if state.get("status") in statuses else None

        return self.wait(reached, f"{subject} {', '.join(statuses)}", within)

    def produce(self, topic: str, key: str, value: bytes) -> None:
        """Write a record of our own."""

        async def send() -> None:
            producer = kafka.Producer(self._config)
            await producer.send(topic, key, value, [])
            await producer.stop()

        asyncio.run_coroutine_threadsafe(send(), self._loop).result(60)

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._config.bootstrap_servers,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            consumer.subscribe(pattern=r"^[a-z].*")
            while not self._ending.is_set():
                batches = await consumer.getmany(timeout_ms=200)
                self._take([record for batch in batches.values() for record in batch])
        finally:
            await consumer.stop()

    def _take(self, batch: list[Any]) -> None:
        with self._news:
            for one in batch:
                headers = {name: value.decode(errors="replace") for name, value in one.headers}
                record = Record(
                    one.topic, one.partition, one.offset, headers, one.value, _fact(one.value)
                )
                self.records.append(record)
                if record.fact is not None and not record.dead:
                    self._keep(record.fact)
            if batch:
                self._news.notify_all()

    def _keep(self, fact: Json) -> None:
        known, _ = self.states.get(fact["subject"], (0, {}))
        if fact["sequence"] > known:
            self.states[fact["subject"]] = fact["sequence"], fact["data"]["state"]


def _fact(value: bytes) -> Json | None:
    try:
        found = json.loads(value)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "subject" in found else None
