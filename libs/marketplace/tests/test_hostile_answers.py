"""Whatever comes back, the caller gets a result or a MarketplaceError, and nothing else."""

import contextlib
import json
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from purser_marketplace.client import Marketplace
from purser_marketplace.errors import MarketplaceError
from purser_marketplace.models import NewOrder
from purser_marketplace.placing import Ambiguous, DefinitelyRefused, Placed, classify
from purser_marketplace.token import TokenSource

PERIOD = {"type": "year", "duration": 1}
MONEY = {"currency": "USD", "amount": "7.32"}
ROW = {
    "id": "1",
    "mpn": "A:1",
    "name": "Basic",
    "customerId": "C1",
    "resellerId": 7,
    "status": "active",
    "renewalStatus": True,
    "orderNumber": "SO1",
    "creationDate": "2026-03-01T10:00:00Z",
    "renewalDate": "2027-03-01",
    "billingPeriod": PERIOD,
    "subscriptionPeriods": [PERIOD],
    "attributes": {"PONumber": "1"},
    "prices": [MONEY | {"lowerLimit": 1}],
    "total": MONEY,
    "products": [{"mpn": "A:1", "quantity": 5, "unitPrice": MONEY, "extendedPrice": MONEY}],
    "subscriptions": [{"planId": 1, "tcvs": [{"sellerId": 1, "total": MONEY}]}],
    "fulfillmentParameters": [{"name": "ms_customer_id", "value": "x"}],
    "token": "t",
    "expiresInSeconds": 1500,
}
LISTING = {"data": [ROW], "pagination": {"offset": 0, "limit": 100, "total": 1}}

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["1e999999999", "NaN", "-0", "0001-01-01T00:00:00+14:00", "", "\ud800", 10**400]
    )
    | st.sampled_from(["2026-13-45", "9999-12-31T23:59:59-14:00", " ", "#CH1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inner = [
        place
        for key, item in items
        for place in (
            [(*at, key)]
            + (places(item, (*at, key)) if item and isinstance(item, dict | list) else [])
        )
    ]
    return inner


def replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    key, *rest = place
    if isinstance(value, dict) and key in value:
        return value | {key: replaced(value[key], tuple(rest), new)}
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return [*value[:key], replaced(value[key], tuple(rest), new), *value[key + 1 :]]
    return value


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    body: Any = draw(st.sampled_from([ROW, LISTING, {"message": "no entity", "correlationId": 1}]))
    for place in draw(st.lists(st.sampled_from(places(body)), max_size=3)):
        body = replaced(body, place, draw(anything))
    text = json.dumps(body).encode()
    start = draw(st.integers(0, len(text)))
    cut = draw(st.integers(0, 3))
    return draw(
        st.sampled_from([text, text[:start] + text[start + cut :], text[:start], b"<html>"])
    )


answers = (
    mutated() | st.binary(max_size=40) | anything.map(lambda value: json.dumps(value).encode())
)
statuses = st.sampled_from([200, 200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 504])
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


class Nobody:
    async def headers(self) -> dict[str, str]:
        return {"X-Subscription-Key": "key"}

    async def renew(self, stale: dict[str, str]) -> bool:
        return False


async def everything(shop: Marketplace, source: TokenSource) -> None:
    sale = NewOrder.cancellation(customer_id="C1", po_number=None, subscription_id="S1")
    for call in (
        lambda: shop.order("1"),
        lambda: shop.subscription("1"),
        lambda: shop.customer("1"),
        lambda: shop.reseller("1"),
        lambda: shop.plan("1"),
        lambda: shop.estimate(sale),
        lambda: shop.set_auto_renewal("1", True),
        source.bearer,
    ):
        with contextlib.suppress(MarketplaceError):
            await call()
    for rows in (
        shop.orders(customer_id="C1"),
        shop.subscriptions(),
        shop.customers(),
        shop.reseller_customers("7"),
        shop.resellers(),
        shop.products(name="Basic"),
    ):
        with contextlib.suppress(MarketplaceError):
            async for _ in rows:
                pass


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=answers, status=statuses, waiting=header_values)
async def test_only_marketplace_errors_come_out(body: bytes, status: int, waiting: str):
    headers = {"Retry-After": waiting, "X-Correlation-ID": waiting}
    transport = httpx.MockTransport(
        lambda request: httpx.Response(status, content=body, headers=headers)
    )
    async with httpx.AsyncClient(transport=transport) as http:
        shop = Marketplace(http, "http://marketplace.test", Nobody())
        await everything(shop, TokenSource(http, "http://marketplace.test", "eu", "u", "p", "k"))


@settings(max_examples=300, deadline=None)
@given(body=answers, status=st.integers(100, 599))
def test_every_answer_to_an_order_is_classified(body: bytes, status: int):
    placing = classify(status, body)

    if isinstance(placing, Placed):
        assert 200 <= status < 300
        assert placing.order.id.strip()
    elif isinstance(placing, DefinitelyRefused):
        assert status in {400, 401, 403, 404, 422, 429}
    else:
        assert isinstance(placing, Ambiguous)
