"""The operations of SimpleAPI 1.15 that read, estimate and set; placing is in `placing`."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import httpx

from purser_marketplace.answers import error_of, parse_json, parse_object, read_as
from purser_marketplace.errors import BadAnswer, MarketplaceError, NotFound
from purser_marketplace.models import (
    Customer,
    Estimate,
    NewOrder,
    Order,
    Page,
    Plan,
    Product,
    Reseller,
    Subscription,
)
from purser_marketplace.transport import Answered, exchange
from purser_marketplace.values import Resource

PAGE_SIZE = 100
_ONE_WITHIN = 60.0
_LIST_WITHIN = 120.0
_ESTIMATE_WITHIN = 120.0
# Rows shift while paging, so one page may bring nothing new; several in a row mean that the
# offset is not obeyed.
_PAGES_WITHOUT_NEWS = 3

Row = TypeVar("Row", bound=Resource)


class Authentication(Protocol):
    """Who the caller is, as headers. Other accounts and other hosts are other implementations."""

    async def headers(self) -> dict[str, str]:
        """The headers to send; may raise MarketplaceError."""

    async def renew(self, stale: dict[str, str]) -> bool:
        """Told that `stale` was refused with 401 or 403; True when a repeat is worth it."""


class Marketplace:
    """One account's view of the marketplace, or of anything that offers the same paths.

    Every operation raises only MarketplaceError. A 401 or 403 renews the credentials and repeats
    the call once. Lists walk all pages, drop rows seen before, and keep only rows that match what
    was asked for, because the marketplace ignores filters it does not know (§1.4).
    """

    def __init__(self, http: httpx.AsyncClient, base_url: str, auth: Authentication) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._auth = auth

    def resellers(self) -> AsyncIterator[Reseller]:
        """The resellers below the calling account; a leaf account may get none."""
        return self._rows(Reseller, "/resellers", {})

    async def reseller(self, id: str) -> Reseller:
        """Raises NotFound."""
        return await self._one(Reseller, "/resellers", id)

    def reseller_customers(self, id: str) -> AsyncIterator[Customer]:
        """The customers of one reseller."""
        path = f"/resellers/{_segment(id)}/customers"
        return self._rows(Customer, path, {}, lambda row: row.reseller_id in (None, id))

    def customers(self) -> AsyncIterator[Customer]:
        """The calling account's customers."""
        return self._rows(Customer, "/customers", {})

    async def customer(self, id: str) -> Customer:
        """Raises NotFound."""
        return await self._one(Customer, "/customers", id)

    def plans(self) -> AsyncIterator[Plan]:
        """The service plans."""
        return self._rows(Plan, "/plans", {})

    async def plan(self, id: str) -> Plan:
        """Raises NotFound."""
        return await self._one(Plan, "/plans", id)

    def products(
        self, *, mpn: str | None = None, vendor: str | None = None, name: str | None = None
    ) -> AsyncIterator[Product]:
        """The catalog. `mpn` and `vendor` match exactly (letter case aside), `name` in part."""

        def matches(row: Product) -> bool:
            return (
                _same(mpn, row.mpn)
                and _same(vendor, row.vendor)
                and (name is None or name.casefold() in row.name.casefold())
            )

        return self._rows(
            Product, "/products", {"mpn": mpn, "vendor": vendor, "name": name}, matches
        )

    async def order(self, id: str) -> Order:
        """An order with its lines and PO number. Raises NotFound."""
        return await self._one(Order, "/orders", id)

    def orders(
        self,
        *,
        customer_id: str | None = None,
        created_from: datetime | None = None,
        order_number: str | None = None,
    ) -> AsyncIterator[Order]:
        """Orders, newest first, without lines and PO number; stops at what is older than `created_from`.

        A row that does not say when it was created is kept: it may be new.
        """
        if created_from is not None and created_from.tzinfo is None:
            raise ValueError("created_from must carry a time zone, such as UTC")
        since = None if created_from is None else created_from.astimezone(UTC)

        def recent(row: Order) -> bool:
            return since is None or row.creation_date is None or row.creation_date >= since

        def matches(row: Order) -> bool:
            return (
                _belongs(customer_id, row.customer_id, "Order")
                and (order_number is None or _same(order_number, row.order_number))
                and recent(row)
            )

        query = {
            "customerId": customer_id,
            "creationTimeFrom": None if since is None else since.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "orderNumber": order_number,
        }
        return self._rows(Order, "/orders", query, matches, recent)

    async def subscription(self, id: str) -> Subscription:
        """A subscription with its products. Raises NotFound."""
        return await self._one(Subscription, "/subscriptions", id)

    def subscriptions(self, *, customer_id: str | None = None) -> AsyncIterator[Subscription]:
        """Subscriptions in every status, without products: seats need `subscription(id)`."""
        return self._rows(
            Subscription,
            "/subscriptions",
            {"customerId": customer_id},
            lambda row: _belongs(customer_id, row.customer_id, "Subscription"),
        )

    async def estimate(self, new_order: NewOrder) -> Estimate:
        """What the order would cost now; creates nothing."""
        answer = await self._call(
            "POST", "/orders/estimate", _ESTIMATE_WITHIN, json_body=new_order.to_json()
        )
        return read_as(Estimate, parse_object(answer.body))

    async def set_auto_renewal(self, id: str, on: bool) -> Subscription:
        """Asks for auto-renewal on or off and re-reads the subscription: compare `renewal_status`."""
        path = f"/subscriptions/{_segment(id)}"
        await self._call("PATCH", path, _ONE_WITHIN, json_body={"renewalStatus": on})
        return await self.subscription(id)

    async def _one(self, model: type[Row], path: str, id: str) -> Row:
        answer = await self._call("GET", f"{path}/{_segment(id)}", _ONE_WITHIN)
        row = read_as(model, parse_object(answer.body))
        if getattr(row, "id", None) != id:
            raise BadAnswer(f"GET {path}/…: the answer is about another {model.__name__}")
        return row

    async def _rows(
        self,
        model: type[Row],
        path: str,
        query: Mapping[str, str | None],
        matches: Callable[[Row], bool] = lambda row: True,
        recent: Callable[[Row], bool] = lambda row: True,
    ) -> AsyncIterator[Row]:
        seen: set[object] = set()
        offset, stale_pages = 0, 0
        while stale_pages < _PAGES_WITHOUT_NEWS:
            page = await self._page(model, path, query, offset)
            fresh = [row for row in page.data if _identity(row) not in seen]
            for row in fresh:
                if _identity(row) in seen:
                    continue
                seen.add(_identity(row))
                if matches(row):
                    yield row
            offset += len(page.data)
            # A total below what was already received is no total: read on to an empty page.
            at_end = not page.data or page.total == offset
            if at_end or not any(recent(row) for row in page.data):
                return
            stale_pages = 0 if fresh else stale_pages + 1
        raise BadAnswer(f"GET {path}: the same rows come again on every page")

    async def _page(
        self, model: type[Row], path: str, query: Mapping[str, str | None], offset: int
    ) -> Page[Row]:
        asked = {name: value for name, value in query.items() if value is not None}
        asked |= {"offset": str(offset), "limit": str(PAGE_SIZE)}
        answer = await self._call("GET", path, _LIST_WITHIN, query=asked)
        body = parse_json(answer.body)
        if not isinstance(body, dict) or not isinstance(rows := body.get("data", 0), list | None):
            raise BadAnswer(f"GET {path}: the answer is not a list")
        pagination = body.get("pagination")
        total = pagination.get("total") if isinstance(pagination, dict) else None
        data = tuple(read_as(model, row) for row in rows or ())
        page = {"data": data, "offset": offset, "limit": PAGE_SIZE, "total": total}
        return read_as(Page[Row], page)

    async def _call(
        self,
        method: str,
        path: str,
        answer_within: float,
        *,
        query: Mapping[str, str] | None = None,
        json_body: Any = None,
    ) -> Answered:
        """One call, repeated once after a renewal. Nothing that places an order may come here."""
        headers = await self._auth.headers()
        repeated = False
        while True:
            answer = await exchange(
                self._http,
                method,
                self._base_url + path,
                headers=headers,
                answer_within=answer_within,
                name=f"{method} {path}",
                query=query,
                json_body=json_body,
            )
            if answer.ok:
                return answer
            if repeated or answer.status not in (401, 403) or not await self._auth.renew(headers):
                raise self._error(answer, headers)
            headers, repeated = await self._auth.headers(), True

    @staticmethod
    def _error(answer: Answered, headers: Mapping[str, str]) -> MarketplaceError:
        secrets = [part for value in headers.values() for part in (value, value.rpartition(" ")[2])]
        return error_of(answer.status, answer.headers, answer.body, secrets)


def _segment(id: str) -> str:
    # "." and ".." would be folded into another path.
    if not id.strip() or id.strip(".") == "":
        raise NotFound(404, f"{id!r} cannot be an id")
    return quote(id, safe="")


def _same(wanted: str | None, found: str | None) -> bool:
    return wanted is None or (found is not None and wanted.casefold() == found.casefold())


def _belongs(customer_id: str | None, found: str | None, what: str) -> bool:
    if customer_id is not None and found is None:
        raise BadAnswer(f"unreadable customerId in {what}: cannot tell whose it is")
    return customer_id is None or customer_id == found


def _identity(row: Resource) -> object:
    if isinstance(row, Product) and row.id is None:
        return (row.mpn, row.vendor, row.subscription_period, row.billing_period)
    return getattr(row, "id", None)
