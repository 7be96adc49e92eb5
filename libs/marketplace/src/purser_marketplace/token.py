"""The bearer token of one account, and the headers made from it (§1.1, §1.2)."""

import asyncio
import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import httpx

from purser_marketplace.answers import error_of, parse_object
from purser_marketplace.errors import BadAnswer, Forbidden, Unauthorized
from purser_marketplace.transport import exchange

_MARGIN = 90.0
_ANSWER_WITHIN = 30.0


@dataclass(frozen=True, slots=True, repr=False)
class _Token:
    value: str
    life: float
    ends: float

    @property
    def margin(self) -> float:
        return min(_MARGIN, self.life / 3)


class TokenSource:
    """One shared token per account. Callers that need a new one at the same time share one POST /token.

    A token is used until 90 s before its end (or a third of its life, if that is less); its life is
    the one the marketplace states. A failure is shared too: nothing here tries a password twice.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        marketplace_code: str,
        username: str,
        password: str,
        subscription_key: str,
        client_id: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._url = base_url.rstrip("/") + "/token"
        self._marketplace_code = marketplace_code
        self._username = username
        self._password = password
        self._subscription_key = subscription_key
        self._client_id = client_id
        self._clock = clock
        self._token: _Token | None = None
        self._renewal: asyncio.Task[_Token] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    async def bearer(self, min_left: float = 0) -> str:
        """A token with at least `min_left` seconds left, as far as its life allows.

        Raises Unauthorized when the marketplace does not take the credentials, and any other
        MarketplaceError.
        """
        token = self._token
        if token is not None:
            needed = max(token.margin, min(min_left, token.life - token.margin))
            if token.ends - self._clock() >= needed:
                return token.value
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew())
            self._renewal.add_done_callback(self._renewed)
        # One caller giving up must not take the token from the others.
        return (await asyncio.shield(self._renewal)).value

    def invalidate(self, token: str) -> None:
        """Forgets the token if it is still the one in use; a newer one stays."""
        if self._token is not None and self._token.value == token:
            self._token = None

    def identification(self) -> dict[str, str]:
        """The headers every call carries, the token call included."""
        headers = {"X-Subscription-Key": self._subscription_key}
        if self._client_id:
            headers["X-Client-Id"] = self._client_id
        return headers

    def _renewed(self, task: asyncio.Task[_Token]) -> None:
        self._renewal = None
        if not task.cancelled() and task.exception() is None:
            self._token = task.result()

    async def _renew(self) -> _Token:
        asked_at = self._clock()
        pair = f"{self._username}:{self._password}".encode()
        basic = base64.b64encode(pair).decode("ascii")
        answer = await exchange(
            self._http,
            "POST",
            self._url,
            headers={"Authorization": f"Basic {basic}", **self.identification()},
            json_body={"marketplace": self._marketplace_code},
            answer_within=_ANSWER_WITHIN,
            name="POST /token",
        )
        if not answer.ok:
            secrets = (basic, self._password, self._subscription_key)
            raise error_of(answer.status, answer.headers, answer.body, secrets)
        fields = parse_object(answer.body)
        value, life = fields.get("token"), _seconds(fields.get("expiresInSeconds"))
        if not isinstance(value, str) or not value.strip() or not value.isascii():
            raise BadAnswer("the answer of POST /token has no token", status=answer.status)
        return _Token(value=value.strip(), life=life, ends=asked_at + life)


def _seconds(value: object) -> float:
    if isinstance(value, (int, Decimal, str)) and not isinstance(value, bool):
        try:
            life = float(value)
        except (ValueError, OverflowError):
            life = 0.0
        if 0 < life < float("inf"):
            return life
    raise BadAnswer("the answer of POST /token does not say how long the token lives")


class BasicAuthentication:
    """An account's own credentials: a bearer token from HTTP Basic, and the subscription key."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    async def headers(self) -> dict[str, str]:
        """Authorization, X-Subscription-Key and, when there is one, X-Client-Id."""
        token = await self._source.bearer()
        return {"Authorization": f"Bearer {token}", **self._source.identification()}

    async def renew(self, stale: dict[str, str]) -> bool:
        """Drops the token of headers that were refused; True when there is another one to try."""
        token = stale.get("Authorization", "").removeprefix("Bearer ")
        self._source.invalidate(token)
        try:
            return await self._source.bearer() != token
        except (Unauthorized, Forbidden):
            return False
