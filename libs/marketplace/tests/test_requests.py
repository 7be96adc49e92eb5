"""Every request is judged by the published contract (in the fixture); here is what it must say."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import httpx
import pytest
from pydantic import ValidationError

from purser_marketplace.errors import NotFound
from purser_marketplace.models import NewOrder, Period

YEAR, MONTH = Period(type="year", duration=1), Period(type="month", duration=1)
LINE = {
    "mpn": "SIMBB:0001_P1Y:M",
    "vendor": "SIMMICROSOFT",
    "subscription_period": YEAR,
    "billing_period": MONTH,
}
SALES = NewOrder.sales(customer_id="C1", po_number="PO-1", quantity=5, **LINE)
CHANGE = NewOrder.change(customer_id="C1", po_number=None, subscription_id="S1", quantity=7, **LINE)
AT_RENEWAL = NewOrder.change(
    customer_id="C1",
    po_number="PO-2",
    subscription_id="S1",
    quantity=Decimal("2.0"),
    scheduled_on="renewal",
    **LINE,
)
CANCELLATION = NewOrder.cancellation(customer_id="C1", po_number="PO-3", subscription_id="S1")


@pytest.mark.parametrize("new_order", [SALES, CHANGE, AT_RENEWAL, CANCELLATION])
async def test_every_kind_of_order_is_one_the_contract_accepts(marketplace_answering, new_order):
    bodies = []

    def answer(request):
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json={"total": {"currency": "USD", "amount": "32.05"}})

    estimate = await marketplace_answering(answer).estimate(new_order)

    assert bodies == [new_order.to_json()]
    assert estimate.total is not None
    assert estimate.total.amount == Decimal("32.05")


def test_a_sale_names_the_product_by_all_four_identity_fields():
    assert SALES.to_json() == {
        "type": "sales",
        "customerId": "C1",
        "poNumber": "PO-1",
        "products": [
            {
                "mpn": "SIMBB:0001_P1Y:M",
                "vendor": "SIMMICROSOFT",
                "subscriptionPeriod": {"type": "year", "duration": 1},
                "billingPeriod": {"type": "month", "duration": 1},
                "quantity": 5,
            }
        ],
    }


def test_a_change_names_the_subscription_on_the_order_and_on_the_line():
    body = AT_RENEWAL.to_json()

    assert body["subscriptionId"] == body["products"][0]["subscriptionId"] == "S1"
    assert body["scheduledOn"] == "renewal"
    assert body["products"][0]["quantity"] == 2
    assert isinstance(body["products"][0]["quantity"], int)


def test_a_cancellation_names_the_subscription_on_the_order_and_on_the_line():
    assert CANCELLATION.to_json() == {
        "type": "cancellation",
        "customerId": "C1",
        "poNumber": "PO-3",
        "subscriptionId": "S1",
        "products": [{"subscriptionId": "S1"}],
    }


def test_an_order_for_nothing_is_not_made():
    with pytest.raises(ValidationError, match="quantity"):
        NewOrder.sales(customer_id="C1", po_number=None, quantity=0, **LINE)


async def test_every_list_asks_only_what_the_contract_knows(marketplace_answering):
    urls = []

    def answer(request):
        urls.append(str(request.url).removeprefix("http://marketplace.test/marketplace/eu"))
        return httpx.Response(200, json={"data": [], "pagination": {"total": 0}})

    shop = marketplace_answering(answer)
    since = datetime(2026, 3, 1, 2, 30, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    for rows in (
        shop.resellers(),
        shop.reseller_customers("R 1"),
        shop.customers(),
        shop.plans(),
        shop.products(mpn="A:1", vendor="V", name="Basic"),
        shop.orders(customer_id="C1", created_from=since, order_number="SO1"),
        shop.subscriptions(customer_id="C1"),
        shop.subscriptions(),
    ):
        assert [row async for row in rows] == []

    assert urls == [
        "/resellers?offset=0&limit=100",
        "/resellers/R%201/customers?offset=0&limit=100",
        "/customers?offset=0&limit=100",
        "/plans?offset=0&limit=100",
        "/products?mpn=A%3A1&vendor=V&name=Basic&offset=0&limit=100",
        "/orders?customerId=C1&creationTimeFrom=2026-03-01T00%3A30%3A00Z&orderNumber=SO1"
        "&offset=0&limit=100",
        "/subscriptions?customerId=C1&offset=0&limit=100",
        "/subscriptions?offset=0&limit=100",
    ]


async def test_every_by_id_read_is_in_the_contract(marketplace_answering):
    def answer(request):
        return httpx.Response(200, json={"id": request.url.path.rpartition("/")[2], "name": "N"})

    shop = marketplace_answering(answer)

    assert (await shop.reseller("7")).id == "7"
    assert (await shop.customer("8")).id == "8"
    assert (await shop.plan("9")).id == "9"
    assert (await shop.order("10")).id == "10"
    assert (await shop.subscription("11")).id == "11"


async def test_setting_auto_renewal_sends_that_alone_and_re_reads(marketplace_answering):
    seen = []

    def answer(request):
        seen.append((request.method, request.content))
        return httpx.Response(200, json={"id": "S1", "renewalStatus": request.method == "PATCH"})

    subscription = await marketplace_answering(answer).set_auto_renewal("S1", True)

    assert seen == [("PATCH", b'{"renewalStatus":true}'), ("GET", b"")]
    assert subscription.renewal_status is False


@pytest.mark.parametrize("id", ["", " ", ".", ".."])
async def test_an_id_that_would_become_another_path_is_never_sent(marketplace_answering, id):
    with pytest.raises(NotFound):
        await marketplace_answering(lambda request: httpx.Response(500)).order(id)


async def test_an_id_cannot_leave_its_place_in_the_path(marketplace_answering):
    paths = []

    def answer(request):
        paths.append(request.url.raw_path)
        return httpx.Response(200, json={"id": "../customers?x=1#y"})

    shop = marketplace_answering(answer)
    await shop.order("../customers?x=1#y")

    assert paths == [b"/marketplace/eu/orders/..%2Fcustomers%3Fx%3D1%23y"]


async def test_a_moment_without_a_zone_is_not_guessed(marketplace_answering):
    shop = marketplace_answering(lambda request: httpx.Response(500))

    with pytest.raises(ValueError, match="created_from"):
        shop.orders(created_from=datetime(2026, 3, 1, tzinfo=UTC).replace(tzinfo=None))


async def test_a_cookie_handed_to_one_account_reaches_no_other(marketplace_answering):
    cookies = []

    def answer(request):
        cookies.append(request.headers.get("cookie"))
        return httpx.Response(200, json={"id": "C1"}, headers={"Set-Cookie": "session=one; Path=/"})

    shop = marketplace_answering(answer)
    await shop.customer("C1")
    await shop.customer("C1")

    assert cookies == [None, None]
