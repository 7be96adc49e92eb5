"""Reading single subscriptions of the marketplace into the mirror."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from purser_common import crash
from purser_common.errors import NotFound, Unavailable, VersionConflict
from purser_common.outbox import Loaded
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.price import PricePlan
from purser_events.subscription import Subscription, subscription_id
from purser_events.tenant import Tenant
from purser_events.values import Money, product_id
from subscription_service.commands.finding import Findings, settle
from subscription_service.domain import mirror as rules
from subscription_service.domain.finding import Found
from subscription_service.domain.mirror import Known, Listed, Reading, Refresh, Whose
from subscription_service.domain.price import own_prices


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
        read_at: datetime | None,
    ) -> Loaded[Subscription]: ...
    async def read(self, id: str, at: datetime) -> None: ...


class Refreshes(Protocol):
    """What is to be read, and when."""

    async def claim(self, lease: timedelta) -> Refresh | None: ...
    async def hold(self, refresh: Refresh, lease: timedelta) -> None: ...
    async def done(self, refresh: Refresh, again: datetime | None) -> None: ...
    async def postponed(self, refresh: Refresh, until: datetime) -> None: ...


class Readings(Protocol):
    """What is remembered of the last reading of each subscription."""

    async def of_customer(self, reseller_id: str, customer_id: str) -> list[Known]: ...
    async def note(self, known: Known) -> None: ...
    async def settled(self, id: str, whose: str) -> None: ...
    async def missed(self, id: str, times: int) -> None: ...
    async def forget(self, id: str) -> None: ...


class Days(Protocol):
    """Seats and prices of each option, day by day."""

    async def record(
        self,
        subscription: Subscription,
        prices: Sequence[Money | None],
        costs: Sequence[Money | None],
        day: date,
        read_at: datetime,
    ) -> None: ...


class Marketplace(Protocol):
    """The marketplace, through the reseller service."""

    async def own_costs(self, reseller_id: str) -> bool: ...
    async def subscription(self, reseller_id: str, id: str) -> Reading: ...
    async def subscriptions(self, reseller_id: str, customer_id: str) -> list[Listed]: ...


class Prices(Protocol):
    """The own copy of the prices that resellers have set."""

    async def plans(self, ids: Iterable[str]) -> dict[str, PricePlan]: ...


class Connections(Protocol):
    """The own copy of which tenants are connected to which marketplace customer."""

    async def connected(self, reseller_id: str, customer_id: str) -> list[Tenant]: ...


@dataclass(frozen=True)
class Reader:
    """What reading needs."""

    mirror: Mirror
    refreshes: Refreshes
    readings: Readings
    findings: Findings
    days: Days
    marketplace: Marketplace
    connections: Connections
    prices: Prices
    lease: timedelta
    every: timedelta
    detail_every: timedelta
    now: Callable[[], datetime]
    real_now: Callable[[], datetime]


async def read_subscription(
    reader: Reader,
    reseller_id: str,
    marketplace_subscription_id: str,
    cause: Cause,
    listed: Listed | None = None,
) -> Loaded[Subscription] | None:
    """Read one subscription and keep what it says; None when it belongs to no connected tenant.

    `listed` is its row, where a list led here. Raises NotFound when the marketplace does not show it:
    once is no proof that it ended, so nothing is changed by that. Raises Unavailable when the
    marketplace cannot be asked, VersionConflict when another reader wrote meanwhile.
    """
    id = subscription_id(reseller_id, marketplace_subscription_id)
    # Loaded before the marketplace is asked: so an older reading never overwrites a newer one.
    before = await reader.mirror.find(id)
    read_at = reader.real_now()
    own_costs = await reader.marketplace.own_costs(reseller_id)
    reading = await reader.marketplace.subscription(reseller_id, marketplace_subscription_id)
    tenants = await reader.connections.connected(reseller_id, reading.customer_id)
    whose = rules.owner(tenants, reading.ms_customer_id)
    known = Known(
        id,
        reseller_id,
        reading.customer_id,
        marketplace_subscription_id,
        reading.ms_customer_id,
        whose.key,
        listed.row if listed else None,
        reader.now().date(),
        read_at,
    )
    crash.point("subscription.refresh.read")
    if whose.tenant is None:
        mirrored = None
        await release(reader, before, cause)
    else:
        mirrored = await _mirrored(reader, before, known, whose.tenant, reading, cause)
        crash.point("subscription.refresh.mirrored")
        costs = reading.costs if own_costs else ()
        await _record(reader, mirrored.state, costs, known)
    await settle(reader.findings, id, finding_of(known, whose, tenants), reader.now(), cause)
    await reader.readings.note(known)
    return mirrored


async def _mirrored(
    reader: Reader,
    before: Loaded[Subscription] | None,
    known: Known,
    tenant: Tenant,
    reading: Reading,
    cause: Cause,
) -> Loaded[Subscription]:
    assert tenant.connection is not None  # noqa: S101  it is found by its connection
    state = Subscription.model_validate(
        {
            **reading.fields,
            "id": known.id,
            "marketplace": tenant.connection.marketplace,
            "reseller_id": known.reseller_id,
            "customer_id": tenant.customer_id,
            "tenant_id": tenant.id,
            "entra_tenant_id": tenant.entra_tenant_id,
            "marketplace_customer_id": known.marketplace_customer_id,
            "marketplace_subscription_id": known.marketplace_subscription_id,
            "observed_at": reader.now(),
        }
    )
    facts = rules.observed(before.state if before else None, state)
    if before is None:
        return await reader.mirror.insert(state, facts, cause)
    if not facts:
        await reader.mirror.read(known.id, reader.real_now())
        return before
    return await reader.mirror.save(before, state, facts, cause, reader.real_now())


async def _record(
    reader: Reader, state: Subscription, costs: Sequence[Money | None], known: Known
) -> None:
    ids = [product_id(state.reseller_id, option.product) for option in state.options]
    prices = own_prices(state, await reader.prices.plans(ids))
    await reader.days.record(state, prices, costs, known.read_on, known.read_at)


async def release(reader: Reader, before: Loaded[Subscription] | None, cause: Cause) -> None:
    """Keep a mirrored subscription with the tenant that it was of, and say that it is so no more."""
    if before is None or not before.state.connected:
        return
    state = rules.released(before.state)
    await reader.mirror.save(before, state, rules.observed(before.state, state), cause, None)


def finding_of(known: Known, whose: Whose, tenants: Sequence[Tenant]) -> Found | None:
    """What is found when a subscription has no owner among the tenants that are connected."""
    if whose.kind is None:
        return None
    connection = tenants[0].connection
    customers = {tenant.customer_id for tenant in tenants}
    return Found(
        kind=whose.kind,
        subscription_id=known.id,
        marketplace=connection.marketplace if connection else "",
        reseller_id=known.reseller_id,
        marketplace_customer_id=known.marketplace_customer_id,
        marketplace_subscription_id=known.marketplace_subscription_id,
        customer_id=customers.pop() if len(customers) == 1 else None,
        ms_customer_id=known.ms_customer_id,
    )


async def read_again(reader: Reader, state: Subscription, cause: Cause) -> bool:
    """Whether a mirrored subscription could be read again; if not, its last known state stays.

    One whose tenant is not connected any more is not even tried.
    """
    for _ in range(3 if state.connected else 0):
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
