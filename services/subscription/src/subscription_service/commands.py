"""Reading the marketplace into the mirror."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from purser_common import crash
from purser_common.errors import NotFound, Problem, Unavailable, VersionConflict
from purser_common.outbox import Loaded
from purser_common.telemetry import Cause, continued
from purser_events.envelope import Fact
from purser_events.subscription import Subscription
from purser_events.tenant import Tenant
from subscription_service import domain
from subscription_service.domain import MOST_FAILURES, SERVICE, Reading, Refresh


class Mirror(Protocol):
    """The mirrored subscriptions."""

    async def find(self, id: str) -> Loaded[Subscription] | None: ...
    async def insert(
        self, subscription: Subscription, facts: Sequence[Fact], cause: Cause
    ) -> Loaded[Subscription]: ...
    async def save(
        self,
        loaded: Loaded[Subscription],
        subscription: Subscription,
        facts: Sequence[Fact],
        cause: Cause,
    ) -> Loaded[Subscription]: ...
    async def read(self, id: str, at: datetime) -> None: ...


class Refreshes(Protocol):
    """What is to be read, and when."""

    async def claim(self, lease: timedelta) -> Refresh | None: ...
    async def done(self, refresh: Refresh, again: datetime | None) -> None: ...
    async def postponed(self, refresh: Refresh, until: datetime) -> None: ...


class Marketplace(Protocol):
    """The marketplace, through the reseller service."""

    async def subscription(self, reseller_id: str, id: str) -> Reading: ...
    async def subscription_ids(self, reseller_id: str, customer_id: str) -> list[str]: ...


class Connections(Protocol):
    """The own copy of which tenants are connected to which marketplace customer."""

    async def connected(self, reseller_id: str, customer_id: str) -> list[Tenant]: ...


@dataclass(frozen=True)
class Reader:
    """What reading needs."""

    mirror: Mirror
    refreshes: Refreshes
    marketplace: Marketplace
    connections: Connections
    lease: timedelta
    every: timedelta
    now: Callable[[], datetime]
    real_now: Callable[[], datetime]


async def refresh_next(reader: Reader) -> bool:
    """Do the reading that has been due longest; a failed one comes again later.

    What the marketplace keeps saying that it does not know is left to the reading of everything.
    """
    refresh = await reader.refreshes.claim(reader.lease)
    if refresh is None:
        return False
    crash.point("subscription.refresh.claimed")
    with continued("subscription.refresh", refresh.traceparent):
        try:
            await _refresh(reader, refresh)
        except (Problem, VersionConflict) as error:
            if isinstance(error, NotFound) and refresh.failures == MOST_FAILURES:
                await reader.refreshes.done(refresh, _again(reader, refresh))
                return True
            pause = min(60.0, 0.5 * 2.0**refresh.failures)
            await reader.refreshes.postponed(refresh, reader.real_now() + timedelta(seconds=pause))
            if not isinstance(error, Unavailable | NotFound | VersionConflict):
                raise
    return True


async def _refresh(reader: Reader, refresh: Refresh) -> None:
    cause = Cause(SERVICE, refresh.correlation_id, refresh.causation_id)
    owners = await reader.connections.connected(
        refresh.reseller_id, refresh.marketplace_customer_id
    )
    if not owners:
        # Nothing is lost: whoever is connected to this customer wants everything of it read.
        await reader.refreshes.done(refresh, None)
        return
    if refresh.marketplace_subscription_id is not None:
        await read_subscription(
            reader, refresh.reseller_id, refresh.marketplace_subscription_id, cause
        )
        crash.point("subscription.refresh.mirrored")
        await reader.refreshes.done(refresh, _again(reader, refresh))
        return
    ids = await reader.marketplace.subscription_ids(
        refresh.reseller_id, refresh.marketplace_customer_id
    )
    for id in ids:
        with suppress(NotFound):  # of one that is listed but not shown nothing is known this time
            await read_subscription(reader, refresh.reseller_id, id, cause)
    await reader.refreshes.done(refresh, _again(reader, refresh))


def _again(reader: Reader, refresh: Refresh) -> datetime | None:
    """Everything of a customer is read over and over, one subscription only when it is wanted."""
    return reader.real_now() + reader.every if refresh.marketplace_subscription_id is None else None


async def read_subscription(
    reader: Reader, reseller_id: str, marketplace_subscription_id: str, cause: Cause
) -> Loaded[Subscription] | None:
    """Read one subscription and keep what it says; None when it belongs to no connected tenant.

    Raises NotFound when the marketplace does not show it: once is no proof that it ended, so nothing
    is changed by that. Raises Unavailable when the marketplace cannot be asked, VersionConflict when
    another reader wrote meanwhile.
    """
    id = domain.subscription_id(reseller_id, marketplace_subscription_id)
    # Loaded before the marketplace is asked: so an older reading never overwrites a newer one.
    before = await reader.mirror.find(id)
    reading = await reader.marketplace.subscription(reseller_id, marketplace_subscription_id)
    tenants = await reader.connections.connected(reseller_id, reading.customer_id)
    tenant = domain.owner(tenants, reading.ms_customer_id)
    if tenant is None or tenant.connection is None:
        return None
    state = Subscription.model_validate(
        {
            **reading.fields,
            "id": id,
            "marketplace": tenant.connection.marketplace,
            "reseller_id": reseller_id,
            "customer_id": tenant.customer_id,
            "tenant_id": tenant.id,
            "entra_tenant_id": tenant.entra_tenant_id,
            "marketplace_customer_id": reading.customer_id,
            "marketplace_subscription_id": marketplace_subscription_id,
            "observed_at": reader.now(),
        }
    )
    crash.point("subscription.refresh.read")
    facts = domain.observed(before.state if before else None, state)
    if before is None:
        return await reader.mirror.insert(state, facts, cause)
    if not facts:
        await reader.mirror.read(id, reader.real_now())
        return before
    return await reader.mirror.save(before, state, facts, cause)


async def read_again(reader: Reader, state: Subscription, cause: Cause) -> bool:
    """Whether a mirrored subscription could be read again; if not, its last known state stays."""
    for _ in range(3):
        try:
            read = await read_subscription(
                reader, state.reseller_id, state.marketplace_subscription_id, cause
            )
        except VersionConflict:
            continue  # another reader was faster, perhaps with an older reading
        except (Unavailable, NotFound):
            break
        return read is not None
    return False


class Openings:
    """Reading again of what is opened: one read in flight per object, shared by who opens it meanwhile.

    It is of this process; across processes the account's read budget holds. Whoever insists on a
    refresh is not served with a read that began before.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._flights: dict[str, asyncio.Task[bool]] = {}

    async def read(self, state: Subscription, cause: Cause) -> bool:
        """Whether it could be read again."""
        flight = self._flights.get(state.id)
        if flight is None:
            flight = asyncio.create_task(read_again(self._reader, state, cause))
            self._flights[state.id] = flight
            flight.add_done_callback(lambda _: self._flights.pop(state.id))
        # one caller that gives up must not take the reading from the others
        return await asyncio.shield(flight)
