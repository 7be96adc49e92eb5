"""Order's own copy of which tenant is connected to which marketplace customer."""

from datetime import UTC, datetime
from typing import Any

import pytest

from order_service import store
from purser_common.mongo import Database
from purser_events.envelope import Envelope, envelop
from purser_events.tenant import Connection, Consent, Tenant, TenantConnected, TenantFact

NOW = datetime(2026, 2, 3, 12, tzinfo=UTC)


@pytest.fixture
def connections(database: Database) -> store.Connections:
    return store.Connections(database)


def told(id: str, sequence: int, customer: str | None) -> Envelope[TenantFact]:
    """A fact about a tenant that is connected to this marketplace customer, or to none."""
    connection = Connection(
        marketplace="ingram-micro-xvantage",
        reseller_id="r1",
        marketplace_customer_id=customer or "",
        marketplace_customer_name="Northwind Traders",
        connected_at=NOW,
    )
    tenant = Tenant(
        id=id,
        customer_id="c1",
        entra_tenant_id="e1",
        name="Head office",
        domain="northwind.example",
        consent=Consent(status="granted"),
        marketplaces=("ingram-micro-xvantage",),
        connection=connection if customer else None,
        registered_at=NOW,
    )
    envelope: Any = envelop(
        TenantConnected(state=tenant),
        source="purser/tenant-connection",
        subject=f"tenant/{id}",
        sequence=sequence,
        time=NOW,
        actor="user:admin",
        correlation_id="correlation-1",
    )
    return envelope


async def of(connections: store.Connections, customer: str, reseller: str = "r1") -> list[str]:
    connected = await connections.connected(reseller)
    return sorted(tenant.id for tenant in connected.get(customer, []))


async def test_a_tenant_is_found_by_what_it_is_connected_to_now(
    connections: store.Connections,
) -> None:
    await connections.keep([told("t1", 5, "100"), told("t2", 5, "100"), told("t3", 5, None)])
    assert await of(connections, "100") == ["t1", "t2"]
    assert await of(connections, "100", "r2") == []
    await connections.keep([told("t1", 6, "200"), told("t2", 6, None)])
    assert await of(connections, "100") == []
    assert await of(connections, "200") == ["t1"]


async def test_a_late_fact_connects_nobody_again(connections: store.Connections) -> None:
    await connections.keep([told("t1", 6, None)])
    await connections.keep([told("t1", 5, "100"), told("t1", 6, None)])
    assert await of(connections, "100") == []
