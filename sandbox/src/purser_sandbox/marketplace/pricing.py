"""What a quantity costs at each level of distributor, reseller and customer."""

from decimal import ROUND_HALF_UP, Decimal

from purser_sandbox.world.records import Product, SubscriptionLine

DISTRIBUTOR_SHARE = Decimal("0.92")
"""Invented: what the distributor pays of what it charges its resellers."""
CENT = Decimal("0.01")


def money(amount: Decimal, currency: str) -> dict[str, str]:
    return {"currency": currency, "amount": str(amount.quantize(CENT, ROUND_HALF_UP))}


def customer_price(product: Product, quantity: Decimal) -> Decimal:
    return product.row(quantity).price


def reseller_cost(product: Product, quantity: Decimal) -> Decimal:
    return product.row(quantity).cost


def distributor_cost(product: Product, quantity: Decimal) -> Decimal:
    return (reseller_cost(product, quantity) * DISTRIBUTOR_SHARE).quantize(CENT, ROUND_HALF_UP)


def line_price(product: Product, line: SubscriptionLine) -> Decimal:
    if line.unit_price is not None:
        return line.unit_price
    return customer_price(product, Decimal(line.quantity))


def line_cost(product: Product, line: SubscriptionLine) -> Decimal:
    if line.unit_cost is not None:
        return line.unit_cost
    return reseller_cost(product, Decimal(line.quantity))
