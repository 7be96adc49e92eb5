"""Reading again what is due: one subscription, or what is new of all of a marketplace customer."""

from contextlib import suppress
from datetime import datetime, timedelta

from purser_common import crash
from purser_common.errors import NotFound, Problem, Unavailable, VersionConflict
from purser_common.telemetry import Cause, continued
from purser_events.subscription import subscription_id
from purser_events.tenant import Tenant
from subscription_service.commands.finding import settle
from subscription_service.commands.reading import Reader, finding_of, read_subscription, release
from subscription_service.domain import mirror as rules
from subscription_service.domain.finding import VANISHED, Found
from subscription_service.domain.mirror import ENDED, MOST_FAILURES, SERVICE, Known, Listed, Refresh

GONE_AFTER = 2
"""So many lists in a row that lack a subscription are a reason to ask for it: one may just omit it."""


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
    if refresh.marketplace_subscription_id is None:
        await _refresh_all(reader, refresh, owners, cause)
        return
    if not owners:
        # Nothing is lost: whoever is connected to this customer wants everything of it read.
        await reader.refreshes.done(refresh, None)
        return
    await read_subscription(reader, refresh.reseller_id, refresh.marketplace_subscription_id, cause)
    await reader.refreshes.done(refresh, _again(reader, refresh))


async def _refresh_all(
    reader: Reader, refresh: Refresh, owners: list[Tenant], cause: Cause
) -> None:
    """Let go of what is nobody's any more, read what a list says is new, and miss what it lacks."""
    customer = (refresh.reseller_id, refresh.marketplace_customer_id)
    known = {one.id: one for one in await reader.readings.of_customer(*customer)}
    for one in known.values():
        await _let_go(reader, one, owners, cause)
    if not owners:
        await reader.refreshes.done(refresh, None)
        return
    # Whole before anything is read: a list that breaks off says nothing of what it lacks.
    listed = {
        subscription_id(refresh.reseller_id, row.id): row
        for row in await reader.marketplace.subscriptions(*customer)
    }
    held = reader.real_now()
    for row in _due(reader, listed, known, owners):
        if reader.real_now() - held > reader.lease / 3:
            held = reader.real_now()
            await reader.refreshes.hold(refresh, reader.lease)
        with suppress(NotFound):  # of one that is listed but not shown nothing is known this time
            await read_subscription(reader, refresh.reseller_id, row.id, cause, row)
    for id in known.keys() - listed.keys():
        await _miss(reader, known[id], cause)
    await reader.refreshes.done(refresh, _again(reader, refresh))


def _due(
    reader: Reader, listed: dict[str, Listed], known: dict[str, Known], owners: list[Tenant]
) -> list[Listed]:
    """What must be read, as the list has it, newest first; what has ended comes last."""
    today, older_than = reader.now().date(), reader.real_now() - reader.detail_every
    found = []
    for id, row in listed.items():
        before = known.get(id)
        whose = rules.owner(owners, before.ms_customer_id if before else None)
        if rules.due(row, before, whose, today, older_than):
            found.append(row)
    return sorted(found, key=lambda row: row.ended)


async def _let_go(reader: Reader, known: Known, owners: list[Tenant], cause: Cause) -> None:
    """What is no tenant's any more needs no reading to be so."""
    whose = rules.owner(owners, known.ms_customer_id)
    if whose.tenant is not None or whose.key == known.whose:
        return
    await release(reader, await reader.mirror.find(known.id), cause)
    found = finding_of(known, whose, owners)
    await settle(reader.findings, known.id, found, reader.now(), cause)
    await reader.readings.settled(known.id, whose.key)


async def _miss(reader: Reader, known: Known, cause: Cause) -> None:
    """Count a list that lacks it; when the next one does too and it is not shown, it has vanished."""
    await reader.readings.missed(known.id, known.missing + 1)
    if known.missing + 1 < GONE_AFTER:
        return
    mirrored = await reader.mirror.find(known.id)
    if mirrored is None or not mirrored.state.connected or mirrored.state.status in ENDED:
        # The end that it was seen to have, or nobody's: there is nothing to miss.
        await settle(reader.findings, known.id, None, reader.now(), cause)
        await reader.readings.forget(known.id)
        return
    try:
        await read_subscription(reader, known.reseller_id, known.marketplace_subscription_id, cause)
    except NotFound:
        state = mirrored.state
        found = Found(
            kind=VANISHED,
            subscription_id=known.id,
            marketplace=state.marketplace,
            reseller_id=known.reseller_id,
            marketplace_customer_id=known.marketplace_customer_id,
            marketplace_subscription_id=known.marketplace_subscription_id,
            customer_id=state.customer_id,
            tenant_id=state.tenant_id,
        )
        await settle(reader.findings, known.id, found, reader.now(), cause)


def _again(reader: Reader, refresh: Refresh) -> datetime | None:
    """Everything of a customer is read over and over, one subscription only when it is wanted."""
    return reader.real_now() + reader.every if refresh.marketplace_subscription_id is None else None
