"""What was wanted and what the marketplace did about it: requests, executed orders, and which is whose.

An order is attributed by what the marketplace wrote into its own journal (customer, kind, purchase order
number), never by what Purser says of it.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from .evidence import Evidence, Row, first, instant

DATABASE, REQUESTS, FOREIGN = "purser_order", "license_change_requests", "orders"
TYPES = {
    "buy": "sales",
    "change_quantity": "change",
    "plan": "change",
    "cancel": "cancellation",
}
"""Kind of request → type of the order that carries it out."""
SEPARATORS = "-/. _"

Product = tuple[str, str, str, str]


def product_of(line: dict[str, Any]) -> Product:
    """The identity of a product, in the marketplace's spelling or in Purser's."""
    periods = []
    for name in ("subscription_period", "billing_period"):
        camel = name.split("_")[0] + "Period"
        period = first(line, name, camel) or {}
        periods.append(f"{period.get('duration')} {period.get('type')}")
    return (str(line.get("mpn")), str(line.get("vendor")), periods[0], periods[1])


@dataclass(frozen=True)
class Order:
    """An order that the marketplace executed."""

    id: str
    number: str
    type: str
    customer: str
    po: str
    lines: tuple[tuple[Product, Decimal], ...]
    subscriptions: frozenset[str]
    time: float
    where: str

    @classmethod
    def of(cls, row: Row) -> "Order":
        """From a line of the journal."""
        lines = row.get("products") or []
        subscriptions = {line.get("subscriptionId") for line in lines} | {row.get("subscriptionId")}
        return cls(
            id=str(row["id"]),
            number=str(row.get("number") or ""),
            type=str(row["type"]),
            customer=str(row["customerId"]),
            po=str(row.get("poNumber") or ""),
            lines=tuple((product_of(line), Decimal(str(line["quantity"]))) for line in lines),
            subscriptions=frozenset(str(one) for one in subscriptions if one),
            time=instant(row["time"]),
            where=row.where,
        )


@dataclass(frozen=True)
class Intent:
    """A licence change request as its owner holds it."""

    document: Row

    @property
    def id(self) -> str:
        """The request's id."""
        return str(self.document["_id"])

    @property
    def where(self) -> str:
        """Where its document stands."""
        return self.document.where

    @property
    def state(self) -> dict[str, Any]:
        """What others are told of it."""
        return dict(self.document["state"])

    @property
    def phase(self) -> str:
        """How far it has come."""
        return str(self.document["phase"])

    @property
    def status(self) -> str:
        """How far it has come, as others are told."""
        return str(self.document["state"]["status"])

    @property
    def kind(self) -> str:
        """What is wanted."""
        return str(self.document["state"]["kind"])

    @property
    def customer(self) -> str:
        """The marketplace's customer."""
        return str(self.document["state"]["marketplace_customer_id"])

    @property
    def product(self) -> Product:
        """What is wanted of it."""
        return product_of(self.document["state"]["product"])

    @property
    def quantity(self) -> Decimal:
        """How many seats."""
        return Decimal(str(self.document["state"]["quantity"]))

    @property
    def typed(self) -> str:
        """The purchase order number as its requester typed it."""
        return str(self.document["state"]["po_number"])

    @property
    def sent(self) -> str:
        """The purchase order number that the marketplace was given."""
        return str(self.document["state"].get("po_number_sent") or "")

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """Each try to send."""
        return list(self.document.get("attempts") or [])

    @property
    def linked(self) -> frozenset[str]:
        """The orders that Purser ties to it."""
        seen = {str(one["order_id"]) for one in self.document.get("evidence") or []}
        seen |= {str(id) for id in self.document.get("order_ids") or []}
        order = self.document["state"].get("order")
        return frozenset(seen | ({str(order["id"])} if order else set()))


@dataclass(frozen=True)
class Ledger:
    """Requests and executed orders of one run, tied together from outside."""

    evidence: Evidence

    @cached_property
    def intents(self) -> dict[str, Intent]:
        """Every request by its id."""
        rows = self.evidence.documents(DATABASE, REQUESTS)
        return {str(row["_id"]): Intent(row) for row in rows}

    @cached_property
    def orders(self) -> dict[str, Order]:
        """Every executed order by its id."""
        return {order.id: order for order in map(Order.of, self.evidence.journal)}

    @cached_property
    def foreign(self) -> dict[str, Row]:
        """The orders that Purser shows as placed without it."""
        return {str(row["_id"]): row for row in self.evidence.documents(DATABASE, FOREIGN)}

    @cached_property
    def holders(self) -> dict[str, list[Intent]]:
        """Order → the requests that Purser ties it to."""
        holders: dict[str, list[Intent]] = defaultdict(list)
        for intent in self.intents.values():
            for order_id in intent.linked:
                holders[order_id].append(intent)
        return holders

    @cached_property
    def made_for(self) -> dict[str, Intent]:
        """Order → the request that it was executed for; an order made by hand was made for none."""
        found = {}
        for order in self.orders.values():
            if order.id not in self.evidence.by_hand and (intent := self._wanted(order)):
                found[order.id] = intent
        return found

    @cached_property
    def executed(self) -> dict[str, list[Order]]:
        """Request → the orders that were executed for it."""
        orders: dict[str, list[Order]] = defaultdict(list)
        for order_id, intent in self.made_for.items():
            orders[intent.id].append(self.orders[order_id])
        return orders

    @cached_property
    def connected(self) -> frozenset[str]:
        """The marketplace's customers that are connected to a tenant."""
        tenants = self.evidence.documents("purser_tenant_connection", "tenants")
        ties = [row["state"].get("connection") for row in tenants]
        return frozenset(str(tie["marketplace_customer_id"]) for tie in ties if tie)

    @cached_property
    def touching(self) -> dict[str, set[str]]:
        """Subscription → every order that concerns it."""
        orders: dict[str, set[str]] = defaultdict(set)
        for order in self.orders.values():
            for subscription in order.subscriptions:
                orders[subscription].add(order.id)
        for order_id, row in self.evidence.marketplace["orders"].items():
            if row.get("subscription_id"):
                orders[str(row["subscription_id"])].add(order_id)
        return orders

    @cached_property
    def _by_po(self) -> dict[tuple[str, str], list[Intent]]:
        index: dict[tuple[str, str], list[Intent]] = defaultdict(list)
        for intent in self.intents.values():
            for po in {intent.sent, intent.typed} - {""}:
                index[intent.customer, po].append(intent)
        return index

    def _wanted(self, order: Order) -> Intent | None:
        """By the number that was sent; else by the one that was typed, if only one request has it.

        A number that several requests share (sent without the suffix) is told apart by product and
        quantity; where that does not, nobody can say whose the order is.
        """
        for po in _beginnings(order.po):
            named = self._by_po.get((order.customer, po), [])
            fitting = [one for one in named if TYPES.get(one.kind, one.kind) == order.type]
            if len(fitting) > 1:
                fitting = [one for one in fitting if (one.product, one.quantity) in order.lines]
            if len(fitting) == 1:
                return fitting[0]
            if named:
                return None
        return None


def _beginnings(po: str) -> Iterator[str]:
    """The number, then what stands before each separator, longest first."""
    if po:
        yield po
    for position in range(len(po) - 1, 0, -1):
        if po[position] in SEPARATORS:
            yield po[:position]


def answer_of(row: Row) -> dict[str, Any]:
    """The body that a call was answered with, if it was an object."""
    answer = row.get("answer")
    if isinstance(answer, str):
        try:
            answer = json.loads(answer)
        except ValueError:
            return {}
    return answer if isinstance(answer, dict) else {}
