"""The audit service on real servers, called as the gateway calls it."""

import random
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audit_service.main import build
from audit_service.settings import Settings
from purser_common import kafka as chassis_kafka
from purser_common import mongo as chassis_mongo
from purser_common import settings, testing
from purser_events.envelope import TYPE_HEADER, Envelope, event_id


def _some_day() -> datetime:
    """A time at which no other test's facts happened."""
    days = random.SystemRandom().randrange(7_000)
    return datetime(2001, 1, 1, tzinfo=UTC) + timedelta(days=days)


@dataclass
class Deployment:
    """Where the service finds its servers and its keys."""

    keys: testing.Keys
    mongo: settings.Mongo
    kafka: settings.Kafka

    def settings(self) -> Settings:
        fields: dict[str, Any] = {
            "environment": "test",
            "http": {"port": 0},
            "mongo": self.mongo,
            "kafka": self.kafka,
            "identity": self.keys.identity("audit"),
        }
        return Settings(**fields)


@pytest.fixture(scope="session")
async def deployment(
    servers: testing.Servers, provisioned: settings.Kafka, keys: testing.Keys
) -> AsyncIterator[Deployment]:
    async with servers.fresh_database() as config:
        yield Deployment(keys, config, provisioned)


class Audit(testing.Service):
    """The service, asked by the gateway for somebody."""

    async def records(
        self, roles: Sequence[str] = ("auditor",), scope: str = "all", **filters: Any
    ) -> list[dict[str, Any]]:
        found = await self.call(
            "GET", "/v1/audit-records", roles=tuple(roles), scope=scope, params=filters
        )
        assert found.status_code == 200, found.text
        items: list[dict[str, Any]] = found.json()["items"]
        return items


@pytest.fixture(scope="session")
async def service(deployment: Deployment, keys: testing.Keys) -> AsyncIterator[Audit]:
    """One process for all tests: each has its own tenants and subjects."""
    async with testing.started(build(deployment.settings())) as http:
        yield Audit("audit", http, keys)


@pytest.fixture
async def database(deployment: Deployment) -> AsyncIterator[chassis_mongo.Database]:
    """The service's database, to look at."""
    async with testing.opened(deployment.mongo) as database:
        yield database


@dataclass
class Publisher:
    """What services publish with: facts about one tenant of the test's own."""

    producer: chassis_kafka.Producer
    tenant: str = field(default_factory=lambda: uuid.uuid4().hex)
    start: datetime = field(default_factory=_some_day)
    numbers: int = 0

    @property
    def period(self) -> dict[str, str]:
        """The filters that leave this test's facts, whatever they are about."""
        until = self.start + timedelta(minutes=self.numbers + 1)
        return {"since": self.start.isoformat(), "until": until.isoformat()}

    async def fact(
        self, topic: str = "tenant.added", type_: str | None = None, **changed: Any
    ) -> Envelope[dict[str, Any]]:
        """Publish a fact; its time is that many minutes after the start as facts came before."""
        self.numbers += 1
        kind = type_ or f"purser.{topic}.v1"
        subject = changed.get("subject", f"tenant/{self.tenant}")
        fields: dict[str, Any] = {
            "id": event_id(subject, kind, self.numbers),
            "source": "purser/test",
            "type": kind,
            "subject": subject,
            "time": self.start + timedelta(minutes=self.numbers),
            "dataschema": f"urn:purser:schema:{kind}",
            "sequence": self.numbers,
            "tenantid": self.tenant,
            "actor": "user:ada",
            "correlationid": f"correlation-{self.tenant}",
            "data": {"state": {"name": "Contoso", "customer_id": f"customer-of-{self.tenant}"}},
        }
        envelope = Envelope[dict[str, Any]](**fields | changed)
        await self.again(topic, envelope)
        return envelope

    async def again(self, topic: str, envelope: Envelope[dict[str, Any]]) -> None:
        """Publish this, once more perhaps."""
        value = envelope.model_dump_json(exclude_none=True).encode()
        headers = [(TYPE_HEADER, envelope.type.encode())]
        await self.producer.send(topic, self.tenant, value, headers)


@pytest.fixture
async def publisher(provisioned: settings.Kafka) -> AsyncIterator[Publisher]:
    producer = chassis_kafka.Producer(provisioned)
    yield Publisher(producer)
    await producer.stop()
