"""Every answer that is not a result becomes the right error, without saying a secret."""

import asyncio
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from purser_marketplace.answers import LARGEST_ANSWER
from purser_marketplace.client import Marketplace
from purser_marketplace.errors import (
    BadAnswer,
    Forbidden,
    MarketplaceError,
    NotFound,
    Refused,
    ServerError,
    Throttled,
    Unauthorized,
    Unreachable,
)
from purser_marketplace.transport import exchange

PLATFORM = {
    "timeStamp": "2026-03-01T10:00:00.000+00:00",
    "status": 400,
    "message": "quantity must be positive",
    "path": "/orders",
    "correlationId": "a8n-1",
}
SPRING = {"timestamp": "2026-03-01T10:00:00Z", "status": 400, "error": "Bad Request", "path": "/x"}
GATEWAY = {"statusCode": 401, "message": "Access denied due to missing subscription key."}
PAGE = "<html><body><h1>504 Gateway Time-out</h1></body></html>"


async def refusal(marketplace_answering, response):
    with pytest.raises(MarketplaceError) as caught:
        await marketplace_answering(lambda request: response).order("1")
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, PLATFORM, Refused, "quantity must be positive"),
        (400, SPRING, Refused, "Bad Request"),
        (400, {"Message": "No entity with id 1"}, NotFound, "No entity with id 1"),
        (404, {}, NotFound, "no message"),
        (401, GATEWAY, Unauthorized, "Access denied due to missing subscription key."),
        (403, {"title": "Forbidden", "detail": "not yours"}, Forbidden, "not yours"),
        (409, ["x"], Refused, "no message"),
        (500, {"message": "a\nb\x00c"}, ServerError, "a b c"),
    ],
)
async def test_each_status_and_body_has_its_error(
    marketplace_answering, status, body, kind, message
):
    error = await refusal(marketplace_answering, httpx.Response(status, json=body))

    assert type(error) is kind
    assert error.status == status
    assert error.message == message


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_by_the_gateway_is_told_from_one_by_the_platform(
    marketplace_answering, status
):
    by_gateway = httpx.Response(status, json={**GATEWAY, "statusCode": status})
    by_platform = httpx.Response(status, json={**PLATFORM, "status": status})

    assert (await refusal(marketplace_answering, by_gateway)).by_gateway
    assert not (await refusal(marketplace_answering, by_platform)).by_gateway


async def test_an_html_page_is_said_to_be_one(marketplace_answering):
    error = await refusal(marketplace_answering, httpx.Response(504, html=PAGE))

    assert isinstance(error, ServerError)
    assert error.message == "an HTML page instead of an answer"


async def test_the_correlation_id_is_there_to_be_quoted(marketplace_answering):
    from_body = await refusal(marketplace_answering, httpx.Response(400, json=PLATFORM))
    header = httpx.Response(404, headers={"X-Correlation-ID": "a8n-2"})
    from_header = await refusal(marketplace_answering, header)

    assert from_body.correlation_id == "a8n-1"
    assert from_header.correlation_id == "a8n-2"
    assert "a8n-2" in str(from_header)


async def test_a_conflict_names_the_order_in_its_way(marketplace_answering):
    said = "Subscription #1000001 already has order #CH0004711 (LO) of this type. " + "x" * 900
    error = await refusal(marketplace_answering, httpx.Response(500, json={"message": said}))

    assert isinstance(error, ServerError)
    assert error.conflict_order_number == "CH0004711"
    assert len(error.message) <= 500


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "Sun, 01 Mar 2020 10:00:00 GMT"}, 0.0),
    ],
)
async def test_throttling_says_how_long_to_wait_if_it_knows(marketplace_answering, header, seconds):
    error = await refusal(marketplace_answering, httpx.Response(429, headers=header))

    assert isinstance(error, Throttled)
    assert error.retry_after == seconds


async def test_throttling_until_a_date_is_a_time_to_wait(marketplace_answering):
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    error = await refusal(
        marketplace_answering, httpx.Response(429, headers={"Retry-After": until})
    )

    assert isinstance(error, Throttled)
    assert error.retry_after is not None
    assert 60 < error.retry_after <= 90


async def test_a_redirect_is_not_followed(marketplace_answering):
    seen = []

    def answer(request):
        seen.append(request.url)
        return httpx.Response(302, headers={"Location": "http://elsewhere.test/orders/1"})

    with pytest.raises(BadAnswer, match="redirects"):
        await marketplace_answering(answer).order("1")
    assert len(seen) == 1


async def test_an_answer_over_two_mebibytes_is_not_read(marketplace_answering):
    chunks_taken = 0

    async def endless():
        nonlocal chunks_taken
        while True:
            chunks_taken += 1
            yield b" " * 65536

    shop = marketplace_answering(lambda request: httpx.Response(200, content=endless()))
    with pytest.raises(BadAnswer, match="2 MiB"):
        await shop.order("1")
    assert chunks_taken <= LARGEST_ANSWER // 65536 + 1


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_are_renewed_and_the_call_repeated_once(
    marketplace_answering, account, status
):
    sent = []

    def answer(request):
        sent.append(request.headers["authorization"])
        return httpx.Response(status) if len(sent) == 1 else httpx.Response(200, json={"id": "1"})

    assert (await marketplace_answering(answer).order("1")).id == "1"
    assert sent == ["Bearer token-of-the-account", "Bearer token-of-the-account-1"]
    assert account.renewed == 1


@pytest.mark.parametrize(("renews", "calls"), [(True, 2), (False, 1)])
async def test_a_second_refusal_stands(marketplace_answering, account, renews, calls):
    account.renews = renews
    sent = []

    def answer(request):
        sent.append(request)
        return httpx.Response(401)

    with pytest.raises(Unauthorized):
        await marketplace_answering(answer).order("1")
    assert (len(sent), account.renewed) == (calls, 1)


async def test_an_echoed_credential_is_not_repeated(marketplace_answering):
    said = (
        "bad token-of-the-account or key-of-the-account, sent Bearer abc.def-123 and Basic dTpwdw=="
    )
    error = await refusal(marketplace_answering, httpx.Response(400, json={"message": said}))

    assert error.message == "bad *** or ***, sent Bearer *** and Basic ***"


@pytest.mark.parametrize("key", ["secret-\nkey", "secret-key-é"])
async def test_a_header_that_cannot_be_sent_is_not_quoted(serving, key):
    class Odd:
        async def headers(self):
            return {"X-Subscription-Key": key}

        async def renew(self, stale):
            return False

    async def hang_up(reader, writer):
        writer.close()

    server = await serving(hang_up)
    async with httpx.AsyncClient() as http:
        with pytest.raises(Unreachable) as caught:
            await Marketplace(http, server.url.removesuffix("/orders"), Odd()).order("1")
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    assert server.requests == []


async def test_a_server_that_is_not_there_was_not_reached(account, unused_port):
    async with httpx.AsyncClient() as http:
        with pytest.raises(Unreachable, match="GET /orders/1") as caught:
            await Marketplace(http, f"http://127.0.0.1:{unused_port}", account).order("1")
    assert caught.value.sent is False


async def test_a_server_that_hangs_up_may_have_been_reached(account, serving):
    async def hang_up(reader, writer):
        writer.close()

    server = await serving(hang_up)
    async with httpx.AsyncClient() as http:
        shop = Marketplace(http, server.url.removesuffix("/orders"), account)
        with pytest.raises(Unreachable) as caught:
            await shop.order("1")
    assert caught.value.sent is True
    assert len(server.requests) == 1


async def test_a_trickling_answer_does_not_hold_the_caller(account, serving):
    async def trickle(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    server = await serving(trickle)
    async with httpx.AsyncClient() as http:
        with pytest.raises(Unreachable, match=r"within 0\.2 s"):
            await exchange(
                http, "GET", server.url, headers={}, answer_within=0.2, name="GET /orders"
            )
