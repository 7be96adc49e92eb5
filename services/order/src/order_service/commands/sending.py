"""Sending an order: the intent first, one send, and the answer recorded whatever happens."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from order_service.commands.ports import Accounts, Marketplace, Requests, Resellers, Tenants
from order_service.commands.spending import Purse, reserve
from order_service.domain import purchase as rules
from order_service.domain.purchase import Answer, NotSent, Purchase, Taken
from purser_common import crash
from purser_common.errors import NotFound, Problem, Unavailable, VersionConflict
from purser_common.outbox import Loaded
from purser_common.telemetry import Cause, continued
from purser_events.license import LicenseChangeRequest

SERVICE = "service:order"
NO_REST = timedelta()
AFTER_TROUBLE = timedelta(seconds=2)
OVERDUE = timedelta(seconds=5)
ASK_AGAIN_SECONDS = 5.0


@dataclass(frozen=True)
class Times:
    """The protocol's times."""

    send_within: timedelta
    lease: timedelta
    retry: timedelta


@dataclass(frozen=True)
class Counter:
    """What sending needs."""

    requests: Requests
    accounts: Accounts
    resellers: Resellers
    tenants: Tenants
    marketplace: Marketplace
    purse: Purse
    times: Times
    real_now: Callable[[], datetime]
    pause: Callable[[float], Awaitable[None]]
    keeping: Callable[[str], contextlib.AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Step:
    """One turn of a line; `sending` is what is to be sent now, if anything."""

    sending: Loaded[Purchase] | None


def cause_of(purchase: Purchase) -> Cause:
    """What a job does for a request happens under the request's correlation."""
    return Cause(SERVICE, purchase.correlation_id, causation_id=None)


async def start_next(counter: Counter) -> Step | None:
    """Write the intent of the request that is first in the line that is due; None without a line.

    One line is one account: its requests start in the order in which they were made, however many
    wait, and an account that may not send now costs one question, not one for each of them.
    """
    line = await counter.accounts.claim_line(counter.times.lease)
    if line is None:
        return None
    again: datetime | None = counter.real_now() + AFTER_TROUBLE
    try:
        loaded = await counter.requests.next_ready(line.reseller_id)
        if loaded is None:
            again = await counter.requests.ready_at(line.reseller_id)
            return Step(None)
        with continued("order.start", loaded.state.traceparent):
            sending, pause = await _start(counter, loaded, cause_of(loaded.state))
        again = counter.real_now() + pause
        return Step(sending)
    finally:
        await counter.accounts.release_line(line, again)


async def _start(
    counter: Counter, loaded: Loaded[Purchase], cause: Cause
) -> tuple[Loaded[Purchase] | None, timedelta]:
    """The request in SENDING, or None, and how long the line rests."""
    purchase = loaded.state
    if purchase.evidence:
        await counter.requests.save(loaded, *rules.adopted(purchase), cause)
        return None, NO_REST
    reseller_id = purchase.request.reseller_id
    permission = await counter.resellers.permission(reseller_id, cause)
    if permission.allowed:
        refusal = await _objection(counter, purchase, cause)
        if refusal is not None:
            await counter.requests.save(loaded, *rules.failed(purchase, *refusal), cause)
            return None, NO_REST
        named = f"{purchase.id}/{len(purchase.attempts) + 1}"
        permission = await counter.resellers.take(reseller_id, named, cause)
    if not permission.allowed:
        return None, timedelta(seconds=permission.retry_after or ASK_AGAIN_SECONDS)
    crash.point("order.send.cleared")
    now = counter.real_now()
    intent = rules.start_sending(
        purchase, now, now + counter.times.send_within, now + counter.times.lease
    )
    sending = await counter.requests.save(loaded, intent, (), cause)
    crash.point("order.send.intent_written")
    return sending, NO_REST


async def _objection(counter: Counter, purchase: Purchase, cause: Cause) -> tuple[str, str] | None:
    """What the request stands on is asked for again: it may have changed since."""
    request = purchase.request
    untied = await _untied(counter, request, cause)
    if untied is not None:
        return untied
    if request.kind == rules.CHANGE_QUANTITY:
        return await _changed_meanwhile(counter, purchase) or await reserve(counter.purse, request)
    terms = await counter.resellers.terms(request.reseller_id, request.product, None, cause)
    if terms.mapping is None:
        return "license_not_mapped", "the product's mapping was deleted"
    if terms.product_name is None:
        return "unknown_product", "the reseller no longer sells the product"
    return await reserve(counter.purse, request)


async def _untied(
    counter: Counter, request: LicenseChangeRequest, cause: Cause
) -> tuple[str, str] | None:
    """Why the tenant's connection does not carry the request any more. Raises Conflict while it is
    about to be let go of: that is soon decided, and the line rests so long."""
    try:
        tenant = await counter.tenants.tenant(request.tenant_id, None, cause)
    except NotFound:
        return "tenant_removed", "the tenant is no longer managed"
    if tenant.status == "removed":
        return "tenant_removed", "the tenant was removed"
    connection = tenant.connection
    if connection is None or (
        connection.reseller_id != request.reseller_id
        or connection.marketplace_customer_id != request.marketplace_customer_id
    ):
        return "connection_changed", "the tenant is no longer connected as it was"
    return None


async def _held_back(counter: Counter, purchase: Purchase, cause: Cause) -> NotSent | None:
    """Whether the tenant is let go of after all: asked once more now that the intent is written.

    A removal looks for what is being sent after it is saved as closing, and this looks for the closing
    after the intent is saved: of two that cross, at least one gives way (design §3).
    """
    try:
        untied = await _untied(counter, purchase.request, cause)
    except Problem as problem:
        return NotSent(problem.detail)
    return NotSent(untied[1]) if untied is not None else None


async def _changed_meanwhile(counter: Counter, purchase: Purchase) -> tuple[str, str] | None:
    """A total is only sent over the seats that it was decided on (reliability §b.2)."""
    request = purchase.request
    seats = await counter.marketplace.seats(
        request.reseller_id, request.marketplace_subscription_id or "", request.product
    )
    if seats is None:
        return "subscription_not_active", "the subscription is not active any more"
    if seats != request.expected_quantity:
        return "quantity_changed", f"it has {seats} seats, not {request.expected_quantity}"
    return None


async def carry_out(counter: Counter, sending: Loaded[Purchase]) -> Loaded[Purchase]:
    """Send what is in SENDING, once, and record what it came to."""
    cause = cause_of(sending.state)
    with continued("order.send", sending.state.traceparent):
        await counter.accounts.watch(sending.state.request.reseller_id, counter.real_now())
        async with counter.keeping(sending.state.id):
            answer = await _held_back(counter, sending.state, cause) or await _sent(
                counter, sending.state, cause
            )
            crash.point("order.send.answered")
            return await record_answer(counter, sending.state, answer, cause)


async def _sent(counter: Counter, purchase: Purchase, cause: Cause) -> Answer:
    answer = await counter.resellers.send(purchase, order_of(purchase), cause)
    return answer if answer is not None else await _closed(counter, purchase, cause)


async def queue_overdue(counter: Counter) -> bool:
    """Lines for requests that wait without one: who made them ready died before saying so."""
    for reseller_id in await counter.requests.overdue(counter.real_now() - OVERDUE):
        await counter.accounts.queue(reseller_id, counter.real_now())
    return False


async def recover_next(counter: Counter) -> Loaded[Purchase] | None:
    """Settle a send whose sender is gone: the hop says whether it left, or makes sure it never will."""
    loaded = await counter.requests.claim(rules.SENDING, counter.times.lease)
    if loaded is None:
        return None
    cause = cause_of(loaded.state)
    with continued("order.recover", loaded.state.traceparent):
        answer = await counter.resellers.close(loaded.state, cause)
        crash.point("order.recover.closed")
        return await record_answer(counter, loaded.state, answer, cause)


async def _closed(counter: Counter, purchase: Purchase, cause: Cause) -> Answer:
    """Ask until the hop answers: only it knows whether the order left."""
    delay = 0.2
    while True:
        try:
            return await counter.resellers.close(purchase, cause)
        except Unavailable:
            await counter.pause(delay)
            delay = min(delay * 2, 5.0)


async def record_answer(
    counter: Counter, sent: Purchase, answer: Answer, cause: Cause
) -> Loaded[Purchase]:
    """Write down what an attempt came to, however often it takes: what was seen is never lost."""
    delay = 0.1
    while True:
        try:
            current = await counter.requests.load(sent.id)
            if current.state.attempt.n != sent.attempt.n and not isinstance(answer, Taken):
                return current
            purchase, facts = rules.answered(
                current.state, answer, counter.real_now(), counter.times.retry
            )
            if purchase == current.state:
                return current
            saved = await counter.requests.save(current, purchase, facts, cause)
            crash.point("order.send.recorded")
            await _announce(counter, current.state, purchase, cause)
            return saved
        except (Unavailable, VersionConflict):
            await counter.pause(delay)
            delay = min(delay * 2, 5.0)


async def _announce(counter: Counter, before: Purchase, after: Purchase, cause: Cause) -> None:
    """Whoever goes on from here is told; what a crash leaves out, their own rounds find."""
    reseller_id = after.request.reseller_id
    with contextlib.suppress(Problem):
        # whatever it came to, the account has room for the next one
        await counter.accounts.queue(reseller_id, counter.real_now())
        if after.phase == rules.READY and after.due_at is not None:
            await counter.accounts.queue(reseller_id, after.due_at)
        if after.phase == rules.VERIFYING:
            # a sweep that failed meanwhile would keep the account for its whole lease
            await counter.accounts.watch(reseller_id, counter.real_now())
            await counter.resellers.unresolved(after, cause)
        elif before.phase == rules.VERIFYING:
            await counter.resellers.resolved(before, cause)


def order_of(purchase: Purchase) -> dict[str, Any]:
    """The body of POST /orders: one product, all four parts of its identity (marketplace §4).

    The quantity of a change is the new total; its subscription is named at both levels.
    """
    request = purchase.request
    product = request.product
    about = (
        {"subscriptionId": request.marketplace_subscription_id}
        if request.kind == rules.CHANGE_QUANTITY
        else {}
    )
    return {
        "type": rules.ORDER_TYPES[request.kind],
        "customerId": request.marketplace_customer_id,
        "poNumber": request.po_number_sent,
        **about,
        "products": [
            {
                **about,
                "mpn": product.mpn,
                "vendor": product.vendor,
                "subscriptionPeriod": product.subscription_period.model_dump(),
                "billingPeriod": product.billing_period.model_dump(),
                "quantity": request.quantity,
            }
        ],
    }
