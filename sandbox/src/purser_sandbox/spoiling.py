"""Answers that are wrong although the call was executed."""

import json
from datetime import datetime, timedelta
from typing import Any

from purser_sandbox.faults import Fault
from purser_sandbox.world.state import World


def spoiled(content: bytes, fault: Fault, world: World) -> bytes:
    """The body of a good answer as the fault leaves it."""
    if fault.kind == "bad_json":
        return content[: len(content) // 2] + b'"\x01'
    body = json.loads(content)
    if fault.kind == "no_id":
        for name in ("id", "orderNumber"):
            body.pop(name, None)
    elif fault.kind == "backwards":
        body |= {"status": "submitted", "statusCode": None, "provisioningDate": None}
    elif "data" in body:
        _shorten(body, fault, world)
    return json.dumps(body).encode()


def _shorten(body: dict[str, Any], fault: Fault, world: World) -> None:
    """A list without rows: all and nothing counted, this page, or what is younger than it knows."""
    shown = body["data"]
    if fault.kind == "stale_list":
        known = world.clock.now() - timedelta(seconds=fault.seconds)
        kept = [row for row in shown if _made_before(row, known, world)]
    else:
        kept = []
    body["data"] = kept
    if fault.kind == "empty_list":
        body["pagination"]["total"] = 0
    elif fault.kind == "stale_list":
        body["pagination"]["total"] -= len(shown) - len(kept)


def _made_before(row: dict[str, Any], moment: datetime, world: World) -> bool:
    record = world.orders.get(row["id"]) or world.subscriptions.get(row["id"])
    return record is None or record.created_at <= moment
