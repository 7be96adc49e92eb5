"""A tenant is removed: what waits is withdrawn, what may be at the marketplace goes its way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from examples import NOW, license_request

from order_service import store
from order_service.clients import Tenants
from order_service.commands.sending import Times, carry_out
from order_service.commands.withdrawing import withdraw_waiting
from order_service.domain import purchase as rules
from order_service.domain.purchase import Evidence, Purchase, Taken
from purser_common.clock import real_now
from purser_common.errors import Conflict, Problem, Unavailable
from purser_common.mongo import Database
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from purser_events.license import MarketplaceOrder
from purser_events.tenant import Connection, Consent, Tenant

CAUSE = Cause("user:admin", "correlation-1", "fact-1")
SECOND = timedelta(seconds=1)
ORDER = MarketplaceOrder(id="1000201", number="SO000012", status="submitted")


async def kept(requests: store.Requests, n: int, **changed: Any) -> Loaded[Purchase]:
    """A request that waits to be sent."""
    id = f"6f1c7c0e-2d3b-5f4a-9c8d-{n:012x}"
    product = license_request().product.model_copy(update={"mpn": f"M{n}"})
    request = license_request(id=id, product=product, po_number_sent=f"PO-{n}", **changed)
    purchase, facts = rules.requested(request, "correlation-1", None, real_now())
    return await requests.insert(purchase, facts, CAUSE, Request("user:a", "buy", id, id))


async def sending(requests: store.Requests, loaded: Loaded[Purchase]) -> Loaded[Purchase]:
    now = real_now()
    started = rules.start_sending(loaded.state, now, now + 20 * SECOND, now + 15 * SECOND)
    return await requests.save(loaded, started, (), CAUSE)


async def test_only_what_waits_for_the_removed_tenant_is_withdrawn(
    requests: store.Requests, database: Database
) -> None:
    waits = await kept(requests, 1)
    others = [
        await sending(requests, await kept(requests, 2)),
        await kept(requests, 3, tenant_id="t2"),
        await kept(requests, 4, requested_at=NOW + SECOND),  # of the tenant that came back
        await kept(requests, 5),
    ]
    seen = Evidence(ORDER.id, "reference", NOW, "service:order")
    await requests.push_evidence(others[-1].state.id, seen)
    for _ in range(2):
        await withdraw_waiting(requests, "t1", NOW, CAUSE)
    after = await requests.load(waits.state.id)
    assert (after.state.phase, after.state.request.status) == ("withdrawn", "withdrawn")
    assert after.sequence == waits.sequence + 1
    document = await database[store.REQUESTS].find_one({"_id": waits.state.id})
    assert document is not None
    assert document["outbox"][-1]["topic"] == "license.change-withdrawn"
    assert b"fact-1" in document["outbox"][-1]["value"]
    assert "slot_buy" not in document
    for other in others:
        assert (await requests.load(other.state.id)).state.phase == other.state.phase


async def test_an_order_of_a_withdrawn_request_is_linked_when_it_shows_up(
    requests: store.Requests,
) -> None:
    withdrawn, _ = rules.withdrawn((await kept(requests, 1)).state, "user:a", "removed")
    placed, facts = rules.taken(withdrawn, ORDER, "reference", NOW, "service:order")
    assert (placed.phase, placed.late, placed.slot_buy) == (rules.PLACED, True, None)
    assert [fact.TOPIC for fact in facts] == ["order.placed"]


def tenant(**changed: Any) -> Tenant:
    request = license_request()
    tie = Connection(
        marketplace=request.marketplace,
        reseller_id=request.reseller_id,
        marketplace_customer_id=request.marketplace_customer_id,
        marketplace_customer_name="Northwind",
        connected_at=NOW,
    )
    plain = {
        "id": "t1",
        "customer_id": "c1",
        "entra_tenant_id": "e1",
        "name": "Head office",
        "domain": "a.example.com",
        "consent": Consent(status="granted"),
        "marketplaces": (request.marketplace,),
        "connection": tie,
        "registered_at": NOW,
    }
    return Tenant.model_validate(plain | changed)


def counter(requests: store.Requests, found: Tenant | Problem, sent: list[str]) -> Any:
    """A sender whose tenant is found like this, and which notes what it sends."""

    async def asked(*_: Any) -> Tenant:
        if isinstance(found, Problem):
            raise found
        return found

    async def send(purchase: Purchase, *_: Any) -> Taken:
        sent.append(purchase.id)
        return Taken(ORDER)

    async def nothing(*_: Any) -> None:
        return None

    @asynccontextmanager
    async def keeping(_: str) -> AsyncIterator[None]:
        yield

    return SimpleNamespace(
        requests=requests,
        accounts=SimpleNamespace(watch=nothing, queue=nothing),
        tenants=SimpleNamespace(tenant=asked),
        resellers=SimpleNamespace(send=send),
        times=Times(20 * SECOND, 15 * SECOND, SECOND),
        real_now=real_now,
        pause=nothing,
        keeping=keeping,
    )


async def test_an_intent_that_crossed_a_removal_is_not_sent(requests: store.Requests) -> None:
    gone: list[Tenant | Problem] = [
        Conflict("closing", code="tenant_closing"),
        Unavailable("away"),
        tenant(status="removed", connection=None, marketplaces=()),
        tenant(connection=None),
    ]
    sent: list[str] = []
    for n, found in enumerate(gone):
        started = await sending(requests, await kept(requests, n))
        after = await carry_out(counter(requests, found, sent), started)
        assert after.state.phase == rules.READY
        assert after.state.attempt.outcome == "not_sent"
    assert sent == []


async def test_an_intent_whose_tenant_stays_is_sent(requests: store.Requests) -> None:
    sent: list[str] = []
    started = await sending(requests, await kept(requests, 1))
    after = await carry_out(counter(requests, tenant(), sent), started)
    assert (after.state.phase, sent) == (rules.PLACED, [started.state.id])


async def test_a_tenant_that_is_about_to_go_refuses_what_would_build_on_it() -> None:
    async def json(*_: Any, **__: Any) -> Any:
        return {"state": tenant().model_dump(mode="json"), "closing": True, "pending": False}

    peer: Any = SimpleNamespace(json=json)
    with pytest.raises(Conflict) as refusal:
        await Tenants(peer).tenant("t1", None, CAUSE)
    assert (refusal.value.code, refusal.value.retry_after) == ("tenant_closing", 2.0)


@pytest.mark.parametrize("phase", sorted(set(rules.TRANSITIONS) - {rules.READY}))
def test_nothing_but_what_waits_can_be_withdrawn(phase: str) -> None:
    purchase, _ = rules.requested(license_request(), "correlation-1", None, NOW)
    other = replace(purchase, phase=phase)
    assert rules.withdrawn(other, "user:a", "removed") == (other, ())
