"""Wanting licences: the preview of a purchase, and the request for it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from order_service.commands.ports import Marketplace, Requests, Resellers, Tenants
from order_service.domain import purchase as rules
from order_service.domain.offers import Quote, Terms
from order_service.domain.purchase import Purchase
from purser_common import crash
from purser_common.errors import Conflict, FieldError, Invalid
from purser_common.identity import Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause, traceparent
from purser_events.license import LicenseChangeRequest
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
class Desk:
    """What requesting needs."""

    requests: Requests
    resellers: Resellers
    tenants: Tenants
    marketplace: Marketplace
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
    return terms, quote


async def request_purchase(
    desk: Desk, want: Want, caller: Caller, cause: Cause, request: Request
) -> Loaded[Purchase]:
    """Ask for licences to be bought (R73, R74). The same keyed call gives the same request.

    Raises NotFound for a foreign tenant; Conflict while a step is missing, the licence is not mapped,
    buying is off, or the product is already being bought for the tenant; Invalid for a bad value.
    """
    earlier = await desk.requests.replayed(request.id(), request)
    if earlier is not None:
        return earlier
    rules.checked_po(want.po_number)
    tenant, connection = await _connected(desk, want.tenant_id, caller, cause)
    terms = await desk.resellers.terms(connection.reseller_id, want.product, caller, cause)
    _buyable(terms, connection.reseller_id)
    rules.checked_quantity(want.quantity, terms.minimum_quantity, terms.maximum_quantity)
    state = _state(desk, want, tenant, connection, terms, caller, request.id())
    purchase, facts = rules.requested(state, cause.correlation_id, traceparent(), desk.real_now())
    crash.point("order.request.accepted")
    inserted = await desk.requests.insert(purchase, facts, cause, request)
    crash.point("order.request.written")
    return inserted


async def _connected(
    desk: Desk, tenant_id: str, caller: Caller, cause: Cause
) -> tuple[Tenant, Connection]:
    tenant = await desk.tenants.tenant(tenant_id, caller, cause)
    caller.require("requester", "purchaser", customer=tenant.customer_id, tenant=tenant.id)
    if tenant.connection is None:
        raise Conflict(
            "the tenant is not connected to a marketplace customer",
            code="tenant_not_connected",
            missing_step=f"PUT /v1/tenants/{tenant.id}/connection",
        )
    return tenant, tenant.connection


def _sellable(terms: Terms, reseller_id: str) -> None:
    if terms.product_name is None:
        raise Invalid(
            "the reseller does not sell this product",
            code="unknown_product",
            errors=(FieldError("/product", f"choose from /v1/resellers/{reseller_id}/products"),),
        )


def _buyable(terms: Terms, reseller_id: str) -> None:
    if not terms.reseller.buying_enabled:
        raise Conflict(
            "buying is off for this reseller",
            code="buying_disabled",
            missing_step=f"PATCH /v1/resellers/{reseller_id} with buying_enabled: true",
        )
    if terms.mapping is None:
        raise Conflict(
            "the product is mapped neither to a Microsoft licence nor to no licence",
            code="license_not_mapped",
            missing_step=f"POST /v1/resellers/{reseller_id}/license-mappings",
        )
    _sellable(terms, reseller_id)


def _state(
    desk: Desk,
    want: Want,
    tenant: Tenant,
    connection: Connection,
    terms: Terms,
    caller: Caller,
    id: str,
) -> LicenseChangeRequest:
    return LicenseChangeRequest(
        id=id,
        kind="buy",
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
        po_number_sent=rules.po_to_send(want.po_number, id, terms.po_suffix),
        comment=want.comment,
        origin="person",
        requested_by=caller.subject,
        requested_at=desk.now(),
        unit_price=terms.unit_price,
    )
