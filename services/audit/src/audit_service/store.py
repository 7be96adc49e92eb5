"""The append-only record: one document per event, under the event's own id."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from purser_common.mongo import (
    ASCENDING,
    DESCENDING,
    BulkWriteError,
    Database,
    Document,
    Index,
)
from purser_events.envelope import Envelope
from purser_events.subscription import subscription_id
from purser_events.values import ProductIdentity, product_id

RECORDS = "records"
STORE_ITEM, SUBSCRIPTION, ORDER = "store-item/", "subscription/", "order/"
FILTERS = (
    "tenant_id",
    "customer_id",
    "reseller_id",
    "marketplace",
    "subject",
    "actor",
    "correlation_id",
    "type",
    "store_items",
    "mpns",
    "subscriptions",
    "orders",
)
_NEWEST = (("at", DESCENDING), ("_id", DESCENDING))
INDEXES = (
    Index(RECORDS, _NEWEST),
    *(Index(RECORDS, ((field, ASCENDING), *_NEWEST)) for field in FILTERS),
)


SENTENCES: Mapping[str, str] = {
    "reseller.added": "Reseller {display_name} was added",
    "reseller.updated": "Reseller {display_name} was changed",
    "reseller.buying-enabled": "Buying was enabled for reseller {display_name}",
    "reseller.buying-disabled": "Buying was disabled for reseller {display_name}",
    "reseller.deleted": "Reseller {display_name} was deleted",
    "reseller.account-broken": "The marketplace refuses the credentials of a reseller ({reason})",
    "reseller.account-recovered": "The marketplace takes the credentials of a reseller again",
    "license.mapped": "{product_name} was mapped to {sku_part_number}",
    "license.unmapped": "The mapping of {product_name} was deleted",
    "price.customized": "The own price of {product_name} was changed, marked or looked at",
    "customer.added": "Customer {name} was added",
    "customer.updated": "Customer {name} was renamed",
    "customer.removed": "Customer {name} was removed",
    "tenant.registered": "Tenant {name} was registered",
    "tenant.consent-requested": "Consent was requested for tenant {name}",
    "tenant.consented": "The administrator of tenant {name} consented",
    "tenant.consent-revoked": "The consent of tenant {name} was declined or taken back",
    "tenant.added": "Tenant {name} was added to the marketplace",
    "tenant.connected": "Tenant {name} was connected to a marketplace customer",
    "tenant.connection-changed": "Tenant {name} was moved to another marketplace customer",
    "tenant.disconnected": "Tenant {name} was disconnected from its marketplace customer",
    "tenant.removed": "Tenant {name} was removed",
    "subscription.activated": "Subscription {name} is active",
    "subscription.changed": "Subscription {name} changed",
    "subscription.ended": "Subscription {name} ended",
    "license.change-requested": "{quantity} x {product_name} were requested, PO {po_number}",
    "license.change-withdrawn": "The request for {quantity} x {product_name} was withdrawn",
    "order.placed": "The order for {quantity} x {product_name} was placed, PO {po_number}",
    "order.uncertain": "The outcome of the order for {quantity} x {product_name} is unknown",
    "order.review-settled": "A person settled the order for {quantity} x {product_name}",
    "order.duplicate-suspected": "More than one order may exist for {quantity} x {product_name}",
    "order.failed": "The request for {quantity} x {product_name} failed",
    "order.completed": "The order for {quantity} x {product_name} was completed",
    "license.purchased": "{quantity} x {product_name} were purchased, PO {po_number}",
    "license.quantity-changed": "{product_name} has {quantity} seats now, PO {po_number}",
    "buying.stopped": "Buying was stopped ({id})",
    "buying.resumed": "Buying was resumed ({id})",
    "spend-cap.changed": "The spend cap of a reseller was changed",
    "order.observed": "Order {number} was placed without Purser",
    "finding.opened": "A finding was opened ({kind}): {detail}",
    "finding.changed": "A finding has changed ({kind}): {detail}",
    "finding.closed": "A finding was closed ({kind})",
    "access.granted": "{principal} was given the role {role} ({scope})",
    "access.revoked": "The role {role} ({scope}) was taken from {principal}",
    "action.performed": "{operation} was performed",
    "action.refused": "{operation} was refused ({code})",
}


class _Known(dict[str, Any]):
    def __missing__(self, field: str) -> str:
        return f"unknown {field.replace('_', ' ')}"


def sentence(type_: str, state: Mapping[str, Any]) -> str:
    """A readable sentence for a fact; one of an unknown type is called by its type."""
    topic = type_.removeprefix("purser.").rpartition(".")[0]
    return SENTENCES.get(topic, topic).format_map(_Known(state))


class Records:
    """Keeps every fact once."""

    def __init__(self, database: Database) -> None:
        self._collection = database[RECORDS]

    async def keep(self, envelopes: Iterable[Envelope[Document]]) -> None:
        """Keep these; what is there already stays as it is."""
        records = [record(envelope) for envelope in envelopes]
        try:
            await self._collection.insert_many(records, ordered=False)
        except BulkWriteError as error:
            if {failure["code"] for failure in error.details["writeErrors"]} != {11000}:
                raise


def record(envelope: Envelope[Document]) -> Document:
    """An event as it is kept. Nothing is left out: audit takes types that it has not heard of."""
    data, state = envelope.data, envelope.data.get("state") or {}
    products = list(_products(state))
    aggregate, _, id = envelope.subject.partition("/")
    parent = (envelope.traceparent or "").split("-")
    return {
        "_id": envelope.id,
        "at": envelope.time,
        "type": envelope.type,
        "subject": envelope.subject,
        "sequence": envelope.sequence,
        "actor": envelope.actor,
        "tenant_id": envelope.tenantid,
        "customer_id": id if aggregate == "customer" else state.get("customer_id"),
        "reseller_id": id if aggregate == "reseller" else state.get("reseller_id"),
        "marketplace": envelope.marketplace or _marketplace(data),
        "correlation_id": envelope.correlationid,
        "causation_id": envelope.causationid,
        "trace_id": parent[1] if len(parent) == 4 else None,
        "mpns": sorted({product.mpn for product in products}),
        "store_items": _store_items(state, products),
        "subscriptions": _subscriptions(envelope.subject, state),
        "orders": _orders(envelope.subject, state),
        "summary": sentence(envelope.type, state),
        "changes": data.get("changes") or [],
        "data": data,
    }


def _products(state: Mapping[str, Any]) -> Iterable[ProductIdentity]:
    """The products that a fact is about, of whichever type it is."""
    options = state.get("options")
    for part in (state, *(options if isinstance(options, list) else ())):
        try:
            yield ProductIdentity.model_validate(part["product"])
        except (KeyError, TypeError, ValidationError):
            continue


def _store_items(state: Mapping[str, Any], products: Iterable[ProductIdentity]) -> list[str]:
    """The store items that a fact is about: its reseller's products, or what an action names."""
    reseller, subject = state.get("reseller_id"), str(state.get("subject"))
    named = subject.removeprefix(STORE_ITEM)
    own = {product_id(str(reseller), product) for product in products} if reseller else set()
    return sorted(own | ({named} if named != subject else set()))


def _marketplace(data: Mapping[str, Any]) -> str | None:
    """The marketplace of a fact that names none itself: that of the connection which is, or was, a
    tenant's, else the only one that the tenant was added to."""
    state, changes = data.get("state") or {}, data.get("changes") or []
    before = [one.get("before") for one in changes if one.get("pointer") == "/connection"]
    for connection in (state.get("connection"), *before):
        if isinstance(connection, Mapping) and connection.get("marketplace"):
            return str(connection["marketplace"])
    added = list(state.get("marketplaces") or [])
    return str(added[0]) if len(added) == 1 else None


def _subscriptions(subject: str, state: Mapping[str, Any]) -> list[str]:
    """The subscriptions that a fact is about: its own subject, what an action or a finding names, or
    what a request changes or has bought."""
    named = {subject, str(state.get("subject")), str(state.get("object"))}
    found = {one.removeprefix(SUBSCRIPTION) for one in named if one.startswith(SUBSCRIPTION)}
    reseller, there = state.get("reseller_id"), state.get("marketplace_subscription_id")
    if reseller and there:
        found.add(subscription_id(str(reseller), str(there)))
    return sorted(found)


def _orders(subject: str, state: Mapping[str, Any]) -> list[str]:
    """The marketplace's orders that a fact is about."""
    order = state.get("order")
    found = {str(order["id"])} if isinstance(order, Mapping) and order.get("id") else set()
    if subject.startswith(ORDER):
        found.add(subject.removeprefix(ORDER))
    return sorted(found)
