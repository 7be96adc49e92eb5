"""Wanting licences: the preview of a purchase, and the request for it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from order_service.commands.ports import (
    Accounts,
    Marketplace,
    Requests,
    Resellers,
    Subscriptions,
    Tenants,
)
from order_service.commands.spending import Purse, room_for
from order_service.domain import purchase as rules
from order_service.domain.offers import Quote, Terms
from order_service.domain.purchase import Purchase
from purser_common import crash
from purser_common.errors import Conflict, FieldError, Invalid, NotFound, Problem
from purser_common.identity import Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause, traceparent
from purser_events.license import LicenseChangeRequest
from purser_events.subscription import Subscription
from purser_events.tenant import Connection, Tenant
from purser_events.values import ProductIdentity


@dataclass(frozen=True)
class Want:
    """What somebody wants bought for a tenant."""

    tenant_id: str
    product: ProductIdentity
    quantity: int
    po_number: str
    comment: str | None


@dataclass(frozen=True)
class NewTotal:
    """How many seats a subscription should have, by somebody who saw `expected_quantity`."""

    tenant_id: str
    subscription_id: str
    product: ProductIdentity
    quantity: int
    expected_quantity: int
    po_number: str
    comment: str | None


@dataclass(frozen=True)
class Desk:
    """What requesting needs."""

    requests: Requests
    accounts: Accounts
    resellers: Resellers
    tenants: Tenants
    subscriptions: Subscriptions
    marketplace: Marketplace
    purse: Purse
    now: Callable[[], datetime]
    real_now: Callable[[], datetime]


async def preview_purchase(
    desk: Desk,
    tenant_id: str,
    product: ProductIdentity,
    quantity: int,
    caller: Caller,
    cause: Cause,
) -> tuple[Terms, Quote]:
    """What a purchase would cost, by the marketplace's own estimate; nothing is ordered (R72).

    Raises NotFound for a foreign tenant, Conflict while a step is missing, Invalid for the quantity.
    """
    _, connection = await _connected(desk, tenant_id, caller, cause)
    terms = await desk.resellers.terms(connection.reseller_id, product, caller, cause)
    _sellable(terms, connection.reseller_id)
    rules.checked_quantity(quantity, terms.minimum_quantity, terms.maximum_quantity)
    quote = await desk.marketplace.estimate(
        connection.reseller_id, connection.marketplace_customer_id, product, quantity
    )
    return replace(terms, unit_price=terms.unit_price or quote.unit_price), quote


async def request_purchase(
    desk: Desk, want: Want, caller: Caller, cause: Cause, request: Request
) -> Loaded[Purchase]:
    """Ask for licences to be bought (R73, R74). The same keyed call gives the same request.

    While the marketplace is away the request waits: what is known of the product will do until it is
    sent, when the live catalogue is asked again.

    Raises NotFound for a foreign tenant; Conflict while a step is missing, the licence is not mapped,
    buying is off, or the product is already being bought for the tenant; Invalid for a bad value.
    """
    earlier = await desk.requests.replayed(request.id(), request)
    if earlier is not None:
        return earlier
    rules.checked_po(want.po_number)
    tenant, connection = await _connected(desk, want.tenant_id, caller, cause)
    terms = await desk.resellers.terms(
        connection.reseller_id, want.product, caller, cause, current=False
    )
    _buyable(terms, connection.reseller_id)
    rules.checked_quantity(want.quantity, terms.minimum_quantity, terms.maximum_quantity)
    terms = await _priced(desk, want, connection, terms)
    state = _state(desk, want, rules.BUY, tenant, connection, terms, caller, request.id())
    return await _queued(desk, state, cause, request)


async def request_change(
    desk: Desk, want: NewTotal, caller: Caller, cause: Cause, request: Request
) -> Loaded[Purchase]:
    """Ask for another number of seats (R62). The same keyed call gives the same request.

    Raises NotFound for a foreign tenant or subscription; Conflict when it is not active, has other
    seats than expected, buying is off, or it is being changed already; Invalid for a bad value.
    """
    earlier = await desk.requests.replayed(request.id(), request)
    if earlier is not None:
        return earlier
    rules.checked_po(want.po_number)
    tenant, connection = await _connected(desk, want.tenant_id, caller, cause)
    subscription = await desk.subscriptions.current(want.subscription_id, caller, cause)
    _changeable(subscription, tenant, connection, want)
    terms = await desk.resellers.terms(connection.reseller_id, want.product, caller, cause)
    _buying_on(terms, connection.reseller_id)
    _sellable(terms, connection.reseller_id)
    rules.checked_quantity(want.quantity, terms.minimum_quantity, terms.maximum_quantity)
    terms = await _priced(desk, want, connection, terms)
    state = _state(
        desk, want, rules.CHANGE_QUANTITY, tenant, connection, terms, caller, request.id()
    ).model_copy(
        update={
            "expected_quantity": want.expected_quantity,
            "subscription_id": subscription.id,
            "marketplace_subscription_id": subscription.marketplace_subscription_id,
        }
    )
    return await _queued(desk, state, cause, request)


async def _queued(
    desk: Desk, state: LicenseChangeRequest, cause: Cause, request: Request
) -> Loaded[Purchase]:
    await room_for(desk.purse, state)
    purchase, facts = rules.requested(state, cause.correlation_id, traceparent(), desk.real_now())
    crash.point("order.request.accepted")
    loaded = await desk.requests.insert(purchase, facts, cause, request)
    crash.point("order.request.written")
    await desk.accounts.queue(state.reseller_id, desk.real_now())
    return loaded


async def _connected(
    desk: Desk, tenant_id: str, caller: Caller, cause: Cause
) -> tuple[Tenant, Connection]:
    tenant = await desk.tenants.tenant(tenant_id, caller, cause)
    caller.require("requester", "purchaser", customer=tenant.customer_id, tenant=tenant.id)
    return tenant, require_connection(tenant)


def require_connection(tenant: Tenant) -> Connection:
    """The tenant's connection. Raises Conflict naming the missing step."""
    if tenant.status == "removed":
        raise Conflict(
            "the tenant was removed; register it again",
            code="tenant_removed",
            missing_step=f"POST /v1/customers/{tenant.customer_id}/tenants",
        )
    if tenant.connection is None:
        raise Conflict(
            "the tenant is not connected to a marketplace customer",
            code="tenant_not_connected",
            missing_step=f"PUT /v1/tenants/{tenant.id}/connection",
        )
    return tenant.connection


async def _priced(desk: Desk, want: Want | NewTotal, connection: Connection, terms: Terms) -> Terms:
    """The terms with the customer's price, by an estimate where the catalogue does not tell it.

    No purchase waits for a price: what cannot be estimated now is unknown.
    """
    if terms.unit_price is not None:
        return terms
    try:
        quote = await desk.marketplace.estimate(
            connection.reseller_id,
            connection.marketplace_customer_id,
            want.product,
            want.quantity,
        )
    except Problem:
        return terms
    return replace(terms, unit_price=quote.unit_price)


def _sellable(terms: Terms, reseller_id: str) -> None:
    if terms.product_name is None:
        raise Invalid(
            "the reseller does not sell this product",
            code="unknown_product",
            errors=(FieldError("/product", f"choose from /v1/resellers/{reseller_id}/products"),),
        )


def _changeable(
    subscription: Subscription, tenant: Tenant, connection: Connection, want: NewTotal
) -> None:
    if subscription.tenant_id != tenant.id:
        raise NotFound("the tenant has no such subscription")
    if (
        not subscription.connected
        or subscription.reseller_id != connection.reseller_id
        or subscription.marketplace_customer_id != connection.marketplace_customer_id
    ):
        raise Conflict(
            "the subscription is of an earlier connection of the tenant",
            code="subscription_not_connected",
        )
    if subscription.status != "active":
        raise Conflict(
            f"the subscription is {subscription.status}; only an active one can be changed",
            code="subscription_not_active",
        )
    seats = [one.quantity for one in subscription.options if one.product == want.product]
    if len(seats) != 1:
        raise Invalid(
            "the subscription has no such product",
            code="unknown_option",
            errors=(FieldError("/product", "choose one of the subscription's options"),),
        )
    if seats[0] != want.expected_quantity:
        raise Conflict(
            f"the subscription has {seats[0]} seats now; look again and decide again",
            code="quantity_changed",
            current_quantity=seats[0],
        )
    if seats[0] == want.quantity:
        raise Invalid(
            "the subscription has this quantity already",
            code="invalid_quantity",
            errors=(FieldError("/quantity", f"another number than {seats[0]}"),),
        )


def _buying_on(terms: Terms, reseller_id: str) -> None:
    if not terms.reseller.buying_enabled:
        raise Conflict(
            "buying is off for this reseller",
            code="buying_disabled",
            missing_step=f"PATCH /v1/resellers/{reseller_id} with buying_enabled: true",
        )


def _buyable(terms: Terms, reseller_id: str) -> None:
    _buying_on(terms, reseller_id)
    if terms.mapping is None:
        raise Conflict(
            "the product is mapped neither to a Microsoft licence nor to no licence",
            code="license_not_mapped",
            missing_step=f"POST /v1/resellers/{reseller_id}/license-mappings",
        )
    _sellable(terms, reseller_id)


def _state(
    desk: Desk,
    want: Want | NewTotal,
    kind: str,
    tenant: Tenant,
    connection: Connection,
    terms: Terms,
    caller: Caller,
    id: str,
) -> LicenseChangeRequest:
    return LicenseChangeRequest(
        id=id,
        kind=kind,
        status="placing",
        marketplace=connection.marketplace,
        reseller_id=connection.reseller_id,
        customer_id=tenant.customer_id,
        tenant_id=tenant.id,
        entra_tenant_id=tenant.entra_tenant_id,
        marketplace_customer_id=connection.marketplace_customer_id,
        product=want.product,
        product_name=terms.product_name or want.product.mpn,
        sku_id=terms.mapping.sku_id if terms.mapping else None,
        sku_part_number=terms.mapping.sku_part_number if terms.mapping else None,
        quantity=want.quantity,
        po_number=want.po_number,
        po_number_sent=rules.po_to_send(want.po_number, id, terms.reseller.po_suffix),
        comment=want.comment,
        origin="person",
        requested_by=caller.subject,
        requested_at=desk.now(),
        unit_price=terms.unit_price,
    )
