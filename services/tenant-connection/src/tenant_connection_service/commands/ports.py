"""What the commands need of storage and of others, and how they write a tenant."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from purser_common.errors import VersionConflict
from purser_common.identity import ROLES, Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.tenant import Customer, Tenant
from tenant_connection_service.domain.bulk import Directory
from tenant_connection_service.domain.connection import OpenRequest
from tenant_connection_service.domain.tenants import (
    Closing,
    ConsentAsked,
    Decision,
    ManagedTenant,
)

ATTEMPTS = 3
SERVICE = "service:tenant-connection"
STEWARDS = ("credential_admin",)
"""Who manages customers and tenants, beside platform admins; for all customers or not at all."""


class Customers(Protocol):
    """Customers of the MSP."""

    async def load(self, id: str) -> Loaded[Customer]: ...
    async def insert(
        self, customer: Customer, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[Customer]: ...
    async def save(
        self, loaded: Loaded[Customer], customer: Customer, facts: Sequence[Fact], cause: Cause
    ) -> Loaded[Customer]: ...
    async def imported(
        self, reseller_id: str, marketplace_customer_id: str
    ) -> Loaded[Customer] | None: ...
    async def relied_on(self, id: str) -> bool: ...


class Tenants(Protocol):
    """Tenants."""

    async def load(self, id: str) -> Loaded[ManagedTenant]: ...
    async def insert(
        self, managed: ManagedTenant, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[ManagedTenant]: ...
    async def save(
        self,
        loaded: Loaded[ManagedTenant],
        managed: ManagedTenant,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[ManagedTenant]: ...
    async def replayed(self, id: str, request: Request) -> Loaded[ManagedTenant] | None: ...
    async def claim_pending(self, lease: timedelta) -> Loaded[ManagedTenant] | None: ...
    async def of_customer(self, customer_id: str) -> list[dict[str, str]]: ...
    async def left(self, customer_id: str, entra_id: str) -> Loaded[ManagedTenant] | None: ...
    async def registered(self, entra_ids: Sequence[str]) -> list[ManagedTenant]: ...
    async def at(self, reseller_id: str, marketplace_customer_id: str) -> list[Tenant]: ...
    async def asked(self, nonce: str) -> tuple[Loaded[ManagedTenant], ConsentAsked]: ...


class Resellers(Protocol):
    """The reseller service, called for a caller or, by a job, for this service itself."""

    async def exists(self, reseller_id: str, caller: Caller | None, cause: Cause) -> bool: ...
    async def customer_name(
        self, reseller_id: str, customer_id: str, caller: Caller | None, cause: Cause
    ) -> str | None: ...


class Marketplace(Protocol):
    """The marketplace, through the reseller service's pass-through."""

    async def directories(self, reseller_id: str, customer_id: str) -> tuple[Directory, ...]: ...


class Orders(Protocol):
    """The order service."""

    async def open_requests(
        self, tenant_id: str, caller: Caller | None, cause: Cause
    ) -> list[OpenRequest]: ...


class Microsoft(Protocol):
    """Microsoft's login and Graph."""

    def consent_url(self, entra_tenant_id: str, state: str) -> str: ...
    async def consented(self, entra_tenant_id: str) -> bool: ...


class States(Protocol):
    """Signs and reads what travels through the consent's redirect."""

    def sign(self, tenant_id: str, nonce: str, expires_at: datetime) -> str: ...
    def read(self, state: str, now: datetime) -> tuple[str, str]: ...


@dataclass(frozen=True)
class Office:
    """What the commands need."""

    customers: Customers
    tenants: Tenants
    resellers: Resellers
    marketplace: Marketplace
    orders: Orders
    microsoft: Microsoft
    states: States
    now: Callable[[], datetime]
    real_now: Callable[[], datetime]
    settle_after: timedelta

    def closing(self, of: str, cause: Cause) -> Closing:
        """A mark that something is about to be let go of, good until this caller counts as dead."""
        until = self.real_now() + self.settle_after
        return Closing(of, until, cause.actor, cause.correlation_id)


def manage(caller: Caller, managed: ManagedTenant) -> None:
    """Raises NotFound for a tenant that the caller may not even see, Forbidden for one it may not manage."""
    caller.require(*ROLES, customer=managed.tenant.customer_id, tenant=managed.tenant.id)
    caller.require(*STEWARDS)


async def change(
    office: Office,
    tenant_id: str,
    cause: Cause,
    decide: Callable[[ManagedTenant], Awaitable[Decision]],
    request: Request | None = None,
) -> Loaded[ManagedTenant]:
    """Write what is decided on a tenant's state."""

    async def of(loaded: Loaded[ManagedTenant]) -> Decision:
        return await decide(loaded.state)

    return await write(office, tenant_id, cause, of, request)


async def write(
    office: Office,
    tenant_id: str,
    cause: Cause,
    decide: Callable[[Loaded[ManagedTenant]], Awaitable[Decision]],
    request: Request | None = None,
) -> Loaded[ManagedTenant]:
    """Load, decide, save; decide again when somebody wrote meanwhile. Raises VersionConflict."""
    for _ in range(ATTEMPTS):
        loaded = await office.tenants.load(tenant_id)
        managed, facts = await decide(loaded)
        if managed == loaded.state and not facts:
            return loaded
        try:
            return await office.tenants.save(loaded, managed, facts, cause, request)
        except VersionConflict:
            continue
    raise VersionConflict(tenant_id)
