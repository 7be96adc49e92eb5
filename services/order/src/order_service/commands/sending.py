"""Sending an order: the intent first, one send, and the answer recorded whatever happens."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from order_service.commands.ports import Accounts, Requests, Resellers, Tenants
from order_service.domain import purchase as rules
from order_service.domain.purchase import Answer, Purchase, Taken
from purser_common import crash
from purser_common.errors import Conflict, NotFound, Unavailable, VersionConflict
from purser_common.outbox import Loaded
from purser_common.telemetry import Cause, continued

SERVICE = "service:order"


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
    times: Times
    real_now: Callable[[], datetime]
    pause: Callable[[float], Awaitable[None]]
    keeping: Callable[[str], contextlib.AbstractAsyncContextManager[None]]


def cause_of(purchase: Purchase) -> Cause:
    """What a job does for a request happens under the request's correlation."""
    return Cause(SERVICE, purchase.correlation_id, causation_id=None)


async def send_next(counter: Counter) -> Loaded[Purchase] | None:
    """Send the order that has been ready longest; None when there is none."""
    loaded = await counter.requests.claim(rules.READY, counter.times.lease)
    if loaded is None:
        return None
    with continued("order.send", loaded.state.traceparent):
        return await _send_if_allowed(counter, loaded, cause_of(loaded.state))


async def _send_if_allowed(
    counter: Counter, loaded: Loaded[Purchase], cause: Cause
) -> Loaded[Purchase]:
    permission = await counter.resellers.permission(loaded.state.request.reseller_id, cause)
    if not permission.allowed:
        again = counter.real_now() + timedelta(seconds=permission.retry_after or 5)
        await counter.requests.extend(loaded.state.id, again)
        return loaded
    refusal = await _objection(counter, loaded.state, cause)
    if refusal is not None:
        purchase, facts = rules.failed(loaded.state, *refusal)
        return await counter.requests.save(loaded, purchase, facts, cause)
    return await _send(counter, loaded, cause)


async def _objection(counter: Counter, purchase: Purchase, cause: Cause) -> tuple[str, str] | None:
    """Mapping and connection are asked for again: they may have changed since the request."""
    request = purchase.request
    try:
        tenant = await counter.tenants.tenant(request.tenant_id, None, cause)
    except NotFound:
        return "tenant_removed", "the tenant is no longer managed"
    connection = tenant.connection
    if connection is None or (
        connection.reseller_id != request.reseller_id
        or connection.marketplace_customer_id != request.marketplace_customer_id
    ):
        return "connection_changed", "the tenant is no longer connected as it was"
    terms = await counter.resellers.terms(request.reseller_id, request.product, None, cause)
    if terms.mapping is None:
        return "license_not_mapped", "the product's mapping was deleted"
    if terms.product_name is None:
        return "unknown_product", "the reseller no longer sells the product"
    return None


async def _send(counter: Counter, loaded: Loaded[Purchase], cause: Cause) -> Loaded[Purchase]:
    crash.point("order.send.cleared")
    now = counter.real_now()
    try:
        intent = rules.start_sending(
            loaded.state, now, now + counter.times.send_within, now + counter.times.lease
        )
    except Conflict:
        return await _link_evidence(counter, loaded, cause)
    sending = await counter.requests.save(loaded, intent, (), cause)
    crash.point("order.send.intent_written")
    await counter.accounts.watch(intent.request.reseller_id, now)
    async with counter.keeping(intent.id):
        answer = await counter.resellers.send(sending.state, order_of(sending.state), cause)
        if answer is None:
            answer = await _closed(counter, sending.state, cause)
        crash.point("order.send.answered")
        return await record_answer(counter, sending.state, answer, cause)


async def _link_evidence(
    counter: Counter, loaded: Loaded[Purchase], cause: Cause
) -> Loaded[Purchase]:
    purchase, facts = rules.adopted(loaded.state)
    return await counter.requests.save(loaded, purchase, facts, cause)


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
            if purchase.phase == rules.VERIFYING:
                # a sweep that failed meanwhile would keep the account for its whole lease
                await counter.accounts.watch(purchase.request.reseller_id, counter.real_now())
            return saved
        except (Unavailable, VersionConflict):
            await counter.pause(delay)
            delay = min(delay * 2, 5.0)


def order_of(purchase: Purchase) -> dict[str, Any]:
    """The body of POST /orders: one product, all four parts of its identity (marketplace §4)."""
    request = purchase.request
    product = request.product
    return {
        "type": "sales",
        "customerId": request.marketplace_customer_id,
        "poNumber": request.po_number_sent,
        "products": [
            {
                "mpn": product.mpn,
                "vendor": product.vendor,
                "subscriptionPeriod": product.subscription_period.model_dump(),
                "billingPeriod": product.billing_period.model_dump(),
                "quantity": request.quantity,
            }
        ],
    }
