"""Executes orders: checks, reserves ids, journals, takes in."""

from datetime import datetime, timedelta
from typing import Any

from purser_sandbox.marketplace.access import Caller
from purser_sandbox.marketplace.errors import Refused
from purser_sandbox.marketplace.lines import (
    line_bodies,
    quantity_of,
    read_lines,
    subscription_line,
    tenant_for,
    with_dependencies,
)
from purser_sandbox.marketplace.pricing import customer_price
from purser_sandbox.marketplace.requests import check_fields
from purser_sandbox.marketplace.views import product_identity
from purser_sandbox.world.records import Customer, Fate, Order, OrderLine, Subscription

ORDER_FIELDS = {
    "id", "orderNumber", "type", "customerId", "poNumber", "creationDate", "provisioningDate",
    "status", "statusCode", "total", "details", "attributes", "creditCheck", "autorenewal",
    "startDate", "migrationDate", "expirationDate", "lastBillingDate", "nextBillingDate",
    "migrationProgram", "planId", "subscriptionPeriod", "scheduledOn", "upgradeStartType",
    "products", "subscriptionId", "targetSubscriptionId", "billingModel", "subscriptions",
    "alignExpirationDate", "placementType", "vendorBillingSettings",
}  # fmt: skip
CANCEL_WINDOW = timedelta(days=7)
PO_LENGTH = 100


def draft_order(caller: Caller, body: dict[str, Any]) -> Order:
    """The order that a body asks for, checked but not executed; also what an estimate prices.
    Raises `Refused` with the reason."""
    check_fields(caller.world, body, ORDER_FIELDS)
    kind = body.get("type", "sales")
    if kind not in ("sales", "change", "renewal", "cancellation"):
        raise Refused(400, f"Orders of type {kind} cannot be placed.")
    customer = _buyer(caller, body)
    po_number = body.get("poNumber")
    if po_number is not None and (not isinstance(po_number, str) or len(po_number) > PO_LENGTH):
        raise Refused(400, f"poNumber must be a text of at most {PO_LENGTH} characters.")
    reseller = caller.world.resellers[customer.reseller_id]
    order = Order(
        id="",
        number="",
        type=kind,
        customer_id=customer.id,
        reseller_id=reseller.id,
        created_at=caller.world.clock.now(),
        timing=caller.world.timing(reseller),
        po_number=po_number,
        attributes=body.get("attributes") or {},
    )
    if kind == "sales":
        order.lines = with_dependencies(caller, customer.id, read_lines(caller, body))
        order.tenant_id = getattr(tenant_for(caller, customer.id, order.lines), "id", None)
    else:
        _draft_existing(caller, order, body)
    products = caller.world.catalogue.products
    for line in order.lines:
        moved = line.quantity - line.before
        order.total += customer_price(products[line.product_id], line.quantity) * moved
    return order


def _buyer(caller: Caller, body: dict[str, Any]) -> Customer:
    key = body.get("customerId")
    if not key:
        raise Refused(400, "customerId must be specified.")
    try:
        customer = caller.customer(str(key))
    except Refused as error:
        raise Refused(400, f"There is no entity of customer {key}.") from error
    if customer.status not in ("active", "pending"):
        raise Refused(400, f"Customer {key} cannot place orders in status {customer.status}.")
    return customer


def _draft_existing(caller: Caller, order: Order, body: dict[str, Any]) -> None:
    """Change, renewal and cancellation: orders on a subscription that exists."""
    subscription = _subscription(caller, order, body)
    order.subscription_id = subscription.id
    order.tenant_id = subscription.tenant_id
    if order.type != "change":
        if order.type == "cancellation":
            _check_window(caller, order, subscription)
        return
    if body.get("planId"):
        raise Refused(400, "Plan switches are not enabled in this marketplace.")
    order.scheduled_on = body.get("scheduledOn")
    if order.scheduled_on not in (None, "renewal"):
        raise Refused(400, f"scheduledOn {order.scheduled_on} is not supported.")
    for line in line_bodies(body):
        product, before = subscription_line(caller, subscription, line)
        quantity = quantity_of(line, product)
        order.lines.append(
            OrderLine(
                product_id=product.id,
                quantity=quantity,
                before=before,
                subscription_id=subscription.id,
            )
        )
        if quantity < before and not order.scheduled_on:
            _check_window(caller, order, subscription)


def _subscription(caller: Caller, order: Order, body: dict[str, Any]) -> Subscription:
    rows = body.get("products") or []
    named = {body.get("subscriptionId")} | {
        row.get("subscriptionId") for row in rows if isinstance(row, dict)
    }
    keys = {str(key) for key in named if key}
    if len(keys) != 1:
        raise Refused(400, "Exactly one subscriptionId must be specified.")
    key = keys.pop()
    subscription = caller.world.subscriptions.get(key)
    if subscription is None or subscription.customer_id != order.customer_id:
        raise Refused(400, f"There is no entity of subscription {key}.")
    if subscription.status != "active":
        raise Refused(400, f"Subscription {key} is in status {subscription.status}.")
    return subscription


def _check_window(caller: Caller, order: Order, subscription: Subscription) -> None:
    """Seats down and cancellation only within seven days of purchase or renewal."""
    world = caller.world
    if world.clock.now() - subscription.committed_at <= CANCEL_WINDOW:
        return
    rules = world.resellers[order.reseller_id].vendor_rules or world.settings.vendor_rules
    if rules == "refuse":
        raise Refused(
            400,
            f"Subscription {subscription.id} cannot be reduced or cancelled: "
            "the cancellation period of 7 days is over.",
        )
    order.fate = Fate(outcome="error")


def check_conflict(caller: Caller, order: Order) -> None:
    """One unfinished immediate order of a type per subscription; a second one is answered with
    HTTP 500, as the live marketplace was seen to do."""
    if order.subscription_id is None or order.scheduled_on:
        return
    for other in caller.world.customer_orders(order.customer_id):
        if (
            other.unfinished
            and not other.scheduled_on
            and other.type == order.type
            and other.subscription_id == order.subscription_id
        ):
            raise Refused(500, conflict_with(other))


def conflict_with(order: Order) -> str:
    """How the live marketplace words that an order is in the way of another."""
    return (
        f"Subscription #{order.subscription_id} already has order #{order.number} "
        f"[{order.status_code or 'AS'}]. Only one order of type {order.type} is possible "
        "for a subscription at a time. Cancel the order or wait for its completion."
    )


def place_order(caller: Caller, body: dict[str, Any], fate: Fate | None) -> Order:
    """Executes an order. The journal line is on disk before this returns. There is no
    de-duplication: the same body twice makes two orders."""
    order = draft_order(caller, body)
    check_conflict(caller, order)
    world = caller.world
    if fate is not None:
        order.fate = fate
    asked = order.po_number
    if asked is not None and order.fate.po_length is not None:
        order.po_number = asked[: order.fate.po_length] or None
    order.id = world.next_id()
    order.number = world.lifecycle.next_number(order.type)
    if order.type == "sales":
        _reserve_subscriptions(caller, order)
    world.store.append_to_journal(journal_entry(caller, order, asked))
    world.lifecycle.adopt(order)
    return order


def _reserve_subscriptions(caller: Caller, order: Order) -> None:
    """Products of one plan and term share a subscription."""
    reserved: dict[tuple[int, str, int], str] = {}
    for line in order.lines:
        product = caller.world.catalogue.products[line.product_id]
        term = product.subscription_period
        offer = (product.plan_id, term.type, term.duration)
        if offer not in reserved:
            reserved[offer] = caller.world.next_id()
        line.subscription_id = reserved[offer]
    order.subscription_id = order.lines[0].subscription_id


def journal_entry(caller: Caller, order: Order, asked_po: str | None) -> dict[str, Any]:
    """What was executed, with the purchase order number as the caller gave it."""
    catalogue = caller.world.catalogue.products
    return {
        "id": order.id,
        "number": order.number,
        "type": order.type,
        "customerId": order.customer_id,
        "resellerId": order.reseller_id,
        "loginId": caller.login.id,
        "poNumber": asked_po,
        "subscriptionId": order.subscription_id,
        "scheduledOn": order.scheduled_on,
        "products": [
            product_identity(catalogue[line.product_id])
            | {"quantity": str(line.quantity), "subscriptionId": line.subscription_id}
            for line in order.lines
        ],
        "time": order.created_at.isoformat(timespec="milliseconds"),
        "record": order.model_dump(mode="json", exclude_defaults=True),
    }


def cancel_order(caller: Caller, order: Order, body: dict[str, Any]) -> None:
    """PATCH with statusCode CL; only before completion."""
    check_fields(caller.world, body, {"creditCheck", "statusCode"})
    code = body.get("statusCode")
    if code is None:
        return
    if code != "CL":
        raise Refused(400, f"Status code {code} cannot be set.")
    if not order.unfinished:
        raise Refused(400, f"Order {order.number} in status {order.status} cannot be cancelled.")
    order.status, order.status_code = "cancelled", "CL"
    for line in order.lines if order.type == "sales" else []:
        row = caller.world.subscriptions.get(line.subscription_id or "")
        if row is not None:
            row.status = "removed"
            caller.world.save(row)
    caller.world.save(order)


def listed(caller: Caller, order: Order, now: datetime) -> bool:
    """False while a fault keeps the order out of lists."""
    lag = timedelta(seconds=order.fate.list_lag_seconds)
    return caller.world.sees(caller.login, order.reseller_id) and order.created_at + lag <= now
