"""I1, I2, I3: requests and the orders that the marketplace executed."""

from decimal import Decimal

from .evidence import instant
from .intents import TYPES, Intent, Ledger, Order
from .protocol import BOUGHT
from .report import Verdict


def once(ledger: Ledger) -> Verdict:
    """I1: at most one executed order for each request; a second one is one too many even if flagged."""
    verdict = Verdict(absent="no requests")
    for intent in ledger.intents.values():
        verdict.judged += 1
        orders = {order.id: order for order in ledger.executed.get(intent.id, [])}
        for order_id in intent.linked - ledger.evidence.by_hand:
            if order_id in ledger.orders and order_id not in ledger.made_for:
                orders[order_id] = ledger.orders[order_id]
        if len(orders) > 1:
            numbers = [order.number or order.id for order in orders.values()]
            verdict.against(
                "I1",
                [f"request {intent.id}", *(f"order {number}" for number in numbers)],
                f"{len(orders)} orders were executed for one request ({intent.status})",
                [*(order.where for order in orders.values()), intent.where],
            )
    verdict.count("orders executed", len(ledger.orders))
    verdict.count("orders executed for requests", len(ledger.made_for))
    return verdict


def accounted(ledger: Ledger) -> Verdict:
    """I2: every executed order is linked to its request, or flagged as placed without Purser."""
    verdict = Verdict(absent="no executed orders")
    for order in ledger.orders.values():
        verdict.judged += 1
        _account(ledger, order, verdict)
    _account_for_shown(ledger, verdict)
    for order_id, holders in ledger.holders.items():
        if len(holders) > 1:
            verdict.against(
                "I2",
                [f"order {order_id}", *(f"request {holder.id}" for holder in holders)],
                "one order is linked to several requests",
                [holder.where for holder in holders],
            )
    return verdict


def _account(ledger: Ledger, order: Order, verdict: Verdict) -> None:
    holders = ledger.holders.get(order.id, [])
    owner = ledger.made_for.get(order.id)
    flagged = ledger.foreign.get(order.id)
    if owner is not None:
        if all(holder.id != owner.id for holder in holders):
            shown = [flagged.where] if flagged else [holder.where for holder in holders]
            how = "is shown as foreign" if flagged else "is lost"
            if holders:
                how = f"is linked to request {holders[0].id} instead"
            verdict.against(
                "I2",
                [f"request {owner.id}", f"order {order.number or order.id}"],
                f"the order that was executed for the request ({owner.status}) {how}",
                [order.where, owner.where, *shown],
            )
        return
    _account_for_foreign(ledger, order.id, order.customer, order.where, verdict)


def _account_for_foreign(
    ledger: Ledger, order_id: str, customer: str, where: str, verdict: Verdict
) -> None:
    if order_id in ledger.foreign or order_id in ledger.holders:
        verdict.count("orders placed without Purser, flagged")
    elif customer in ledger.connected:
        verdict.against(
            "I2",
            [f"order {order_id}", f"marketplace customer {customer}"],
            "the marketplace shows an order that is neither linked nor flagged",
            [where],
        )
    else:
        verdict.count("orders of customers that Purser does not manage")


def _account_for_shown(ledger: Ledger, verdict: Verdict) -> None:
    """Orders that were not posted, such as renewals, as far as they came while the run went on."""
    started = instant(ledger.evidence.run["started"])
    for order_id, row in ledger.evidence.marketplace["orders"].items():
        if order_id in ledger.orders or instant(row["created_at"]) < started:
            continue
        verdict.judged += 1
        customer = str(row["customer_id"])
        _account_for_foreign(ledger, order_id, customer, row.where, verdict)


def real(ledger: Ledger) -> Verdict:
    """I3: what is said to be bought was executed, for that customer, product and quantity."""
    verdict = Verdict(absent="no request says that it was placed")
    for intent in ledger.intents.values():
        if intent.status in BOUGHT:
            verdict.judged += 1
            _compare(ledger, intent, verdict)
    said = {
        (fact.subject, fact.status): fact
        for fact in ledger.evidence.facts
        if fact.aggregate == "license-change-request" and fact.status in BOUGHT
    }
    for (subject, status), fact in said.items():
        owner = ledger.intents.get(subject.partition("/")[2])
        if owner is not None and not owner.linked:
            verdict.judged += 1
            verdict.against(
                "I3",
                [f"request {owner.id}"],
                f"a fact says {status}, but the request has no order",
                [fact.where, owner.where],
            )
    return verdict


def _compare(ledger: Ledger, intent: Intent, verdict: Verdict) -> None:
    told = intent.state.get("order") or {}
    order = ledger.orders.get(str(told.get("id")))
    named = [f"request {intent.id}", f"order {told.get('number') or told.get('id')}"]
    if order is None:
        said = f"the request is {intent.status}, but no such order was executed"
        verdict.against("I3", named, said, [intent.where])
        return
    places = [intent.where, order.where]
    for said in _differences(ledger, intent, order):
        verdict.against("I3", named, said, places)


def _differences(ledger: Ledger, intent: Intent, order: Order) -> list[str]:
    found = []
    if order.type != TYPES.get(intent.kind, intent.kind):
        found.append(f"a {intent.kind} was carried out by an order of type {order.type}")
    if order.customer != intent.customer:
        found.append(f"the order is of customer {order.customer}, not {intent.customer}")
    quantities = {product: quantity for product, quantity in order.lines}
    if order.type in ("sales", "change") and intent.product not in quantities:
        found.append(f"the order has {sorted(quantities)}, not {intent.product}")
    elif order.type in ("sales", "change") and quantities[intent.product] != intent.quantity:
        found.append(f"{quantities[intent.product]} seats were ordered, not {intent.quantity}")
    if intent.status == "completed":
        found += _unfinished(ledger, intent, order)
    return found


def _unfinished(ledger: Ledger, intent: Intent, order: Order) -> list[str]:
    found = []
    shown = ledger.evidence.marketplace["orders"].get(order.id)
    if shown is not None and shown["status"] != "completed":
        found.append(f"the request is completed, the order is {shown['status']}")
    subscription = intent.state.get("marketplace_subscription_id")
    if subscription is not None and str(subscription) not in order.subscriptions:
        found.append(f"the order is of {sorted(order.subscriptions)}, not {subscription}")
    return found


def seats(row: dict[str, object]) -> Decimal:
    """All seats of a subscription, as the marketplace or the mirror has it."""
    lines = row.get("lines") or row.get("options") or row.get("products") or []
    assert isinstance(lines, list)
    return sum((Decimal(str(line["quantity"])) for line in lines), Decimal(0))
