"""What comes in is read leniently in form, and never guessed."""

from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import pytest
from pydantic import ValidationError

from purser_marketplace.answers import parse_object, read_as
from purser_marketplace.errors import BadAnswer
from purser_marketplace.models import (
    Customer,
    Estimate,
    Money,
    Order,
    Period,
    Product,
    Subscription,
)


def test_a_catalog_row_is_read_with_exact_decimals():
    body = b"""{"id": 77, "mpn": "A:1", "vendor": "V", "name": "Basic", "serviceName": "M365",
      "minimumQuantity": "1.0", "maximumQuantity": "300.0", "extra": {"a": 1},
      "prices": [{"currency": "USD", "amount": "0.1", "type": "RECURRING", "model": "FLAT",
                  "lowerLimit": 1}],
      "costs": [{"currency": "USD", "amount": 0.07000000000000000001}],
      "billingPeriod": {"type": "MONTH", "duration": 1},
      "subscriptionPeriod": {"type": "fortnight", "duration": "1"},
      "billingModel": "chargeSomeNewWay", "dependsOn": [{"mpn": "B:1"}]}"""

    row = read_as(Product, parse_object(body))

    assert row.id == "77"
    assert row.minimum_quantity == Decimal("1.0")
    assert row.prices[0].money == Money(currency="USD", amount=Decimal("0.1"))
    assert row.prices[0].type == "RECURRING"
    assert row.costs[0].amount == Decimal("0.07000000000000000001")
    assert row.billing_period == Period(type="month", duration=1)
    assert row.subscription_period == Period(type="fortnight", duration=1)
    assert row.billing_model == "chargeSomeNewWay"
    assert row.depends_on[0].mpn == "B:1"


def test_a_subscription_links_to_its_tenant_and_counts_its_seats():
    row = Subscription.model_validate(
        {
            "id": 1000001,
            "customerId": 5,
            "status": "onVacation",
            "renewalStatus": True,
            "creationDate": "2026-01-31",
            "renewalDate": None,
            "expirationDate": "",
            "planId": 12,
            "products": [
                {
                    "mpn": "A:1",
                    "quantity": "25",
                    "unitPrice": {"currency": "USD", "amount": "7.32"},
                },
                {"mpn": "B:1", "quantity": 3.0, "vendorSubscriptionId": "V1"},
                {"mpn": "C:1", "quantity": None},
            ],
            "attributes": {"PONumber": "OLD", "n": 5, "gone": None},
            "fulfillmentParameters": [
                {"name": "other", "value": "x"},
                {"name": "ms_customer_id", "value": " 0A11B22C-0000-4000-8000-000000000001 "},
            ],
        }
    )

    assert (row.id, row.customer_id, row.plan_id) == ("1000001", "5", "12")
    assert row.status == "onVacation"
    assert row.creation_date == date(2026, 1, 31)
    assert row.renewal_date is None
    assert row.expiration_date is None
    assert [product.quantity for product in row.products] == [25, 3, None]
    assert row.attributes == {"PONumber": "OLD", "n": "5"}
    assert row.ms_customer_id == "0a11b22c-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T10:00:00Z",
        "2026-03-01T10:00:00.000+00:00",
        "2026-03-01T12:00:00+0200",
        "2026-03-01 10:00:00",
        "2026-03-01 12:00:00 +02:00",
    ],
)
def test_a_moment_is_aware_utc_however_it_is_written(text):
    order = Order.model_validate({"id": "1", "creationDate": text})

    assert order.creation_date == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert order.creation_date.tzinfo is UTC


def test_a_day_is_the_day_as_written():
    row = Subscription.model_validate({"id": "1", "renewalDate": "2026-03-01T23:59:59-08:00"})

    assert row.renewal_date == date(2026, 3, 1)


def test_a_thin_row_has_nothing_made_up():
    order = Order.model_validate({"id": "1", "products": None, "total": None, "attributes": None})

    assert order.products == ()
    assert order.total is None
    assert order.creation_date is None
    assert order.status == "unknown"
    assert order.scheduled_on is None
    assert Subscription.model_validate({"id": "1"}).renewal_status is None
    assert Subscription.model_validate({"id": "1"}).ms_customer_id is None


def test_an_estimate_has_the_contract_value_of_each_level():
    estimate = Estimate.model_validate(
        {
            "total": {"currency": "USD", "amount": "10"},
            "products": [{"mpn": "A:1", "quantity": "-3", "extendedPrice": None}],
            "subscriptions": [
                {
                    "planId": "9",
                    "tcvs": [
                        {
                            "sellerId": 1,
                            "buyerId": 2,
                            "effectiveTotal": {"currency": "USD", "amount": "8.40"},
                            "startDate": "2026-03-01T00:00:00Z",
                            "planPeriod": {"total": {"currency": "USD", "amount": "0.70"}},
                        },
                        {"sellerId": 2, "buyerId": "3", "planPeriod": None},
                    ],
                }
            ],
        }
    )

    assert estimate.lines[0].quantity == Decimal(-3)
    assert estimate.lines[0].extended_price is None
    tcv, lower = estimate.subscriptions[0].tcvs
    assert (tcv.seller_id, tcv.buyer_id) == ("1", "2")
    assert tcv.effective_total == Money(currency="USD", amount=Decimal("8.40"))
    assert tcv.plan_period is not None
    assert tcv.plan_period.total == Money(currency="USD", amount=Decimal("0.70"))
    assert (lower.buyer_id, lower.plan_period) == ("3", None)


def test_what_was_read_cannot_be_changed():
    customer = Customer.model_validate({"id": "1", "name": "Northwind Traders"})

    with pytest.raises(ValidationError, match="frozen"):
        customer.name = "Contoso"


@pytest.mark.parametrize(
    ("model", "value", "field"),
    [
        (Order, {"id": ""}, "id"),
        (Order, {"id": True}, "id"),
        (Order, {"id": "1", "creationDate": "yesterday"}, "creationDate"),
        (Order, {"id": "1", "creationDate": "0001-01-01T00:00:00+14:00"}, "creationDate"),
        (Order, {"id": "1", "total": {"currency": "USD", "amount": "NaN"}}, "total.amount"),
        (Order, {"id": "1", "total": {"currency": "USD"}}, "total.amount"),
        (Subscription, {"id": "1", "products": [{"quantity": 2.5}]}, "products.0.quantity"),
        (
            Subscription,
            {"id": "1", "products": [{"quantity": "1e999999999"}]},
            "products.0.quantity",
        ),
        (Subscription, {"id": "1", "products": {"a": 1}}, "products"),
        (Subscription, [], "the answer"),
    ],
)
def test_what_makes_no_sense_is_named_by_its_field(model, value, field):
    with pytest.raises(BadAnswer) as caught:
        read_as(model, value)

    assert caught.value.message == f"unreadable {field} in {model.__name__}"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[1]", b"null", b'{"id": NaN}', b"[" * 100_000, b"\xff\xfe"]
)
async def test_what_is_no_object_is_a_bad_answer(marketplace_answering, body):
    shop = marketplace_answering(lambda request: httpx.Response(200, content=body))

    with pytest.raises(BadAnswer):
        await shop.order("1")


async def test_a_body_is_json_whatever_its_content_type_says(marketplace_answering):
    shop = marketplace_answering(
        lambda request: httpx.Response(200, html='{"data": {"id": "1", "type": "sales"}}')
    )

    assert (await shop.order("1")).type == "sales"


async def test_an_answer_about_something_else_is_not_believed(marketplace_answering):
    shop = marketplace_answering(lambda request: httpx.Response(200, json={"id": "2"}))

    with pytest.raises(BadAnswer, match="another Order"):
        await shop.order("1")
