"""Records that nobody can read, written to the topics that the services listen to."""

import asyncio
import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from chaos.market import Market
from chaos.struck import Struck

TOPICS = (
    "order.completed",
    "order.placed",
    "license.purchased",
    "license.change-requested",
    "tenant.connected",
    "reseller.updated",
    "subscription.activated",
)
PATIENCE = 60.0


def _envelope(id: str, topic: str) -> dict[str, object]:
    return {"specversion": "1.0", "id": id, "type": f"purser.{topic}.v1", "source": "nowhere"}


KINDS: tuple[Callable[[str, str], bytes], ...] = (
    lambda id, _: b"\x00\xff\xfe not text " + id.encode(),
    lambda id, _: json.dumps(id).encode(),
    lambda id, _: json.dumps([5, id]).encode(),
    lambda id, topic: json.dumps(_envelope(id, topic)).encode(),
    lambda id, topic: json.dumps(_envelope(id, topic)).encode()[:-1],
    lambda id, _: b'{"id": "' + id.encode() + b'", "deep": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
)


@dataclass
class Poison:
    """Injects one record at a time, past the links, and remembers it."""

    bootstrap: str
    market: Market
    struck: Struck
    chance: random.Random
    injected: list[dict[str, str]] = field(default_factory=list)
    """Some of them may not have reached the log: what counts is what the log holds."""

    async def inject(self) -> None:
        """Write one unreadable record."""
        topic = self.chance.choice(TOPICS)
        tenant = self.chance.choice(self.market.tenants)
        id = f"poison-{uuid.UUID(int=self.chance.getrandbits(128))}"
        value = self.chance.choice(KINDS)(id, topic)
        self.injected.append({"topic": topic, "key": tenant.id, "id": id})
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, enable_idempotence=True, acks="all"
        )
        try:
            async with asyncio.timeout(PATIENCE):
                await producer.start()
                await producer.send_and_wait(topic, value, key=tenant.id.encode())
        except (KafkaError, TimeoutError):
            return
        finally:
            await _stopped(producer)
        self.struck.count("poison", topic, id=id)


async def _stopped(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(5):
            await producer.stop()
    except (KafkaError, TimeoutError):
        return
