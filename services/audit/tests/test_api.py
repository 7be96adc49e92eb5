"""The trail over HTTP: every filter, all of which hold; pages; and who sees what."""

import csv
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest

from purser_common.testing import eventually
from purser_events.subscription import subscription_id
from purser_events.values import ProductIdentity, product_id

PATH = "/v1/audit-records"


@pytest.fixture
async def trail(service: Any, publisher: Any) -> list[Any]:
    """Six facts about one tenant, each of which differs from the others in what can be filtered."""
    request = f"license-change-request/{publisher.tenant}"
    published = [
        await publisher.fact(),
        await publisher.fact("tenant.connected", actor="user:bob"),
        await publisher.fact("license.purchased", subject=request, marketplace="m1"),
        await publisher.fact(
            "reseller.added", subject=f"reseller/{publisher.tenant}", tenantid=None
        ),
        await publisher.fact(correlationid=f"other-{publisher.tenant}"),
        await publisher.fact("customer.added", subject=f"customer/{publisher.tenant}"),
    ]

    async def there() -> bool:
        found = {record["id"] for record in await service.records(**publisher.period)}
        assert {one.id for one in published} <= found
        return True

    await eventually(there, within=30)
    return published


def filters(tenant: str) -> dict[str, tuple[dict[str, str], list[int]]]:
    """Filters, and which facts of the trail they leave, newest first."""
    request = f"license-change-request/{tenant}"
    return {
        "tenant": ({}, [5, 4, 2, 1, 0]),
        "actor": ({"actor": "user:bob"}, [1]),
        "type": ({"type": "purser.tenant.added.v1"}, [4, 0]),
        "subject": ({"subject": f"tenant/{tenant}"}, [4, 1, 0]),
        "marketplace": ({"marketplace": "m1"}, [2]),
        "correlation": ({"correlation_id": f"correlation-{tenant}"}, [5, 2, 1, 0]),
        "customer": ({"customer_id": f"customer-of-{tenant}"}, [4, 2, 1, 0]),
        "customer itself": ({"customer_id": tenant}, [5]),
        "request": ({"request_id": tenant}, [2]),
        "two": ({"subject": f"tenant/{tenant}", "actor": "user:ada"}, [4, 0]),
        "two of one kind": ({"request_id": tenant, "subject": f"tenant/{tenant}"}, []),
        "the same twice": ({"request_id": tenant, "subject": request}, [2]),
        "nothing": ({"actor": "user:nobody"}, []),
    }


@pytest.mark.parametrize("name", filters(""))
async def test_what_is_asked_for_all_holds(
    service: Any, publisher: Any, trail: list[Any], name: str
) -> None:
    wanted, left = filters(publisher.tenant)[name]
    found = await service.records(tenant_id=publisher.tenant, **wanted)
    assert [record["id"] for record in found] == [trail[number].id for number in left]


async def test_a_resellers_trail(service: Any, publisher: Any, trail: list[Any]) -> None:
    found = await service.records(reseller_id=publisher.tenant)
    assert [record["id"] for record in found] == [trail[3].id]


async def test_times_are_from_and_before(service: Any, publisher: Any, trail: list[Any]) -> None:
    since, until = trail[1].time, trail[4].time
    found = await service.records(
        tenant_id=publisher.tenant, since=since.isoformat(), until=until.isoformat()
    )
    assert [record["id"] for record in found] == [trail[2].id, trail[1].id]
    later = since + timedelta(milliseconds=1)
    found = await service.records(
        tenant_id=publisher.tenant, since=later.isoformat(), until=until.isoformat()
    )
    assert [record["id"] for record in found] == [trail[2].id]


async def test_what_was_done_about_a_store_item_is_found_within_the_scope(
    service: Any, publisher: Any
) -> None:
    month = {"type": "month", "duration": 1}
    product = {"mpn": "M", "vendor": "V", "subscription_period": month, "billing_period": month}
    seller = uuid.uuid4().hex
    item = product_id(seller, ProductIdentity.model_validate(product))
    state = {"reseller_id": seller, "product": product, "product_name": "Product"}
    mapped = await publisher.fact("license.mapped", data={"state": state}, tenantid=None)
    bought = await publisher.fact("license.purchased", data={"state": state})

    async def found(*roles: str, scope: str = "all", **more: str) -> list[str]:
        records = await service.records(roles or ("auditor",), scope, store_item=item, **more)
        return [record["id"] for record in records]

    async def both() -> bool:
        return len(await found()) == 2

    await eventually(both, within=20)
    assert await found() == [bought.id, mapped.id]
    assert await found(mpn="M", tenant_id=publisher.tenant) == [bought.id]
    assert await found(mpn="N") == []
    assert await found("viewer", scope=f"tenant/{publisher.tenant}") == [bought.id]


async def test_what_was_done_about_a_subscription_and_an_order_is_found(
    service: Any, publisher: Any
) -> None:
    seller, there = uuid.uuid4().hex, uuid.uuid4().hex
    id, order = subscription_id(seller, there), uuid.uuid4().hex
    about = {"reseller_id": seller, "marketplace_subscription_id": there}
    asked = await publisher.fact("license.change-requested", data={"state": about})
    placed = {"state": {**about, "order": {"id": order}}}
    bought = await publisher.fact("license.purchased", data=placed)
    read = await publisher.fact("subscription.changed", subject=f"subscription/{id}")
    named = {"state": {"subject": f"subscription/{id}", "operation": "switch", "code": "no"}}
    refused = await publisher.fact("action.refused", data=named)
    found = {"state": {"object": f"subscription/{id}", "kind": "vanished", "detail": "gone"}}
    opened = await publisher.fact("finding.opened", data=found)
    seen = await publisher.fact("order.observed", subject=f"order/{order}")

    async def trail(**wanted: str) -> list[str]:
        return [record["id"] for record in await service.records(**wanted)]

    async def all_there() -> bool:
        return len(await trail(tenant_id=publisher.tenant)) == 6

    await eventually(all_there, within=20)
    about_it = [one.id for one in (opened, refused, read, bought, asked)]
    assert await trail(subscription_id=id) == about_it
    assert await trail(order_id=order) == [seen.id, bought.id]
    assert await trail(order_id=order, subscription_id=id) == [bought.id]


async def test_what_was_done_for_a_tenant_is_of_the_marketplace_that_it_was_tied_to(
    service: Any, publisher: Any
) -> None:
    tie = {"marketplace": "m2", "reseller_id": "r1"}
    left = [{"pointer": "/connection", "before": tie}]
    done = [
        await publisher.fact("tenant.added", data={"state": {"marketplaces": ["m2"]}}),
        await publisher.fact("tenant.connected", data={"state": {"connection": tie}}),
        await publisher.fact("tenant.disconnected", data={"state": {}, "changes": left}),
    ]
    await publisher.fact("tenant.registered", data={"state": {"marketplaces": ["m1", "m2"]}})

    async def recorded() -> bool:
        return len(await service.records(tenant_id=publisher.tenant)) == 4

    await eventually(recorded, within=20)
    found = await service.records(tenant_id=publisher.tenant, marketplace="m2")
    assert [one["id"] for one in found] == [one.id for one in reversed(done)]


EXPORT = "/v1/exports/audit-records"


async def test_a_trail_is_exported_in_files_that_join(
    service: Any, publisher: Any, trail: list[Any]
) -> None:
    params: dict[str, Any] = {"tenant_id": publisher.tenant, "limit": 3}
    params["format"] = "jsonl"
    first = await service.call("GET", EXPORT, roles=("auditor",), params=params)
    assert first.headers["content-type"] == "application/jsonl; charset=utf-8"
    assert first.headers["content-disposition"] == 'attachment; filename="audit-records.jsonl"'
    params["cursor"] = first.headers["purser-next"]
    last = await service.call("GET", EXPORT, roles=("auditor",), params=params)
    assert "purser-next" not in last.headers
    lines = [json.loads(line) for line in (first.text + last.text).splitlines()]
    assert lines == await service.records(tenant_id=publisher.tenant)


async def test_a_spreadsheet_of_the_trail_has_no_formula_of_others(
    service: Any, publisher: Any
) -> None:
    evil = {"state": {"name": 'Contoso, "Ltd"\nand more'}}
    one = await publisher.fact(actor="=HYPERLINK(1)", data=evil)
    params = {"tenant_id": publisher.tenant, "format": "csv"}

    async def exported() -> list[dict[str, str]]:
        answer = await service.call("GET", EXPORT, roles=("auditor",), params=params)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(answer.text.splitlines(keepends=True)))
        assert rows, "it is not recorded yet"
        return rows

    (row,) = await eventually(exported, within=20)
    assert (row["id"], row["actor"], row["reseller_id"]) == (one.id, "'=HYPERLINK(1)", "")
    assert json.loads(row["data"]) == evil


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({}, "#/query/format"),
        ({"format": "xlsx"}, "#/query/format"),
        ({"format": "csv", "limit": 5_001}, "#/query/limit"),
    ],
)
async def test_an_export_that_there_is_not_is_refused_by_name(
    service: Any, params: dict[str, Any], place: str
) -> None:
    refusal = await service.call("GET", EXPORT, roles=("auditor",), params=params)
    assert refusal.status_code == 422
    assert [error["pointer"] for error in refusal.json()["errors"]] == [place]


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
async def test_pages_join_without_gap_or_repetition(
    service: Any, publisher: Any, trail: list[Any], limit: int
) -> None:
    params: dict[str, Any] = {"tenant_id": publisher.tenant, "limit": limit}
    seen: list[str] = []
    for _ in range(6):
        page = (await service.call("GET", PATH, roles=("auditor",), params=params)).json()
        assert len(page["items"]) <= limit
        seen += [record["id"] for record in page["items"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert seen == [trail[number].id for number in (5, 4, 2, 1, 0)]


@pytest.mark.parametrize(
    ("params", "status", "place"),
    [
        ({"colour": "blue"}, 422, "#/query/colour"),
        ({"limit": 0}, 422, "#/query/limit"),
        ({"limit": 201}, 422, "#/query/limit"),
        ({"since": "yesterday"}, 422, "#/query/since"),
        ({"since": "2026-01-02T00:00:00"}, 422, "#/query/since"),
        ({"cursor": "x"}, 400, None),
    ],
)
async def test_a_filter_that_is_not_one_is_refused_by_name(
    service: Any, params: dict[str, Any], status: int, place: str | None
) -> None:
    refusal = await service.call("GET", PATH, roles=("auditor",), params=params)
    assert refusal.status_code == status
    assert refusal.headers["content-type"] == "application/problem+json"
    if place:
        assert [error["pointer"] for error in refusal.json()["errors"]] == [place]


SEES: dict[str, tuple[tuple[str, ...], str, list[int]]] = {
    "an auditor of everything": (("auditor",), "all", [5, 4, 3, 2, 1, 0]),
    "a platform admin": (("platform_admin",), "all", [5, 4, 3, 2, 1, 0]),
    "an auditor of the customer": (("auditor",), "customer/customer-of-{}", [4, 3, 2, 1, 0]),
    "a viewer of the tenant": (("viewer",), "tenant/{}", [5, 4, 2, 1, 0]),
    "a requester of the customer": (("requester",), "customer/customer-of-{}", [4, 3, 2, 1, 0]),
    "a viewer of everything": (("viewer",), "all", []),
    "a purchaser of everything": (("purchaser", "price_admin"), "all", []),
    "a viewer of another tenant": (("viewer",), "tenant/other", []),
    "nobody": ((), "all", []),
}


@pytest.mark.parametrize("who", SEES)
async def test_a_caller_sees_what_is_in_its_scope(
    service: Any, publisher: Any, trail: list[Any], who: str
) -> None:
    roles, scope, left = SEES[who]
    found = await service.records(roles, scope.format(publisher.tenant), **publisher.period)
    assert [record["id"] for record in found] == [trail[number].id for number in left]
    unbounded = await service.records(roles, scope.format(publisher.tenant))
    assert scope == "all" or len(unbounded) == len(left)


async def test_a_filter_does_not_widen_the_scope(
    service: Any, publisher: Any, trail: list[Any]
) -> None:
    for wanted in ({"tenant_id": publisher.tenant}, {"customer_id": publisher.tenant}):
        assert await service.records(("viewer",), f"tenant/{uuid.uuid4().hex}", **wanted) == []


@pytest.mark.parametrize("peer", ["order", "reseller", "subscription", "tenant-connection"])
async def test_only_the_gateway_asks(service: Any, peer: str) -> None:
    refusal = await service.call("GET", PATH, roles=("auditor",), peer=peer)
    assert (refusal.status_code, refusal.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_can_be_changed_or_deleted(service: Any, method: str) -> None:
    refusal = await service.call(method, PATH, roles=("platform_admin",))
    assert (refusal.status_code, refusal.json()["code"]) == (405, "method_not_allowed")
