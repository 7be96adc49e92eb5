"""What the alarms of every service watch: each figure rises when it should."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
from fastapi import APIRouter
from prometheus_client import REGISTRY

from purser_common import jobs
from purser_common.errors import Unavailable
from purser_common.outbox import Publisher
from purser_common.testing import eventually
from purser_common.web.app import build


def figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class Kafka:
    """Takes what is sent unless it is away."""

    away = True

    async def send(
        self, topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        if self.away:
            raise Unavailable("Kafka is away")


async def test_facts_that_wait_show_their_age_until_they_are_published(written: Any) -> None:
    kafka = Kafka()
    publisher = Publisher(kafka)
    published = figure("events_published_total", topic="customer.added")
    await written.insert()

    async def swept() -> float:
        await publisher.sweep([written.collection], older_than=timedelta(0))
        return figure("outbox_oldest_seconds")

    await eventually(swept)
    kafka.away = False
    await publisher.publish(written.collection, "c1")
    assert await swept() == 0
    assert figure("events_published_total", topic="customer.added") == published + 1


async def test_a_job_that_fails_or_finds_somebody_away_is_counted() -> None:
    troubles = iter([ValueError("a defect"), Unavailable("away")])

    async def once() -> bool:
        for trouble in troubles:
            raise trouble
        return False

    job = jobs.Job("test.alarms", once, every=0.01)
    working = asyncio.create_task(jobs.run(job))
    for outcome in ("failed", "unavailable"):
        await eventually(
            lambda outcome=outcome: figure("job_runs_total", job=job.name, outcome=outcome) == 1
        )
    working.cancel()


async def test_a_call_that_ends_with_500_is_counted_by_its_route() -> None:
    routes = APIRouter()

    @routes.get("/test/alarms")
    async def broken() -> None:
        raise KeyError("a defect")

    app = build("Test", "For tests.", lifespan=None, ready=None)  # type: ignore[arg-type]
    app.include_router(routes)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        assert (await http.get("/test/alarms")).status_code == 500
    labels = {"method": "GET", "route": "/test/alarms", "status": "500"}
    assert figure("http_request_duration_seconds_count", **labels) == 1
