"""A tenant's store: the catalogue of its reseller, with what the tenant has of it and may do."""

from collections.abc import Sequence
from dataclasses import dataclass

from order_service.commands.ports import Connections, Requests, Storehouse, SubscriptionCopies
from order_service.commands.requesting import Desk, preview_purchase, require_connection
from order_service.domain import items as rules
from order_service.domain.items import (
    Circumstances,
    OwnLink,
    OwnSubscription,
    Possible,
    Search,
    StoreItem,
)
from order_service.domain.offers import Quote, Terms
from order_service.domain.purchase import slot_of
from purser_common.errors import Unavailable
from purser_common.identity import ROLES, Caller
from purser_common.telemetry import Cause
from purser_events.tenant import Connection, Tenant


@dataclass(frozen=True)
class Shop:
    """What browsing needs."""

    desk: Desk
    storehouse: Storehouse
    connections: Connections
    subscriptions: SubscriptionCopies
    requests: Requests


@dataclass(frozen=True)
class Shown:
    """An item as a tenant's caller sees it."""

    item: StoreItem
    subscriptions: tuple[OwnSubscription, ...]
    requires: tuple[OwnLink, ...]
    dependents: tuple[OwnLink, ...]
    actions: tuple[Possible, ...]


@dataclass(frozen=True)
class _Visit:
    """Who stands in whose store."""

    tenant: Tenant
    connection: Connection
    caller: Caller
    cause: Cause

    def may(self, *roles: str) -> bool:
        return self.caller.may(*roles, customer=self.tenant.customer_id, tenant=self.tenant.id)


async def list_items(
    shop: Shop, tenant_id: str, wanted: Search, caller: Caller, cause: Cause
) -> tuple[list[Shown], str | None]:
    """A page of what the tenant's reseller can buy (R67), and the next cursor.

    Raises NotFound for a foreign tenant, Conflict for one that is not connected, Unavailable while the
    reseller service is away.
    """
    visit = await _visit(shop, tenant_id, caller, cause)
    found, following = await shop.storehouse.items(
        visit.connection.reseller_id, wanted, visit.may("price_admin"), caller, cause
    )
    return await _shown(shop, visit, found), following


async def view_item(
    shop: Shop, tenant_id: str, item_id: str, caller: Caller, cause: Cause
) -> Shown:
    """One product with what it requires, what depends on it, and its cost (R68, R69, R70).

    Raises NotFound for a foreign tenant and an unknown item, Conflict, Unavailable.
    """
    visit = await _visit(shop, tenant_id, caller, cause)
    item = await _item(shop, visit, item_id)
    (shown,) = await _shown(shop, visit, [item])
    return shown


async def preview_item(
    shop: Shop, tenant_id: str, item_id: str, quantity: int, caller: Caller, cause: Cause
) -> tuple[StoreItem, Terms, Quote]:
    """What buying so many would cost, by the marketplace's estimate (R72).

    Raises Forbidden, what `view_item` raises, and Invalid for the quantity.
    """
    visit = await _visit(shop, tenant_id, caller, cause)
    item = await _item(shop, visit, item_id)
    terms, quote = await preview_purchase(
        shop.desk, tenant_id, item.product, quantity, caller, cause
    )
    return item, terms, quote


async def _visit(shop: Shop, tenant_id: str, caller: Caller, cause: Cause) -> _Visit:
    """By the tenant's owner; while that is away the own copy will do."""
    try:
        tenant = await shop.desk.tenants.tenant(tenant_id, caller, cause)
    except Unavailable:
        known = await shop.connections.find(tenant_id)
        if known is None:
            raise
        tenant = known
    caller.require(*ROLES, customer=tenant.customer_id, tenant=tenant.id)
    return _Visit(tenant, require_connection(tenant), caller, cause)


async def _item(shop: Shop, visit: _Visit, item_id: str) -> StoreItem:
    return await shop.storehouse.item(
        visit.connection.reseller_id, item_id, visit.may("price_admin"), visit.caller, visit.cause
    )


async def _shown(shop: Shop, visit: _Visit, found: Sequence[StoreItem]) -> list[Shown]:
    if not found:
        return []
    tenant = visit.tenant
    mpns = sorted({mpn for item in found for mpn in rules.mpns(item)})
    of_products = await shop.subscriptions.of_products(tenant.id, mpns)
    subscriptions = [one for one in of_products if rules.is_of(one, visit.connection)]
    reseller = await shop.storehouse.reseller(visit.connection.reseller_id, visit.cause)
    slots = {item.id: slot_of(tenant.id, item.product) for item in found}
    holders = await shop.requests.holders(list(slots.values()))
    may_buy, may_see_costs = visit.may("requester", "purchaser"), visit.may("price_admin")
    return [
        Shown(
            item if may_see_costs else rules.without_costs(item),
            rules.own_subscriptions(item.product, subscriptions),
            rules.linked(item.requires, subscriptions),
            rules.linked(item.dependents, subscriptions),
            (rules.buying(item, Circumstances(reseller, may_buy, holders.get(slots[item.id]))),),
        )
        for item in found
    ]
