"""SimpleAPI 1.15 under ``/marketplace/{region}``."""

from datetime import date
from typing import Any

from fastapi import APIRouter, Request

from purser_sandbox.marketplace import views
from purser_sandbox.marketplace.access import Caller, authenticate, issue_token
from purser_sandbox.marketplace.errors import Refused
from purser_sandbox.marketplace.estimating import estimate, validate_parameters
from purser_sandbox.marketplace.ordering import cancel_order, listed, place_order
from purser_sandbox.marketplace.requests import (
    check_fields,
    check_query,
    json_body,
    moment_parameter,
    page,
)
from purser_sandbox.world.records import Customer, Order, Product, Reseller, Subscription
from purser_sandbox.world.state import World

Json = dict[str, Any]
ACCOUNT_QUERY = {"name", "email", "externalId"}
ORDER_QUERY = {"customerId", "subscriptionId", "status", "creationTimeFrom", "creationTimeTo"}
router = APIRouter(prefix="/marketplace/{region}", tags=["marketplace"])


def _caller(request: Request) -> Caller:
    world: World = request.app.state.world
    world.settle()
    caller = Caller(world, authenticate(world, request))
    if request.method == "GET" and request.scope["route"].path.endswith("}"):
        request.app.state.reads.spend(caller.login)
    return caller


@router.post("/token")
async def post_token(request: Request) -> Json:
    world: World = request.app.state.world
    return issue_token(world, request, await json_body(request))


@router.get("/resellers")
async def get_resellers(request: Request) -> Json:
    caller = _caller(request)
    check_query(caller.world, request, ACCOUNT_QUERY)
    rows = _reseller_list(caller)
    name, external = request.query_params.get("name"), request.query_params.get("externalId")
    rows = [
        row
        for row in reversed(rows)
        if (name is None or name.lower() in row.name.lower())
        and external in (None, row.external_id)
    ]
    return page(caller.world, request, rows, views.reseller_row)


def _reseller_list(caller: Caller) -> list[Reseller]:
    """What a leaf account gets here is undocumented; all three answers can be switched on."""
    if caller.login.kind == "parent":
        return caller.world.resellers_of(caller.login)
    answer = caller.login.reseller_list or caller.world.settings.leaf_reseller_list
    if answer == "403":
        raise Refused(403, "Access is denied.")
    return caller.world.resellers_of(caller.login) if answer == "itself" else []


@router.get("/resellers/{reseller_id}")
async def get_reseller(request: Request, reseller_id: str) -> Json:
    return views.reseller_detail(_caller(request).reseller(reseller_id))


@router.get("/resellers/{reseller_id}/customers")
async def get_reseller_customers(request: Request, reseller_id: str) -> Json:
    caller = _caller(request)
    check_query(caller.world, request, ACCOUNT_QUERY)
    caller.reseller(reseller_id)
    rows = [row for row in caller.customers() if row.reseller_id == reseller_id]
    return _customer_page(caller, request, rows)


@router.get("/resellers/{reseller_id}/orders")
async def get_reseller_orders(request: Request, reseller_id: str) -> Json:
    caller = _caller(request)
    check_query(caller.world, request, ORDER_QUERY)
    caller.reseller(reseller_id)
    return _order_page(caller, request, reseller_id)


@router.get("/customers")
async def get_customers(request: Request) -> Json:
    caller = _caller(request)
    check_query(caller.world, request, ACCOUNT_QUERY | {"resellerId"})
    reseller_id = request.query_params.get("resellerId")
    rows = [row for row in caller.customers() if reseller_id in (None, row.reseller_id)]
    return _customer_page(caller, request, rows)


def _customer_page(caller: Caller, request: Request, rows: list[Customer]) -> Json:
    name, email = request.query_params.get("name"), request.query_params.get("email")
    external = request.query_params.get("externalId")
    fitting = [
        row
        for row in reversed(rows)
        if (name is None or name.lower() in row.name.lower())
        and (email is None or email in [person["email"] for person in row.contact_persons])
        and external in (None, row.external_id)
    ]
    return page(caller.world, request, fitting, views.customer_row)


@router.get("/customers/{customer_id}")
async def get_customer(request: Request, customer_id: str) -> Json:
    return views.customer_detail(_caller(request).customer(customer_id))


@router.get("/products")
async def get_products(request: Request) -> Json:
    caller = _caller(request)
    check_query(caller.world, request, {"name", "serviceName", "mpn", "vendor"})
    query = request.query_params

    def fits(row: Product) -> bool:
        return (
            query.get("name", "").lower() in row.name.lower()
            and query.get("serviceName", "").lower() in row.service_name.lower()
            and query.get("mpn") in (None, row.mpn)
            and query.get("vendor") in (None, row.vendor)
        )

    rows = [row for row in caller.products() if fits(row)]
    return page(caller.world, request, rows, lambda row: views.product_row(caller, row))


@router.get("/plans")
async def get_plans(request: Request) -> Json:
    caller = _caller(request)
    check_query(caller.world, request, set())
    return page(caller.world, request, list(caller.world.catalogue.plans.values()), views.plan_row)


@router.get("/plans/{plan_id}")
async def get_plan(request: Request, plan_id: str) -> Json:
    plans = _caller(request).world.catalogue.plans
    if not plan_id.isdecimal() or int(plan_id) not in plans:
        raise Refused(404, f"Plan with id {plan_id} is not found.")
    return views.plan_detail(plans[int(plan_id)])


@router.get("/orders")
async def get_orders(request: Request) -> Json:
    caller = _caller(request)
    check_query(caller.world, request, ORDER_QUERY | {"orderNumber", "statusCode"})
    return _order_page(caller, request, None)


def _order_page(caller: Caller, request: Request, reseller_id: str | None) -> Json:
    world, query = caller.world, request.query_params
    earliest = moment_parameter(request, "creationTimeFrom")
    latest = moment_parameter(request, "creationTimeTo")
    now = world.clock.now()

    def fits(row: Order) -> bool:
        asked = {
            "customerId": row.customer_id,
            "subscriptionId": row.subscription_id,
            "orderNumber": row.number,
            "status": row.status,
            "statusCode": row.status_code,
        }
        moment = row.created_at.replace(microsecond=0)
        return (
            all(query.get(name) in (None, value) for name, value in asked.items())
            and reseller_id in (None, row.reseller_id)
            and (earliest is None or earliest <= moment)
            and (latest is None or moment <= latest)
            and listed(caller, row, now)
        )

    customer_id = query.get("customerId")
    candidates = world.customer_orders(customer_id) if customer_id else world.orders.values()
    rows = sorted(filter(fits, candidates), key=lambda row: (row.created_at, row.id), reverse=True)
    return page(world, request, rows, lambda row: views.order_row(caller, row))


@router.post("/orders")
async def post_order(request: Request) -> Json:
    caller = _caller(request)
    body = await json_body(request)
    order = place_order(caller, body, request.scope.get("sandbox.fate"))
    request.scope["sandbox.order_id"] = order.id
    return views.order_detail(caller, order)


@router.post("/orders/estimate")
async def post_estimate(request: Request) -> Json:
    caller = _caller(request)
    return estimate(caller, await json_body(request))


def _order(caller: Caller, order_id: str) -> Order:
    order = caller.world.orders.get(order_id)
    if order is None or not caller.world.sees(caller.login, order.reseller_id):
        raise Refused(404, f"Order with id {order_id} is not found.")
    return order


@router.get("/orders/{order_id}")
async def get_order(request: Request, order_id: str) -> Json:
    caller = _caller(request)
    return views.order_detail(caller, _order(caller, order_id))


@router.patch("/orders/{order_id}")
async def patch_order(request: Request, order_id: str) -> Json:
    caller = _caller(request)
    order = _order(caller, order_id)
    cancel_order(caller, order, await json_body(request))
    return views.order_detail(caller, order)


@router.get("/subscriptions")
async def get_subscriptions(request: Request) -> Json:
    caller = _caller(request)
    known = {"customerId", "status", "creationDateFrom", "creationDateTo"}
    check_query(caller.world, request, known)
    world, query = caller.world, request.query_params
    earliest, latest = _day(query.get("creationDateFrom")), _day(query.get("creationDateTo"))

    def fits(row: Subscription) -> bool:
        day = row.created_at.date()
        return (
            query.get("status") in (None, row.status)
            and (earliest is None or earliest <= day)
            and (latest is None or day <= latest)
            and world.sees(caller.login, row.reseller_id)
        )

    customer_id = query.get("customerId")
    candidates = (
        world.customer_subscriptions(customer_id) if customer_id else world.subscriptions.values()
    )
    rows = sorted(filter(fits, candidates), key=lambda row: (row.created_at, row.id), reverse=True)
    return page(world, request, rows, views.subscription_row)


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text[:10]) if text else None
    except ValueError as error:
        raise Refused(400, "Creation dates must have the form YYYY-MM-DD.") from error


def _subscription(caller: Caller, subscription_id: str) -> Subscription:
    row = caller.world.subscriptions.get(subscription_id)
    if row is None or not caller.world.sees(caller.login, row.reseller_id):
        raise Refused(404, f"Subscription with id {subscription_id} is not found.")
    return row


@router.get("/subscriptions/{subscription_id}")
async def get_subscription(request: Request, subscription_id: str) -> Json:
    caller = _caller(request)
    return views.subscription_detail(caller, _subscription(caller, subscription_id))


@router.patch("/subscriptions/{subscription_id}")
async def patch_subscription(request: Request, subscription_id: str) -> Json:
    """Sets renewalStatus and attributes. Quantity and status are not in the schema and are
    ignored, as by the real marketplace."""
    caller = _caller(request)
    row = _subscription(caller, subscription_id)
    body = await json_body(request)
    check_fields(caller.world, body, {"products", "attributes", "renewalStatus"})
    renewal = body.get("renewalStatus", row.renewal_status)
    attributes = body.get("attributes", row.attributes)
    if not isinstance(renewal, bool) or not isinstance(attributes, dict):
        raise Refused(400, "renewalStatus must be true or false, attributes an object.")
    if row.status not in ("active", "pending", "hold"):
        raise Refused(400, f"Subscription {row.id} is in status {row.status}.")
    row.renewal_status, row.attributes = renewal, attributes
    row.modified_on = caller.world.clock.now().date()
    caller.world.save(row)
    return views.subscription_detail(caller, row)


@router.post("/validation/parameters")
async def post_validation(request: Request) -> Json:
    caller = _caller(request)
    return validate_parameters(caller, request, await json_body(request))
