"""What the commands need of storage and of others."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from order_service.domain.offers import Permission, Quote, Seen, Terms
from order_service.domain.purchase import Answer, Evidence, Purchase
from purser_common.identity import Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.license import ObservedOrder
from purser_events.tenant import Tenant
from purser_events.values import ProductIdentity


class Requests(Protocol):
    """Licence change requests."""

    async def load(self, id: str) -> Loaded[Purchase]: ...
    async def find(self, id: str) -> Loaded[Purchase] | None: ...
    async def insert(
        self, purchase: Purchase, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[Purchase]: ...
    async def save(
        self,
        loaded: Loaded[Purchase],
        purchase: Purchase,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[Purchase]: ...
    async def replayed(self, id: str, request: Request) -> Loaded[Purchase] | None: ...
    async def push_evidence(self, id: str, evidence: Evidence) -> None: ...
    async def claim(self, phase: str, lease: timedelta) -> Loaded[Purchase] | None: ...
    async def extend(self, id: str, until: datetime) -> None: ...
    async def by_po(self, reseller_id: str, po_sent: str) -> Loaded[Purchase] | None: ...
    async def by_order(self, order_id: str) -> Loaded[Purchase] | None: ...
    async def watched(self, reseller_id: str) -> list[Loaded[Purchase]]: ...
    async def newest_order(self, reseller_id: str) -> str | None: ...


class Accounts(Protocol):
    """The marketplace accounts that are swept."""

    async def watch(self, reseller_id: str, due_at: datetime) -> None: ...
    async def claim(self, lease: timedelta) -> tuple[str, datetime | None] | None: ...
    async def swept(self, reseller_id: str, began: datetime, due_at: datetime) -> None: ...


class Orders(Protocol):
    """The mirror of orders that are not ours."""

    async def known(self, order_ids: Sequence[str]) -> dict[str, str]: ...
    async def observe(self, order: ObservedOrder, cause: Cause) -> None: ...


class Resellers(Protocol):
    """The reseller service."""

    async def terms(
        self, reseller_id: str, product: ProductIdentity, caller: Caller | None, cause: Cause
    ) -> Terms: ...
    async def permission(self, reseller_id: str, cause: Cause) -> Permission: ...
    async def send(
        self, purchase: Purchase, order: dict[str, Any], cause: Cause
    ) -> Answer | None: ...
    async def close(self, purchase: Purchase, cause: Cause) -> Answer: ...


class Tenants(Protocol):
    """The tenant-connection service."""

    async def tenant(self, tenant_id: str, caller: Caller | None, cause: Cause) -> Tenant: ...


class Connections(Protocol):
    """The own copy of which tenants are connected to which marketplace customer."""

    async def connected(self, reseller_id: str, customer_id: str) -> list[Tenant]: ...


class Marketplace(Protocol):
    """The marketplace, through the reseller service's pass-through."""

    async def order(self, reseller_id: str, order_id: str) -> Seen: ...
    async def listed(
        self, reseller_id: str, since: datetime
    ) -> list[tuple[str, str, datetime | None]]: ...
    async def seats(
        self, reseller_id: str, subscription_id: str, product: ProductIdentity
    ) -> int | None: ...
    async def estimate(
        self, reseller_id: str, customer_id: str, product: ProductIdentity, quantity: int
    ) -> Quote: ...
