"""The way to the marketplace: one token per reseller, one rest for all after a 429, one send."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import httpx
from prometheus_client import Counter

from purser_common import crash
from purser_common.errors import NotFound, Unavailable
from purser_events.values import ProductIdentity
from purser_marketplace import errors, models, placing
from purser_marketplace.answers import error_of
from purser_marketplace.client import Marketplace as SimpleApi
from purser_marketplace.token import BasicAuthentication
from purser_marketplace.transport import Answered, exchange
from purser_marketplace.values import Resource
from reseller_service.clients.answers import (
    errors_as_problems,
    listed_resellers,
    listing_of,
    own_reseller,
    page_of_products,
    refusals_as_wrong_credentials,
    rows_of,
)
from reseller_service.clients.standing import StandingOf
from reseller_service.clients.tokens import Tokens
from reseller_service.domain.catalogue import Listing, PageOfRows
from reseller_service.domain.mapping import same_product
from reseller_service.domain.reading import is_detail
from reseller_service.domain.resellers import (
    LEAF,
    Account,
    Credentials,
    Proof,
    Region,
    VisibleReseller,
)
from reseller_service.domain.sending import LARGEST_BODY, TOKEN_LEFT, Outcome

ANSWER_WITHIN = 100.0

R = TypeVar("R", bound=Resource)
_calls = Counter(
    "marketplace_calls_total", "Calls passed through, by answer.", ["method", "status"]
)
_sent = Counter("orders_sent_total", "Attempts to send an order, by outcome.", ["sent"])


class Budget(Protocol):
    """What an account may read in detail."""

    async def spend(self, reseller_id: str, *, urgent: bool) -> None: ...


class Marketplace:
    """Everything this service asks of the marketplace, for resellers and for fresh credentials."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        regions: tuple[Region, ...],
        standing: StandingOf,
        budget: Budget,
        load: Callable[[str], Awaitable[Account]],
        order_answer_seconds: float,
    ) -> None:
        self._http = http
        self._regions = {region.code: region for region in regions}
        self._standing = standing
        self._budget = budget
        self._load = load
        self._order_answer_seconds = order_answer_seconds
        self._tokens = Tokens(http)

    # -- proving credentials -----------------------------------------------------------------------

    async def prove(self, region: Region, credentials: Credentials) -> Proof:
        """What the marketplace shows to these credentials.

        Raises Invalid when it does not take them, Unavailable when it is away.
        """
        source = self._tokens.fresh(region, credentials)
        with refusals_as_wrong_credentials():
            await source.bearer()
        api = SimpleApi(self._http, region.base_url, BasicAuthentication(source))
        with errors_as_problems():
            listed = await listed_resellers(api)
            # Several resellers show a parent; with fewer, the account's own customers tell.
            own = await own_reseller(api, listed or ()) if len(listed or ()) < 2 else None
        return Proof(listed, own)

    async def prove_reseller(
        self, region_code: str, credentials: Credentials, id: str
    ) -> VisibleReseller | None:
        """The reseller of this id if the credentials show it."""
        region = self._region(region_code)
        source = self._tokens.fresh(region, credentials)
        api = SimpleApi(self._http, region.base_url, BasicAuthentication(source))
        with errors_as_problems():
            try:
                found = await api.reseller(id)
            except (errors.NotFound, errors.Forbidden):
                return None
        return VisibleReseller(id=found.id, name=found.name or found.id)

    # -- reading for a reseller --------------------------------------------------------------------

    async def product(self, reseller_id: str, product: ProductIdentity) -> Listing | None:
        """The catalogue's row of a product; None when it is not sold."""
        async with self._api(reseller_id, "products") as (api, account):
            rows = api.products(mpn=product.mpn, vendor=product.vendor)
            async with aclosing(rows) as found:  # type: ignore[type-var]
                async for row in found:
                    sold = listing_of(row, own_prices=account.own_prices)
                    if sold is not None and same_product(sold.product, product):
                        return sold
        return None

    async def products(self, reseller_id: str, offset: int, limit: int) -> PageOfRows:
        """A page of the live catalogue, from the row at `offset` on."""
        account = await self._load(reseller_id)
        query = {"offset": str(offset), "limit": str(limit)}
        answer = await self.forward(reseller_id, "GET", "products", query, None)
        with errors_as_problems():
            return page_of_products(answer, own_prices=account.own_prices)

    async def customers(
        self, reseller_id: str, name: str | None, offset: int, limit: int
    ) -> tuple[list[models.Customer], int | None]:
        """A page of the reseller's customers at the marketplace and the next offset."""
        reseller = (await self._load(reseller_id)).reseller
        id = reseller.marketplace_reseller_id
        leaf = reseller.account_kind == LEAF
        path = "customers" if leaf else f"resellers/{quote(id, safe='')}/customers"
        filters = {"name": name} if name else {}
        rows, following = await self._page(
            models.Customer, reseller_id, path, filters, offset, limit
        )
        wanted = (name or "").casefold()
        shown = [
            row for row in rows if row.reseller_id in (None, id) and wanted in row.name.casefold()
        ]
        return shown, following

    async def customer(self, reseller_id: str, customer_id: str) -> models.Customer:
        """One of the reseller's customers. Raises NotFound, also for another reseller's."""
        async with self._api(reseller_id, "customers") as (api, account):
            await self._budget.spend(reseller_id, urgent=False)
            found = await api.customer(customer_id)
        if found.reseller_id not in (None, account.reseller.marketplace_reseller_id):
            raise NotFound("the marketplace knows no such customer of this reseller")
        return found

    async def own_prices(self, reseller_id: str) -> bool:
        """Whether what the marketplace shows as costs is what the reseller pays, and not a parent."""
        return (await self._load(reseller_id)).own_prices

    # -- passing through ---------------------------------------------------------------------------

    async def forward(
        self,
        reseller_id: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any,
        *,
        urgent: bool = False,
    ) -> Answered:
        """Make one call as the reseller and return what was answered; a new token once on 401, 403.

        Raises Unavailable while the account rests, when it has read too much in detail (the last
        part is kept for what is urgent), and without an answer.
        """
        account = await self._rested(reseller_id, urgent=urgent)
        if is_detail(method, path):
            await self._budget.spend(reseller_id, urgent=urgent)
        region = self._region(account.reseller.region)
        auth = BasicAuthentication(self._tokens.of(account, region))
        resource = path.partition("/")[0]
        async with self._asking(account, resource):
            headers = await auth.headers()
            answer = await self._exchange(region, method, path, query, body, headers)
            if answer.status in (401, 403) and await auth.renew(headers):
                headers = await auth.headers()
                answer = await self._exchange(region, method, path, query, body, headers)
        _calls.labels(method, str(answer.status)).inc()
        secrets = [value.rpartition(" ")[2] for value in headers.values()]
        wrong = error_of(answer.status, answer.headers, answer.body, secrets)
        await self._standing.seen(account, resource, None if answer.ok else wrong)
        return answer

    async def _exchange(
        self,
        region: Region,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any,
        headers: Mapping[str, str],
    ) -> Answered:
        return await exchange(
            self._http,
            method,
            f"{region.base_url}/{path}",
            headers=headers,
            answer_within=ANSWER_WITHIN,
            name=f"{method} /{path.partition('/')[0]}",
            query=query,
            json_body=body,
        )

    # -- sending orders ----------------------------------------------------------------------------

    async def authorize(self, account: Account) -> Mapping[str, str]:
        """Headers with a token that has 120 s left. Raises Unavailable without one."""
        source = self._tokens.of(account, self._region(account.reseller.region))
        async with self._asking(account, None):
            token = await source.bearer(TOKEN_LEFT)
        crash.point("reseller.token.taken")
        return {"Authorization": f"Bearer {token}", **source.identification()}

    async def send(
        self, account: Account, headers: Mapping[str, str], order: bytes, fenced: bool
    ) -> Outcome:
        """Send one order, once, and say what became of it; nothing here repeats."""
        region = self._region(account.reseller.region)
        sent = await placing.send_order_once(
            f"{region.base_url}/orders",
            headers,
            order,
            answer_within=self._order_answer_seconds,
            on_sent=lambda: crash.point("reseller.send.left"),
        )
        _sent.labels(sent.outcome).inc()
        if sent.status == 429:
            await self._standing.rest(account.reseller.id, sent.retry_after)
        if sent.status in (401, 403):
            token = headers["Authorization"].removeprefix("Bearer ")
            self._tokens.of(account, region).invalidate(token)
        return _outcome(sent, fenced)

    # -- accounts ----------------------------------------------------------------------------------

    @asynccontextmanager
    async def _asking(self, account: Account, resource: str | None) -> AsyncIterator[None]:
        """Errors become problems, and what they say of the account is kept."""
        with errors_as_problems():
            try:
                yield
            except errors.MarketplaceError as error:
                await self._standing.seen(account, resource, error)
                raise

    @asynccontextmanager
    async def _api(
        self, reseller_id: str, resource: str
    ) -> AsyncIterator[tuple[SimpleApi, Account]]:
        account = await self._rested(reseller_id)
        region = self._region(account.reseller.region)
        auth = BasicAuthentication(self._tokens.of(account, region))
        async with self._asking(account, resource):
            yield SimpleApi(self._http, region.base_url, auth), account
        await self._standing.seen(account, resource, None)

    async def _page(
        self,
        model: type[R],
        reseller_id: str,
        path: str,
        filters: Mapping[str, str],
        offset: int,
        limit: int,
    ) -> tuple[list[R], int | None]:
        query = {**filters, "offset": str(offset), "limit": str(limit)}
        answer = await self.forward(reseller_id, "GET", path, query, None)
        with errors_as_problems():
            rows, total = rows_of(model, answer)
        end = offset + len(rows)
        more = bool(rows) and (total is None or end < total)
        return rows, end if more else None

    async def _rested(self, reseller_id: str, *, urgent: bool = False) -> Account:
        """The account of a reseller.

        Raises NotFound; Unavailable while it rests, and, but for what is urgent, while the marketplace
        does not answer.
        """
        try:
            account = await self._load(reseller_id)
        except NotFound:
            self._tokens.forget(reseller_id)
            raise
        await self._standing.require_ready(reseller_id, urgent=urgent)
        return account

    def _region(self, code: str) -> Region:
        region = self._regions.get(code)
        if region is None:
            raise Unavailable(
                f"the region {code} is not configured here", code="region_not_configured"
            )
        return region


def _outcome(sent: placing.Sent, fenced: bool) -> Outcome:
    """What became of a send, with what its answer proves."""
    if sent.outcome != "yes" or sent.status is None:
        return Outcome(
            sent=sent.outcome, reason=sent.error, fenced=fenced, ambiguous=sent.outcome != "no"
        )
    proven = placing.classify(sent.status, sent.body)
    return Outcome(
        sent="yes",
        status=sent.status,
        body=sent.body[:LARGEST_BODY].decode(errors="replace"),
        reason=sent.error,
        fenced=fenced,
        ambiguous=isinstance(proven, placing.Ambiguous),
    )
