"""Records as SimpleAPI 1.15 shows them. Lists are thinner than details, as live lists are."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from purser_sandbox.clock import timestamp
from purser_sandbox.marketplace.access import Caller
from purser_sandbox.marketplace.pricing import (
    customer_price,
    distributor_cost,
    line_cost,
    line_price,
    money,
    reseller_cost,
)
from purser_sandbox.world.catalogue import Plan
from purser_sandbox.world.lifecycle import term_end
from purser_sandbox.world.records import (
    Customer,
    Order,
    OrderLine,
    Period,
    Product,
    Reseller,
    Subscription,
)

Json = dict[str, Any]
LINE_TYPES = {"sales": "CREATE", "change": "UPGRADE", "renewal": "RENEW", "cancellation": "CANCEL"}


def period(value: Period) -> Json:
    return {"type": value.type, "duration": value.duration}


def _without_nones(value: Json) -> Json:
    return {key: item for key, item in value.items() if item is not None}


def reseller_row(row: Reseller) -> Json:
    return {
        "id": row.id,
        "externalId": row.external_id,
        "status": row.status,
        "name": row.name,
        "currency": row.currency,
    }


def reseller_detail(row: Reseller) -> Json:
    return reseller_row(row) | {
        "attributes": {},
        "address": {
            "streetAddress": "1 Example Square",
            "postalCode": "10115",
            "city": "Sampletown",
            "countryCode": "DE",
        },
        "contactPersons": [
            {
                "type": "admin",
                "firstName": "Sales",
                "lastName": "Desk",
                "email": f"sales@reseller{row.id}.example",
                "phoneNumber": "49#30#5550100#",
            }
        ],
        "language": "en_US",
        "taxationProviderName": "Default",
        "customerClass": "Default",
    }


def customer_row(row: Customer) -> Json:
    shown = {
        "id": row.id,
        "externalId": row.external_id,
        "status": row.status,
        "name": row.name,
        "resellerId": row.reseller_id,
    }
    return _without_nones(shown)


def customer_detail(row: Customer) -> Json:
    shown = customer_row(row) | {
        "attributes": row.attributes,
        "address": row.address,
        "contactPersons": row.contact_persons,
        "language": row.language,
        "taxRegId": row.tax_reg_id,
    }
    return _without_nones(shown)


def product_row(caller: Caller, row: Product) -> Json:
    return {
        "mpn": row.mpn,
        "vendor": row.vendor,
        "id": row.id,
        "serviceName": row.service_name,
        "name": row.name,
        "minimumQuantity": str(row.minimum),
        "maximumQuantity": str(row.maximum),
        "prices": _price_entries(caller, row, "prices"),
        "costs": _price_entries(caller, row, "costs"),
        "billingPeriod": period(row.billing_period),
        "subscriptionPeriod": period(row.subscription_period),
        "billingModel": row.billing_model,
        "dependsOn": [
            {"mpn": mpn, "id": caller.world.catalogue.by_mpn(mpn)[0].id} for mpn in row.depends_on
        ],
        "coterming": {"required": row.coterming, "type": "SUBSCRIPTION"},
    }


def _price_entries(caller: Caller, row: Product, column: str) -> list[Json]:
    """`costs` is what the caller pays, `prices` what it charges the next level."""
    entries = []
    for tier in row.prices:
        quantity = Decimal(max(tier.lower_limit, 1))
        own = caller.login.costs.get(row.mpn)
        if own is not None:
            pays, asks = own, tier.price
        elif caller.login.kind == "parent":
            pays, asks = distributor_cost(row, quantity), reseller_cost(row, quantity)
        else:
            pays, asks = tier.cost, tier.price
        amount = pays if column == "costs" else asks
        entries.append(
            money(amount, caller.currency)
            | {"type": row.price_type, "model": row.price_model, "lowerLimit": tier.lower_limit}
        )
    return entries


def plan_row(plan: Plan) -> Json:
    return {
        "id": str(plan.id),
        "name": plan.name,
        "shortDescription": plan.name,
        "longDescription": f"{plan.name}, billed per {plan.billing_period.type}",
        "published": plan.published,
        "subscriptionPeriods": [
            period(term) | {"trial": False, "active": True} for term in plan.subscription_periods
        ],
        "billingPeriod": period(plan.billing_period),
        "billingModel": plan.billing_model,
    }


def plan_detail(plan: Plan) -> Json:
    terms = plan.subscription_periods
    switches = [
        {
            "planId": plan.id,
            "sourceSubscriptionPeriod": period(source),
            "subscriptionPeriod": period(target),
            "billingPolicy": "prorate_starting_new_subscription_period",
            "whenEffective": "next_subscription_period",
        }
        for source in terms
        for target in terms
        if source != target
    ]
    return plan_row(plan) | {"planSwitches": switches}


def order_row(caller: Caller, order: Order) -> Json:
    shown = {
        "id": order.id,
        "orderNumber": order.number,
        "type": order.type,
        "customerId": order.customer_id,
        "creationDate": timestamp(order.created_at),
        "provisioningDate": timestamp(order.provisioned_at) if order.provisioned_at else None,
        "status": order.status,
        "statusCode": order.status_code,
        "total": money(order.total, caller.currency),
        "creditCheck": False,
        "scheduledOn": order.scheduled_on,
        "subscriptionId": _shown_subscription(caller, order, order.subscription_id),
    }
    return _without_nones(shown)


def order_detail(caller: Caller, order: Order) -> Json:
    shown = order_row(caller, order) | {"poNumber": order.po_number, "attributes": order.attributes}
    if order.type in ("sales", "change"):
        shown["products"] = [_order_line(caller, order, line) for line in order.lines]
        shown["details"] = [_order_charge(caller, order, line) for line in order.lines]
    return _without_nones(shown)


def _shown_subscription(caller: Caller, order: Order, key: str | None) -> str | None:
    if order.type == "sales" and key not in caller.world.subscriptions:
        return None
    return key


def read_back_quantity(order: Order, line: OrderLine) -> Decimal:
    """A completed immediate change reads as a signed delta, a scheduled one as its target."""
    if order.type == "change" and not order.scheduled_on:
        return line.quantity - line.before
    return line.quantity


def _order_line(caller: Caller, order: Order, line: OrderLine) -> Json:
    product = caller.world.catalogue.products[line.product_id]
    quantity = read_back_quantity(order, line)
    price = customer_price(product, line.quantity)
    shown = product_identity(product) | {
        "name": product.name,
        "quantity": float(quantity),
        "extendedPrice": money(price * quantity, caller.currency),
        "subscriptionId": _shown_subscription(caller, order, line.subscription_id),
        "parameters": line.parameters,
        "type": LINE_TYPES[order.type],
    }
    return _without_nones(shown)


def product_identity(product: Product) -> Json:
    return {
        "mpn": product.mpn,
        "vendor": product.vendor,
        "id": product.id,
        "billingPeriod": period(product.billing_period),
        "subscriptionPeriod": period(product.subscription_period),
    }


def _order_charge(caller: Caller, order: Order, line: OrderLine) -> Json:
    product = caller.world.catalogue.products[line.product_id]
    quantity = read_back_quantity(order, line)
    price, cost = customer_price(product, line.quantity), reseller_cost(product, line.quantity)
    start = order.created_at.date()
    through = term_end(start, product.billing_period) - timedelta(days=1)
    back = "recurringRefund" if quantity < 0 else "recurring"
    return {
        "type": "setup" if product.price_type == "setup" else back,
        "mpn": product.mpn,
        "productId": product.id,
        "duration": {
            "type": product.billing_period.type,
            "duration": float(product.billing_period.duration),
        },
        "description": f"{product.name} from {start} through {through}",
        "quantity": float(quantity),
        "unitPrice": money(cost, caller.currency),
        "extendedPrice": money(cost * quantity, caller.currency),
        "salesUnitPrice": money(price, caller.currency),
        "salesExtendedPrice": money(price * quantity, caller.currency),
    }


def subscription_row(row: Subscription) -> Json:
    """Absent dates and billing models are null, as seen live."""
    return {
        "id": row.id,
        "name": row.name,
        "customerId": row.customer_id,
        "status": row.status,
        "attributes": row.attributes,
        "renewalStatus": row.renewal_status,
        "creationDate": row.created_at.date().isoformat(),
        "renewalDate": row.renewal_date.isoformat() if row.renewal_date else None,
        "lastModifiedDate": row.modified_on.isoformat(),
        "expirationDate": row.expiration_date.isoformat() if row.expiration_date else None,
        "billingModel": row.billing_model,
        "billingPeriod": period(row.billing_period) if row.billing_period else None,
        "subscriptionPeriod": period(row.subscription_period),
    }


def subscription_detail(caller: Caller, row: Subscription) -> Json:
    products = caller.world.catalogue.products
    lines, price, cost, provider = [], Decimal(0), Decimal(0), Decimal(0)
    for line in row.lines:
        product = products[line.product_id]
        unit_price, unit_cost = line_price(product, line), line_cost(product, line)
        price += unit_price * line.quantity
        cost += unit_cost * line.quantity
        provider += distributor_cost(product, Decimal(line.quantity)) * line.quantity
        lines.append(
            {
                "mpn": product.mpn,
                "vendor": product.vendor,
                "id": product.id,
                "quantity": line.quantity,
                "name": product.name,
                "unitPrice": money(unit_price, caller.currency),
                "unitCost": money(unit_cost, caller.currency),
                "extendedPrice": money(unit_price * line.quantity, caller.currency),
                "vendorSubscriptionId": line.vendor_subscription_id,
            }
        )
    periods = _billings(row)
    shown = subscription_row(row) | {
        "products": lines,
        "planId": row.plan_id,
        "totalPrice": money(price, caller.currency),
        "totalSubscriptionPrice": money(price * periods, caller.currency),
        "totalSubscriptionCost": money(cost * periods, caller.currency),
        "orderParameters": row.order_parameters,
        "fulfillmentParameters": (
            [{"name": "ms_customer_id", "value": row.tenant_id}] if row.tenant_id else []
        ),
    }
    if caller.login.kind == "parent":
        shown["totalSubscriptionProviderCost"] = money(provider * periods, caller.currency)
    return shown


def _billings(row: Subscription) -> int:
    if row.billing_period is None or not row.billing_period.months:
        return 1
    return max(row.subscription_period.months // row.billing_period.months, 1)
