"""What stands in the way of letting go of a tenant or a reseller."""

from dataclasses import replace
from typing import Any

import pytest
from examples import license_request

from order_service import store
from order_service.domain import purchase as rules
from order_service.domain.purchase import Evidence
from order_service.views import Views
from purser_common.clock import real_now
from purser_common.mongo import Database
from purser_common.outbox import Request
from purser_common.telemetry import Cause

CAUSE = Cause("user:tester", "correlation-1")


@pytest.fixture
def views(database: Database) -> Views:
    return Views(database)


async def kept(requests: store.Requests, n: int, phase: str, **changed: Any) -> str:
    """A request in this phase."""
    id = f"6f1c7c0e-2d3b-5f4a-9c8d-{n:012x}"
    product = license_request().product.model_copy(update={"mpn": f"M{n}"})
    request = license_request(id=id, product=product, po_number_sent=f"PO-{n}", **changed)
    purchase, facts = rules.requested(request, "correlation-1", None, real_now())
    purchase = replace(purchase, phase=phase)
    await requests.insert(purchase, facts, CAUSE, Request("user:tester", "buy", id, id))
    return id


async def test_what_has_not_ended_is_open_and_says_whether_it_may_be_at_the_marketplace(
    requests: store.Requests, views: Views
) -> None:
    phases = sorted(rules.TRANSITIONS)
    ids = {phase: await kept(requests, n, phase, tenant_id="t1") for n, phase in enumerate(phases)}
    await kept(requests, 99, rules.READY, tenant_id="t2", reseller_id="another")
    found = {one["id"]: one for one in await views.open_requests({"tenant_id": "t1"})}
    ended = {"completed", "failed", "cancelled", "withdrawn", "duplicate_suspected"}
    assert set(found) == {ids[phase] for phase in phases if phase not in ended}
    assert {id for id, one in found.items() if not one["sent"]} == {ids[rules.READY]}
    assert {one["tenant_id"] for one in found.values()} == {"t1"}
    (other,) = await views.open_requests({"reseller_id": "another"})
    assert other["status"] == "placing"


async def test_a_request_whose_order_was_seen_was_sent(
    requests: store.Requests, views: Views
) -> None:
    id = await kept(requests, 1, rules.READY, tenant_id="t1")
    await requests.push_evidence(id, Evidence("o1", "reference", real_now(), "service:order"))
    assert [one["sent"] for one in await views.open_requests({"tenant_id": "t1"})] == [True]


@pytest.mark.parametrize(("there", "then"), [("ready", "placed"), ("sending", "ready")])
async def test_a_request_that_moves_while_they_are_read_is_open(
    there: str, then: str, requests: store.Requests, database: Database
) -> None:
    id = await kept(requests, 1, there, tenant_id="t1")
    views = Views(database)
    reads = 0

    class Moving:
        """The collection, in which the request moves after the first read."""

        def find(self, *asked: Any) -> Any:
            nonlocal reads
            reads += 1
            found = collection.find(*asked)
            return Late(found) if reads == 1 else found

    class Late:
        def __init__(self, found: Any) -> None:
            self._found = found

        def limit(self, limit: int) -> "Late":
            self._found = self._found.limit(limit)
            return self

        async def to_list(self, length: int) -> Any:
            found = await self._found.to_list(length)
            await collection.update_one({"_id": id}, {"$set": {"phase": then}})
            return found

    collection = database[store.REQUESTS]
    views._requests = Moving()
    assert [one["id"] for one in await views.open_requests({"tenant_id": "t1"})] == [id]
