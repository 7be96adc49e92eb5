"""The record of what was asked, while its database is away."""

from typing import Any

from prometheus_client import REGISTRY

from gateway_service.api.entrance import Entrance
from gateway_service.store import Actions
from purser_common import mongo, settings
from purser_common.clock import Clock
from purser_common.outbox import Outbox
from purser_common.telemetry import Cause


async def test_a_call_that_could_not_be_recorded_is_counted_and_answered_all_the_same() -> None:
    away = settings.Mongo(url="mongodb://127.0.0.1:9", database="gateway", timeout_ms=200)
    client = mongo.connect(away)
    actions = Actions(client[away.database], Outbox("gateway", Clock(), lambda *_: None))
    unused: Any = None
    entrance = Entrance(unused, unused, actions, unused, unused, b"", Clock().now)

    def counted() -> float:
        return REGISTRY.get_sample_value("actions_unrecorded_total") or 0.0

    before = counted()
    await entrance._record("add_customer", 201, None, None, Cause("user:admin", "correlation-1"))
    assert counted() == before + 1
    await mongo.close(client)
