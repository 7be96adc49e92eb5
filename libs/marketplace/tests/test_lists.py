"""Lists: every row once, whatever the server does with limit, offset, total and filters."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from purser_marketplace.errors import BadAnswer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def listing(rows, *, cap=100, total=True, asked=None, before_page=None):
    """Serves `rows` by offset; `before_page(n)` may change them first, as other buyers do."""
    pages = 0

    def answer(request):
        nonlocal pages
        if before_page:
            before_page(pages)
        pages += 1
        offset = int(request.url.params["offset"])
        limit = min(cap, int(request.url.params["limit"]))
        if asked is not None:
            asked.append(offset)
        body = {"data": rows[offset : offset + limit]}
        if total:
            body["pagination"] = {"offset": offset, "limit": limit, "total": len(rows)}
        return httpx.Response(200, json=body)

    return answer


def orders(count, first=1):
    return [
        {"id": str(n), "customerId": "C1", "creationDate": (NOON - timedelta(hours=n)).isoformat()}
        for n in range(first, first + count)
    ]


@pytest.mark.parametrize("total", [True, False])
@pytest.mark.parametrize("cap", [100, 7])
async def test_a_capped_page_size_loses_nothing(marketplace_answering, cap, total):
    rows = [{"id": n, "name": f"N{n}"} for n in range(40)]
    shop = marketplace_answering(listing(rows, cap=cap, total=total))

    assert [row.id async for row in shop.customers()] == [str(n) for n in range(40)]


async def test_pages_follow_the_rows_received(marketplace_answering):
    asked = []
    shop = marketplace_answering(listing([{"id": n} for n in range(25)], cap=10, asked=asked))

    assert len([row async for row in shop.resellers()]) == 25
    assert asked == [0, 10, 20]


async def test_rows_that_shift_while_paging_come_once(marketplace_answering):
    rows = orders(20)

    def insert(page):
        if page == 1:
            rows[:0] = orders(3, first=-2)

    shop = marketplace_answering(listing(rows, cap=10, before_page=insert))

    ids = [row.id async for row in shop.orders()]
    assert ids == [str(n) for n in range(1, 21)]


async def test_a_page_of_known_rows_alone_does_not_end_the_list(marketplace_answering):
    rows = orders(30)

    def insert(page):
        if page == 1:
            rows[:0] = orders(10, first=-9)

    shop = marketplace_answering(listing(rows, cap=10, before_page=insert))

    assert len([row async for row in shop.orders()]) == 30


async def test_an_ignored_offset_is_an_error_and_not_an_endless_list(marketplace_answering):
    shop = marketplace_answering(
        lambda request: httpx.Response(200, json={"data": [{"id": 1}, {"id": 2}]})
    )

    with pytest.raises(BadAnswer, match="same rows"):
        _ = [row async for row in shop.customers()]


@pytest.mark.parametrize("body", [{"data": None}, {"data": [], "pagination": None}])
async def test_an_empty_list_may_be_null(marketplace_answering, body):
    shop = marketplace_answering(lambda request: httpx.Response(200, json=body))

    assert [row async for row in shop.customers()] == []


@pytest.mark.parametrize("body", [{}, [], {"data": {}}, {"data": "x"}, {"data": [1]}, None])
async def test_what_is_no_list_is_never_an_empty_one(marketplace_answering, body):
    shop = marketplace_answering(lambda request: httpx.Response(200, json=body))

    with pytest.raises(BadAnswer):
        _ = [row async for row in shop.customers()]


async def test_a_filter_the_server_ignores_is_applied_here(marketplace_answering):
    rows = [
        {"id": "1", "customerId": "C1", "orderNumber": "SO1"},
        {"id": "2", "customerId": "C2", "orderNumber": "SO2"},
        {"id": "3", "customerId": "C1"},
    ]
    shop = marketplace_answering(listing(rows))

    assert [row.id async for row in shop.orders(customer_id="C1")] == ["1", "3"]
    assert [row.id async for row in shop.orders(order_number="so2")] == ["2"]
    assert [row.id async for row in shop.subscriptions(customer_id="C2")] == ["2"]


async def test_a_row_that_hides_its_customer_is_not_given_to_the_one_asked_for(
    marketplace_answering,
):
    shop = marketplace_answering(listing([{"id": "1"}]))

    with pytest.raises(BadAnswer, match="customerId"):
        _ = [row async for row in shop.subscriptions(customer_id="C1")]


async def test_catalog_rows_of_one_mpn_are_told_apart_by_their_periods(marketplace_answering):
    rows = [
        {"mpn": "V:1", "vendor": "V", "name": "Visio", "billingPeriod": period}
        for period in ({"type": "month", "duration": 1}, {"type": "year", "duration": 1})
    ]
    shop = marketplace_answering(listing([*rows, rows[0], {"mpn": "W:1", "name": "Other"}]))

    found = [row async for row in shop.products(mpn="v:1", vendor="V", name="visio")]
    assert [row.billing_period.type for row in found if row.billing_period] == ["month", "year"]


async def test_reading_orders_stops_at_what_is_older(marketplace_answering):
    asked = []
    shop = marketplace_answering(listing(orders(500), cap=10, asked=asked))

    since = NOON - timedelta(hours=12)
    ids = [row.id async for row in shop.orders(customer_id="C1", created_from=since)]

    assert ids == [str(n) for n in range(1, 13)]
    assert asked == [0, 10, 20]


async def test_an_order_without_a_date_counts_as_new(marketplace_answering):
    shop = marketplace_answering(listing([{"id": "1", "customerId": "C1"}, *orders(3, first=50)]))

    assert [row.id async for row in shop.orders(created_from=NOON - timedelta(hours=1))] == ["1"]


async def test_the_customers_of_a_reseller_are_its_own(marketplace_answering):
    rows = [{"id": "1", "resellerId": 7}, {"id": "2", "resellerId": 8}, {"id": "3"}]
    shop = marketplace_answering(listing(rows))

    assert [row.id async for row in shop.reseller_customers("7")] == ["1", "3"]
