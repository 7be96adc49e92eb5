"""Prices an order without placing it, and checks its parameters."""

import uuid
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

from fastapi import Request

from purser_sandbox.clock import timestamp
from purser_sandbox.marketplace.access import Caller
from purser_sandbox.marketplace.lines import PARAMETERS, find_product, line_bodies
from purser_sandbox.marketplace.ordering import draft_order
from purser_sandbox.marketplace.pricing import (
    customer_price,
    distributor_cost,
    money,
    reseller_cost,
)
from purser_sandbox.marketplace.views import period, product_identity
from purser_sandbox.world.lifecycle import term_end
from purser_sandbox.world.records import Order, OrderLine, Product
from purser_sandbox.world.seed import DISTRIBUTOR_ID

Json = dict[str, Any]
PROVIDER_ID = 1000000


def estimate(caller: Caller, body: dict[str, Any]) -> Json:
    """The order's shape with totals for each level of the chain from seller to buyer."""
    order = draft_order(caller, body)
    answer: Json = {
        "type": order.type,
        "customerId": order.customer_id,
        "total": money(order.total, caller.currency),
        "products": [_line(caller, order, line) for line in order.lines],
        "subscriptions": _plans(caller, order),
    }
    optional = {"poNumber": order.po_number, "subscriptionId": order.subscription_id}
    return answer | {key: value for key, value in optional.items() if value is not None}


def _levels(caller: Caller, order: Order) -> list[tuple[int, int, str]]:
    reseller = caller.world.resellers[order.reseller_id]
    above = int(reseller.parent_id or DISTRIBUTOR_ID)
    levels = [
        (above, int(reseller.id), "reseller"),
        (int(reseller.id), int(order.customer_id), "customer"),
    ]
    if caller.login.kind == "parent":
        levels.insert(0, (PROVIDER_ID, above, "distributor"))
    return levels


def _amount(product: Product, line: OrderLine, level: str) -> Decimal:
    unit = {
        "distributor": distributor_cost,
        "reseller": reseller_cost,
        "customer": customer_price,
    }[level](product, line.quantity)
    return unit * (line.quantity - line.before)


def _totals(caller: Caller, amount: Decimal) -> Json:
    price = money(amount, caller.currency)
    return {"total": price, "discTotal": price, "effectiveTotal": price}


def _line(caller: Caller, order: Order, line: OrderLine) -> Json:
    product = caller.world.catalogue.products[line.product_id]
    answer = product_identity(product) | {
        "name": product.name,
        "quantity": float(line.quantity),
        "extendedPrice": money(_amount(product, line, "customer"), caller.currency),
        "tcvs": [
            {"sellerId": seller, "buyerId": buyer}
            | _totals(caller, _amount(product, line, level) * _billings(product))
            for seller, buyer, level in _levels(caller, order)
        ],
    }
    if line.subscription_id:
        answer["subscriptionId"] = line.subscription_id
    return answer


def _billings(product: Product) -> int:
    if not product.billing_period.months:
        return 1
    return max(product.subscription_period.months // product.billing_period.months, 1)


def _plans(caller: Caller, order: Order) -> list[Json]:
    """TCVs per plan: `planPeriod` for one billing period, `total` for the whole term."""
    products = caller.world.catalogue.products
    by_plan: dict[int, list[OrderLine]] = {}
    for line in order.lines:
        by_plan.setdefault(products[line.product_id].plan_id, []).append(line)
    start = datetime.combine(order.created_at.date(), time(), order.created_at.tzinfo)
    plans = []
    for plan_id, lines in by_plan.items():
        term = products[lines[0].product_id].subscription_period
        end = datetime.combine(term_end(start.date(), term), time(), start.tzinfo)
        tcvs = []
        for seller, buyer, level in _levels(caller, order):
            rows = [(products[line.product_id], line) for line in lines]
            once = sum((_amount(row, line, level) for row, line in rows), Decimal(0))
            whole = sum(
                (_amount(row, line, level) * _billings(row) for row, line in rows), Decimal(0)
            )
            tcvs.append(
                _totals(caller, whole)
                | {
                    "sellerId": seller,
                    "buyerId": buyer,
                    "startDate": timestamp(start),
                    "endDate": timestamp(end - timedelta(seconds=1)),
                    "planPeriod": _totals(caller, once),
                }
            )
        plans.append({"planId": str(plan_id), "tcvs": tcvs})
    return plans


def validate_parameters(caller: Caller, request: Request, body: dict[str, Any]) -> Json:
    """One result per product; the returned draftRequestId belongs into the next call."""
    customer = caller.customer(str(body.get("customerId", "")))
    tenants = caller.world.tenants_of(customer.id)
    known = {value for tenant in tenants for value in (tenant.id, tenant.domain)}
    results = []
    for line in line_bodies(body):
        product = find_product(caller, line)
        given = line.get("parameters") or []
        results.append(
            {
                "id": product.id,
                "mpn": product.mpn,
                "vendor": product.vendor,
                "billingPeriod": period(product.billing_period),
                "subscriptionPeriod": period(product.subscription_period),
                "draftRequestId": line.get("draftRequestId") or str(uuid.uuid4()),
                "parameters": _results(given, known),
            }
        )
    count = len(results)
    return {"data": results, "pagination": {"offset": 0, "limit": max(count, 1), "total": count}}


def _results(given: list[dict[str, Any]], known: set[str]) -> list[Json]:
    rows = [_result(row, known) for row in given]
    if not {row.get("name") for row in given} & {"microsoft_domain", "microsoft_tenant_id"}:
        rows.append(_missing("microsoft_domain"))
    return rows


def _result(row: dict[str, Any], known: set[str]) -> Json:
    name, value = str(row.get("name")), row.get("value")
    shown: Json = {"name": name, "phase": "order", "reconciliation": False, "type": "string"}
    if isinstance(value, str):
        shown["value"] = value
    message = ""
    if name not in PARAMETERS:
        message = f"Unknown parameter {name}."
    elif name in ("microsoft_domain", "microsoft_tenant_id") and value not in known:
        message = "The tenant is not found at Microsoft."
    if message:
        return shown | {"result": "error", "message": message, "valueError": message}
    return shown | {"result": "success"}


def _missing(name: str) -> Json:
    message = "The parameter is required."
    return {"name": name, "result": "error", "message": message, "valueError": message,
            "phase": "order", "reconciliation": False, "type": "string"}  # fmt: skip
