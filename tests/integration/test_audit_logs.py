"""The audit logs of a tenant and of a subscription, as an operator reads and exports them."""

import csv
import json
from typing import Any

import pytest

from purser_common.testing import eventually

TRAIL, EXPORT = "/v1/audit-records", "/v1/exports/audit-records"
MARKETPLACE = "ingram-micro-xvantage"


@pytest.mark.requirement("R63.a", "R64.a", "R75.a", "R75.b", "R75.c", "R76.a")
async def test_the_log_of_a_subscription_and_its_tenant_is_read_again_and_exported(
    system: Any,
) -> None:
    shop = system.shop()
    subscription = await shop.bought()
    about: dict[str, Any] = {"subscription_id": subscription["id"]}

    def types(**wanted: Any) -> list[str]:
        found = system.get(TRAIL, limit=200, **wanted)["items"]
        return [one["type"].removeprefix("purser.").removesuffix(".v1") for one in found]

    async def shown(*wanted: str) -> None:
        await eventually(lambda: set(wanted) <= set(types(**about)), within=10, every=0.1)

    await shown("license.purchased", "subscription.activated")
    asked = shop.new_total(subscription, 7)
    changed = system.call("POST", "/v1/license-change-requests", asked).json()
    await system.request(changed["id"], "completed")
    of_tenant = {"tenant_id": shop.tenant["id"], "marketplace": MARKETPLACE}
    first = system.get(TRAIL, limit=5, **of_tenant)
    await shown("license.change-requested", "license.quantity-changed", "license.purchased")
    again = system.get(TRAIL, limit=5, cursor=first["next"], **of_tenant)["items"]
    assert not {one["id"] for one in again} & {one["id"] for one in first["items"]}
    assert "tenant.connected" in types(**of_tenant)
    assert "license.quantity-changed" in types(**of_tenant)
    assert types(tenant_id=shop.tenant["id"], marketplace="another") == []
    order = (await system.request(changed["id"], "completed"))["order"]
    assert "license.quantity-changed" in types(order_id=order["id"])

    lines = system.call("GET", EXPORT, params={**about, "format": "jsonl"}).text.splitlines()
    table = system.call("GET", EXPORT, params={**about, "format": "csv"})
    assert table.headers["content-disposition"] == 'attachment; filename="audit-records.csv"'
    rows = list(csv.DictReader(table.text.splitlines(keepends=True)))
    exported = {json.loads(line)["id"] for line in lines}
    assert exported <= {row["id"] for row in rows}
    part = system.call("GET", EXPORT, params={**about, "format": "jsonl", "limit": 1})
    assert part.headers["purser-next"]
    refused = system.ask("GET", EXPORT, params={"format": "xlsx"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
