"""Which catalogue row, how many and with which parameters: the lines of an order body."""

from decimal import Decimal, InvalidOperation
from typing import Any

from purser_sandbox.marketplace.access import Caller
from purser_sandbox.marketplace.errors import Refused
from purser_sandbox.marketplace.requests import check_fields
from purser_sandbox.world.records import EntraTenant, OrderLine, Product, Subscription

LINE_FIELDS = {
    "mpn", "vendor", "id", "billingPeriod", "subscriptionPeriod", "newMPN", "newId", "name",
    "quantity", "extendedPrice", "specialPrice", "specialCost", "specialProviderCost", "deals",
    "subscriptionId", "targetSubscriptionId", "parameters", "tcvs", "newProductId", "type",
    "newSubscription", "margins", "vendorRatedExtendedCost", "vendorDiscounts",
    "vendorAlreadyAccountedTcvs",
}  # fmt: skip
PARAMETERS = {
    "tenant_preference", "microsoft_domain", "microsoft_tenant_id", "mca_acceptance",
    "agreement_date", "first_name_agreement", "last_name_agreement", "email_address_agreement",
    "partner_on_record_attestation_accepted", "special_qualifications", "offer_attestation",
}  # fmt: skip
"""Parameter names of CloudBlue's Microsoft connector; they are case-sensitive."""


def line_bodies(body: dict[str, Any]) -> list[dict[str, Any]]:
    lines = body.get("products")
    if not isinstance(lines, list) or not lines or not all(isinstance(row, dict) for row in lines):
        raise Refused(400, "At least one product must be specified.")
    return lines


def find_product(caller: Caller, line: dict[str, Any]) -> Product:
    """The one row that the given identity names; 400 when none or several fit."""
    rows = [row for row in caller.world.catalogue.published() if _fits(row, line)]
    named = line.get("id") or line.get("mpn")
    if not named:
        raise Refused(400, "Either id or mpn of a product must be specified.")
    if not rows:
        raise Refused(400, f"There is no entity of product {named}.")
    if len(rows) > 1:
        raise Refused(
            400,
            f"More than one product is found by mpn {named}. "
            "Specify vendor, subscriptionPeriod and billingPeriod or use id.",
        )
    return rows[0]


def _fits(row: Product, line: dict[str, Any]) -> bool:
    return (
        line.get("id") in (None, row.id)
        and line.get("mpn") in (None, row.mpn)
        and line.get("vendor") in (None, row.vendor)
        and _same_period(line.get("subscriptionPeriod"), row.subscription_period.model_dump())
        and _same_period(line.get("billingPeriod"), row.billing_period.model_dump())
    )


def _same_period(given: Any, own: dict[str, Any]) -> bool:
    if not isinstance(given, dict):
        return given is None
    kind = str(given.get("type", own["type"])).lower()
    return bool(kind == own["type"] and given.get("duration", own["duration"]) == own["duration"])


def quantity_of(line: dict[str, Any], product: Product) -> Decimal:
    """A whole number within the product's limits, sent as a number or a string."""
    given = line.get("quantity")
    try:
        quantity = Decimal(str(given))
    except InvalidOperation as error:
        raise Refused(400, f"Quantity of {product.mpn} must be a number.") from error
    if isinstance(given, bool) or not quantity.is_finite() or quantity % 1:
        raise Refused(400, f"Quantity of {product.mpn} must be a whole number.")
    if quantity <= 0 or not product.minimum <= quantity <= product.maximum:
        raise Refused(
            400,
            f"Quantity {quantity} of {product.mpn} is out of limits: "
            f"minimum {product.minimum}, maximum {product.maximum}.",
        )
    return quantity


def parameters_of(line: dict[str, Any]) -> list[dict[str, Any]]:
    given = line.get("parameters") or []
    if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
        raise Refused(400, "Parameters must be a list of names and values.")
    for row in given:
        if row.get("name") not in PARAMETERS:
            raise Refused(400, f"Unknown parameter {row.get('name')}.")
    return given


def read_lines(caller: Caller, body: dict[str, Any]) -> list[OrderLine]:
    read = []
    for line in line_bodies(body):
        check_fields(caller.world, line, LINE_FIELDS)
        product = find_product(caller, line)
        read.append(
            OrderLine(
                product_id=product.id,
                quantity=quantity_of(line, product),
                parameters=parameters_of(line),
            )
        )
    return read


def with_dependencies(caller: Caller, customer_id: str, lines: list[OrderLine]) -> list[OrderLine]:
    """Adds one of each product that a line depends on and the customer has not got."""
    catalogue = caller.world.catalogue
    owned = {line.product_id for line in lines} | {
        line.product_id
        for row in caller.world.customer_subscriptions(customer_id)
        if row.status == "active"
        for line in row.lines
    }
    added = []
    for line in lines:
        for mpn in catalogue.products[line.product_id].depends_on:
            needed = catalogue.by_mpn(mpn)[0].id
            if needed not in owned:
                owned.add(needed)
                added.append(OrderLine(product_id=needed, quantity=Decimal(1), added=True))
    return lines + added


def tenant_for(caller: Caller, customer_id: str, lines: list[OrderLine]) -> EntraTenant | None:
    """The Entra tenant that the parameters name, else the customer's first; 400 for a tenant
    that is not the customer's."""
    tenants = caller.world.tenants_of(customer_id)
    for line in lines:
        for row in line.parameters:
            if row["name"] not in ("microsoft_domain", "microsoft_tenant_id"):
                continue
            named = [tenant for tenant in tenants if row.get("value") in (tenant.id, tenant.domain)]
            if not named:
                raise Refused(400, f"Parameter {row['name']}: the tenant is not found.")
            return named[0]
    return tenants[0] if tenants else None


def subscription_line(
    caller: Caller, subscription: Subscription, line: dict[str, Any]
) -> tuple[Product, Decimal]:
    """The product of a change line and the quantity that the subscription has of it."""
    fitting = [
        product
        for row in subscription.lines
        if _fits(product := caller.world.catalogue.products[row.product_id], line)
    ]
    if len(fitting) == 1:
        row = subscription.line(fitting[0].id)
        return fitting[0], Decimal(row.quantity if row else 0)
    product = find_product(caller, line)
    if product.plan_id != subscription.plan_id:
        raise Refused(400, f"Product {product.mpn} is not in plan {subscription.plan_id}.")
    return product, Decimal(0)
