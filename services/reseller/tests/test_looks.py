"""Looks at a marketplace whose list is broken: each ends in a recorded state, nothing half-saved."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

Json = dict[str, Any]
MONTH = {"type": "month", "duration": 1}


def row(number: int, **changed: Any) -> Json:
    price = {"currency": "USD", "type": "recurring", "model": "FLAT"}
    return {
        "id": f"P{number}",
        "mpn": f"MPN{number}",
        "vendor": "Vendor",
        "name": f"Product {number:04d}",
        "subscriptionPeriod": MONTH,
        "billingPeriod": MONTH,
        "prices": [{**price, "amount": "2.50"}],
        "costs": [{**price, "amount": "2.00"}],
        **changed,
    }


class Market:
    """A marketplace with one leaf reseller whose list a test writes."""

    def __init__(self) -> None:
        self.rows: list[Any] = [row(n) for n in range(250)]
        self.answer: Callable[[int, int], Response | None] = lambda offset, limit: None
        self.asked: list[int] = []
        self.app = FastAPI()
        self.app.add_api_route("/token", self._token, methods=["POST"])
        self.app.add_api_route("/resellers", self._nobody)
        self.app.add_api_route("/customers", self._customers)
        self.app.add_api_route("/products", self._products)

    def page(self, offset: int, limit: int, total: int | None = None) -> Response:
        stated = len(self.rows) if total is None else total
        body = {
            "data": self.rows[offset : offset + limit],
            "pagination": {"offset": offset, "limit": limit, "total": stated},
        }
        return JSONResponse(body)

    async def _token(self) -> Json:
        return {"token": "opaque", "expiresInSeconds": 1500}

    async def _nobody(self) -> Json:
        return {"data": [], "pagination": {"offset": 0, "limit": 100, "total": 0}}

    async def _customers(self) -> Json:
        one = {"id": "c1", "name": "Customer", "resellerId": f"r-{id(self)}"}
        return {"data": [one], "pagination": {"offset": 0, "limit": 100, "total": 1}}

    async def _products(self, request: Request) -> Response:
        offset, limit = (int(request.query_params[name]) for name in ("offset", "limit"))
        self.asked.append(offset)
        return self.answer(offset, limit) or self.page(offset, limit)


@pytest.fixture
async def market(serve: Callable[[FastAPI], Any]) -> Market:
    market = Market()
    await serve(market.app)
    return market


@pytest.fixture
async def reseller(service: Any, market: Market) -> Json:
    login = {"region": "stub", "subscription_key": "k", "username": "u", "password": "p"}
    added: Json = await service.add({"login": login, "resellers": [{"id": f"r-{id(market)}"}]})
    return added


async def look(service: Any, reseller: Json) -> tuple[Any, Json]:
    """The list after another look, and how that look went."""
    path = f"/v1/resellers/{reseller['id']}"
    listed = await service.call("GET", f"{path}/products?refresh=true&limit=200")
    seen = (await service.call("GET", f"{path}/catalogue-sync")).json()
    return listed, seen["last"]


async def everything(service: Any, reseller: Json) -> list[Json]:
    path, found, cursor = f"/v1/resellers/{reseller['id']}/products", [], None
    while True:
        params = {"limit": "200"} | ({"cursor": cursor} if cursor else {})
        page = (await service.call("GET", path, params=params)).json()
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found


async def test_a_look_keeps_the_whole_list_and_the_next_one_writes_what_changed(
    service: Any, reseller: Json, market: Market, database: Any
) -> None:
    listed, last = await look(service, reseller)
    assert listed.status_code == 200
    assert (last["outcome"], last["rows"], last["changed"], last["pages"]) == (
        "complete",
        250,
        250,
        3,
    )
    before = {d["_id"]: d async for d in database["catalogue_products"].find({})}
    market.rows[7] = row(7, name="Another name")
    _, last = await look(service, reseller)
    assert (last["outcome"], last["changed"]) == ("complete", 1)
    after = {d["_id"]: d async for d in database["catalogue_products"].find({})}
    written = [id for id, document in after.items() if before.get(id) != document]
    [changed] = [after[id] for id in written]
    assert changed["row"]["name"] == "Another name"
    names = [item["name"] for item in await everything(service, reseller)]
    assert len(names) == 250
    assert names == sorted(names)
    assert "Another name" in names


async def test_two_who_ask_at_once_cause_one_look(
    service: Any, reseller: Json, market: Market
) -> None:
    path = f"/v1/resellers/{reseller['id']}/products"
    answers = await asyncio.gather(*(service.call("GET", path) for _ in range(5)))
    assert {len(answer.json()["items"]) for answer in answers} == {50}
    assert market.asked == [0, 100, 200]


async def test_a_product_vanishes_with_the_second_complete_look_without_it_and_comes_back(
    service: Any, reseller: Json, market: Market
) -> None:
    await look(service, reseller)
    gone = market.rows.pop(3)
    _, last = await look(service, reseller)
    assert (last["outcome"], last["missing"], last["vanished"]) == ("complete", 1, 0)
    products = {item["product"]["mpn"]: item for item in await everything(service, reseller)}
    assert products["MPN3"]["listed"] is True
    _, last = await look(service, reseller)
    assert (last["missing"], last["vanished"]) == (0, 1)
    assert "MPN3" not in [i["product"]["mpn"] for i in await everything(service, reseller)]
    path = f"/v1/resellers/{reseller['id']}/products/{products['MPN3']['id']}"
    detail = (await service.call("GET", path)).json()
    assert (detail["listed"], detail["name"]) == (False, "Product 0003")
    assert detail["vanished_at"] > detail["read_at"]
    market.rows.append(gone)
    _, last = await look(service, reseller)
    assert (last["outcome"], last["changed"]) == ("complete", 1)
    assert (await service.call("GET", path)).json()["listed"] is True


def shrinking(market: Market) -> None:
    """A row at the front goes while the list is walked: one of the others is not met."""

    def answer(offset: int, limit: int) -> None:
        if offset == 100:
            market.rows = market.rows[20:]

    market.answer = answer  # type: ignore[assignment]


def growing(market: Market) -> None:
    """Rows come in at the front: some come twice."""

    def answer(offset: int, limit: int) -> None:
        if offset == 100:
            market.rows = [row(1000 + n) for n in range(20)] + market.rows

    market.answer = answer  # type: ignore[assignment]


def empty_midway(market: Market) -> None:
    market.answer = lambda offset, limit: (
        JSONResponse({"data": [], "pagination": {"total": 0}}) if offset else None
    )


def too_many_stated(market: Market) -> None:
    market.rows = market.rows[:120]
    market.answer = lambda offset, limit: market.page(offset, limit, 250)


def too_few_stated(market: Market) -> None:
    market.rows = market.rows[:120]
    market.answer = lambda offset, limit: market.page(offset, limit, 5)


def without_ids(market: Market) -> None:
    market.rows = [{"name": "nothing to tell it from others"}, *market.rows[20:]]


@pytest.mark.parametrize(
    "spoil",
    [shrinking, growing, empty_midway, too_many_stated, too_few_stated, without_ids],
)
async def test_a_list_that_does_not_add_up_makes_nothing_vanish(
    service: Any, reseller: Json, market: Market, spoil: Callable[[Market], None]
) -> None:
    await look(service, reseller)
    spoil(market)
    for _ in range(2):
        listed, last = await look(service, reseller)
        assert (last["outcome"], last["missing"], last["vanished"]) == ("short", 0, 0)
        assert listed.status_code == 200
        market.rows = market.rows[:]
    products = await everything(service, reseller)
    assert {f"MPN{n}" for n in range(250)} <= {item["product"]["mpn"] for item in products}


async def test_rows_that_come_again_on_a_later_page_count_once(
    service: Any, reseller: Json, market: Market
) -> None:
    def answer(offset: int, limit: int) -> Response:
        if offset == 100:
            market.rows = [row(1000 + n) for n in range(20)] + market.rows
        return JSONResponse({"data": market.rows[offset : offset + limit]})

    market.answer = answer
    _, last = await look(service, reseller)
    assert (last["outcome"], last["duplicates"], last["rows"]) == ("short", 20, 250)
    assert len(await everything(service, reseller)) == 250


async def test_an_empty_catalogue_is_never_believed(
    service: Any, reseller: Json, market: Market
) -> None:
    rows, market.rows = market.rows, []
    first, last = await look(service, reseller)
    assert (first.status_code, first.json()["code"]) == (503, "catalogue_empty")
    assert last["outcome"] == "empty"
    market.rows = rows
    await look(service, reseller)
    market.rows = []
    for _ in range(2):
        listed, last = await look(service, reseller)
        assert (last["outcome"], len(listed.json()["items"])) == ("empty", 200)
        assert {item["stale"] for item in listed.json()["items"]} == {True}
    assert len(await everything(service, reseller)) == 250


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (HTMLResponse("<html>Bad gateway</html>", 504), "marketplace_unavailable"),
        (HTMLResponse("<html>Welcome</html>", 200), "marketplace_answer_unusable"),
        (JSONResponse({"data": {"id": "P1"}}), "marketplace_answer_unusable"),
        (JSONResponse({"message": "slow down"}, 429), "account_paused"),
        (JSONResponse({"message": "no"}, 403), "marketplace_forbids"),
    ],
    ids=["html-504", "html-200", "no-list", "429-without-retry-after", "403"],
)
async def test_a_look_that_fails_is_recorded_and_leaves_what_was_known(
    service: Any, reseller: Json, market: Market, broken: Response, code: str
) -> None:
    await look(service, reseller)
    market.rows[0] = row(0, name="Read before it broke")
    market.answer = lambda offset, limit: broken if offset else None
    listed, last = await look(service, reseller)
    assert (last["outcome"], last["code"]) == ("failed", code)
    assert (last["rows"], last["vanished"]) == (100, 0)
    assert listed.status_code == 200
    names = {item["name"]: item["stale"] for item in await everything(service, reseller)}
    assert len(names) == 250
    assert names["Product 0120"] is True
    assert names["Read before it broke"] is False


async def test_looks_that_are_not_complete_are_counted(
    service: Any, reseller: Json, market: Market
) -> None:
    async def counted(outcome: str) -> float:
        text: str = (await service.http.get("/metrics")).text
        series = f'catalogue_syncs_total{{outcome="{outcome}"}} '
        found = [line for line in text.splitlines() if line.startswith(series)]
        return float(found[0].removeprefix(series)) if found else 0.0

    before = await counted("failed"), await counted("complete")
    market.answer = lambda offset, limit: JSONResponse({"message": "away"}, 503)
    await look(service, reseller)
    assert (await counted("failed"), await counted("complete")) == (before[0] + 1, before[1])


async def test_before_the_first_look_went_well_the_reason_is_told(
    service: Any, reseller: Json, market: Market
) -> None:
    market.answer = lambda offset, limit: JSONResponse({"message": "away"}, 503)
    listed, last = await look(service, reseller)
    assert (listed.status_code, listed.json()["code"]) == (503, "marketplace_unavailable")
    assert last["outcome"] == "failed"


async def test_rows_that_cannot_be_read_are_left_out_and_counted_and_do_not_vanish(
    service: Any, reseller: Json, market: Market
) -> None:
    await look(service, reseller)
    market.rows[5] = row(5, prices="none")
    market.rows[6] = row(6, mpn=None)
    for _ in range(2):
        _, last = await look(service, reseller)
        assert (last["outcome"], last["malformed"], last["vanished"]) == ("complete", 2, 0)
    assert len(await everything(service, reseller)) == 250


async def test_a_list_without_an_end_is_given_up(
    service: Any, reseller: Json, market: Market
) -> None:
    market.answer = lambda offset, limit: market.page(0, limit, 10**9)
    _, last = await look(service, reseller)
    assert (last["outcome"], last["code"]) == ("failed", "catalogue_endless")
    assert len(market.asked) <= 5
