"""One token per account, shared, renewed in time, and never seen."""

import asyncio
import base64
import json
import traceback

import httpx
import pytest

from purser_marketplace.errors import BadAnswer, MarketplaceError, Unauthorized
from purser_marketplace.token import BasicAuthentication, TokenSource

BASE = "http://marketplace.test/marketplace/eu"
SECRETS = ("pass-word-1", "key-of-the-account", "issued-1")


class Issuer:
    """Answers POST /token, judged by the contract; holds every call while `gate` is closed."""

    def __init__(self, contract):
        self.contract = contract
        self.requests = []
        self.life = 1500
        self.response = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    async def __call__(self, request):
        self.contract.check(request, "/marketplace/eu")
        self.requests.append(request)
        self.asked.set()
        await self.gate.wait()
        if self.response is not None:
            return self.response
        token = f"issued-{len(self.requests)}"
        return httpx.Response(200, text=json.dumps({"token": token, "expiresInSeconds": self.life}))


@pytest.fixture
def issuer(contract):
    return Issuer(contract)


@pytest.fixture
async def source(issuer, moments):
    async with httpx.AsyncClient(transport=httpx.MockTransport(issuer)) as http:
        yield TokenSource(
            http,
            BASE + "/",
            "eu",
            "api-user",
            "pass-word-1",
            "key-of-the-account",
            "app-7",
            clock=moments.now,
        )


async def test_the_token_call_proves_itself_by_basic_and_key(source, issuer):
    assert await source.bearer() == "issued-1"

    (request,) = issuer.requests
    assert request.method == "POST"
    assert json.loads(request.content) == {"marketplace": "eu"}
    scheme, _, pair = request.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(pair)) == ("Basic", b"api-user:pass-word-1")
    assert request.headers["x-subscription-key"] == "key-of-the-account"
    assert request.headers["x-client-id"] == "app-7"


async def test_callers_at_the_same_time_share_one_token_call(source, issuer):
    issuer.gate.clear()
    callers = [asyncio.create_task(source.bearer()) for _ in range(20)]
    await issuer.asked.wait()
    issuer.gate.set()

    assert set(await asyncio.gather(*callers)) == {"issued-1"}
    assert len(issuer.requests) == 1


async def test_a_caller_that_gives_up_does_not_take_the_token_from_the_others(source, issuer):
    issuer.gate.clear()
    impatient = asyncio.create_task(source.bearer())
    await issuer.asked.wait()
    patient = asyncio.create_task(source.bearer())
    await asyncio.sleep(0)
    impatient.cancel()
    issuer.gate.set()

    assert await patient == "issued-1"
    assert len(issuer.requests) == 1


async def test_a_failure_is_shared_and_the_next_call_tries_again(source, issuer):
    issuer.response = httpx.Response(401, json={"message": "no such pass-word-1"})
    issuer.gate.clear()
    callers = [asyncio.create_task(source.bearer()) for _ in range(5)]
    await issuer.asked.wait()
    issuer.gate.set()
    failures = await asyncio.gather(*callers, return_exceptions=True)

    assert all(isinstance(failure, Unauthorized) for failure in failures)
    assert len(issuer.requests) == 1
    issuer.response = None
    assert await source.bearer() == "issued-2"


@pytest.mark.parametrize(
    ("life", "kept_for", "gone_after"), [(1500, 1409, 1411), (30, 19, 21), (3, 1.9, 2.1)]
)
async def test_a_token_is_renewed_before_its_end(
    source, issuer, moments, life, kept_for, gone_after
):
    issuer.life = life
    await source.bearer()

    moments(kept_for)
    assert await source.bearer() == "issued-1"
    moments(gone_after - kept_for)
    assert await source.bearer() == "issued-2"


async def test_a_caller_can_ask_for_more_time(source, moments):
    await source.bearer()
    moments(1390)

    assert await source.bearer() == "issued-1"
    assert await source.bearer(min_left=120) == "issued-2"


async def test_asking_for_more_time_than_a_token_lives_renews_no_more_than_needed(
    source, issuer, moments
):
    issuer.life = 30
    assert await source.bearer(min_left=120) == "issued-1"
    assert await source.bearer(min_left=120) == "issued-1"
    moments(11)
    assert await source.bearer(min_left=120) == "issued-2"


async def test_only_the_token_in_use_is_invalidated(source):
    assert await source.bearer() == "issued-1"
    source.invalidate("another")
    assert await source.bearer() == "issued-1"
    source.invalidate("issued-1")
    assert await source.bearer() == "issued-2"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>",
        "[]",
        '{"token": ""}',
        '{"token": "t"}',
        '{"token": 5, "expiresInSeconds": 5}',
        '{"token": "t", "expiresInSeconds": 0}',
        '{"token": "t", "expiresInSeconds": true}',
        '{"token": "t", "expiresInSeconds": "nan"}',
        '{"token": "t\\u00e9", "expiresInSeconds": 5}',
    ],
)
async def test_an_answer_without_a_token_and_its_life_is_a_bad_one(source, issuer, body):
    issuer.response = httpx.Response(200, text=body)

    with pytest.raises(BadAnswer):
        await source.bearer()


async def test_any_2xx_and_a_life_as_text_will_do(source, issuer):
    issuer.response = httpx.Response(201, text='{"token": "t", "expiresInSeconds": "1500"}')

    assert await source.bearer() == "t"


async def test_no_secret_is_in_a_repr_or_an_error(source, issuer):
    await source.bearer()
    authentication = BasicAuthentication(source)
    shown = repr(source) + repr(authentication) + str(source) + f"{authentication}"
    source.invalidate("issued-1")
    issuer.response = httpx.Response(400, json={"message": "pass-word-1 key-of-the-account"})
    with pytest.raises(MarketplaceError) as caught:
        await source.bearer()
    shown += "".join(traceback.format_exception(caught.value)) + repr(caught.value)

    assert [secret for secret in SECRETS if secret in shown] == []


async def test_every_call_carries_the_bearer_and_the_key(source):
    assert await BasicAuthentication(source).headers() == {
        "Authorization": "Bearer issued-1",
        "X-Subscription-Key": "key-of-the-account",
        "X-Client-Id": "app-7",
    }


async def test_two_callers_refused_with_the_same_token_renew_it_once(source, issuer):
    authentication = BasicAuthentication(source)
    stale = await authentication.headers()

    assert await asyncio.gather(authentication.renew(stale), authentication.renew(stale)) == [
        True,
        True,
    ]
    assert await authentication.renew(stale) is True
    assert len(issuer.requests) == 2


async def test_a_renewal_with_wrong_credentials_is_not_worth_a_repeat(source, issuer):
    authentication = BasicAuthentication(source)
    stale = await authentication.headers()
    issuer.response = httpx.Response(401)

    assert await authentication.renew(stale) is False
