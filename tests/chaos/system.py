"""The two doors of the running system: the gateway, and the sandbox's own routes."""

import asyncio
import random
import time
import uuid
from collections.abc import Mapping
from typing import Any

import httpx

from chaos.records import History

Json = dict[str, Any]
TOKEN_KEPT = 1_800.0
IN_PROGRESS = "request_in_flight"


class Sandbox:
    """The marketplace's stand-in, seen by whoever may look behind it; it may be away for a while."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=10)

    async def ask(self, method: str, path: str, within: float = 60.0, **more: Any) -> Any:
        """The JSON of an answer. Raises httpx.HTTPError when there is none within that time."""
        deadline = time.monotonic() + within
        while True:
            try:
                return await self.once(method, path, **more)
            except httpx.HTTPStatusError as error:
                if error.response.status_code < 500 or time.monotonic() > deadline:
                    raise
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.3)

    async def once(self, method: str, path: str, **more: Any) -> Any:
        """The JSON of one answer. Raises httpx.HTTPError, also for a refusal."""
        answer = await self._http.request(method, path, **more)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def token(self, user: str) -> str:
        """An access token of a demo user."""
        form = {
            "grant_type": "password",
            "client_id": "purser-cli",
            "username": user,
            "password": f"purser-{user}",
            "scope": "openid",
        }
        return str((await self.ask("POST", "/oidc/token", data=form))["access_token"])

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class Gateway:
    """The public API, called by several people; whatever is not definite is asked again."""

    def __init__(self, url: str, sandbox: Sandbox, history: History) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, timeout=45, limits=httpx.Limits(max_connections=200)
        )
        self._sandbox = sandbox
        self._history = history
        self._tokens: dict[str, tuple[str, float]] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, path: str, within: float = 60.0, **params: Any) -> Any:
        """What a GET answers with 200; asked again until then. Raises TimeoutError."""
        deadline = time.monotonic() + within
        while True:
            try:
                headers = await self._headers("admin")
                answer = await self._http.get(path, headers=headers, params=params)
                if answer.status_code == 200:
                    return answer.json()
                if answer.status_code >= 500:
                    self._history.error("GET", path, answer.status_code, _body(answer))
                why = f"{answer.status_code} {answer.text}"
            except httpx.HTTPError as error:
                why = type(error).__name__
            if time.monotonic() > deadline:
                raise TimeoutError(f"GET {path}: {why}")
            await asyncio.sleep(0.5)

    async def change(
        self,
        kind: str,
        method: str,
        path: str,
        body: Any,
        *,
        caller: str = "admin",
        key: str | None = None,
        if_match: str | None = None,
        within: float = 120.0,
    ) -> httpx.Response | None:
        """Make a call that changes something, under one key until its outcome is definite.

        None when it is not within that time: the outcome stays unknown.
        """
        deadline = time.monotonic() + within
        pause = 0.3
        while True:
            answer = await self.once(kind, method, path, body, caller, key, if_match)
            if answer is not None and not _undecided(answer):
                return answer
            if time.monotonic() > deadline:
                return None
            pause = min(pause * 1.5, 3.0)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  decides nothing

    async def once(
        self,
        kind: str,
        method: str,
        path: str,
        body: Any,
        caller: str = "admin",
        key: str | None = None,
        if_match: str | None = None,
    ) -> httpx.Response | None:
        """One call, written down before and after; None without an answer."""
        headers = await self._headers(caller)
        if key is not None:
            headers["Idempotency-Key"] = key
        if if_match is not None:
            headers["If-Match"] = if_match
        told = {"caller": caller, "idempotency_key": key, "method": method, "path": path}
        op = self._history.invoke(kind, **told, body=body)
        try:
            answer = await self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            self._history.unanswered(op, type(error).__name__)
            return None
        self._history.answered(op, method, path, answer.status_code, _body(answer))
        return answer

    async def _headers(self, caller: str) -> dict[str, str]:
        token, since = self._tokens.get(caller, ("", -TOKEN_KEPT))
        if time.monotonic() - since >= TOKEN_KEPT:
            token = await self._sandbox.token(caller)
            self._tokens[caller] = token, time.monotonic()
        return {"Authorization": f"Bearer {token}"}


def _undecided(answer: httpx.Response) -> bool:
    if answer.status_code >= 500 or answer.status_code == 429:
        return True
    return answer.status_code == 409 and code_of(answer) == IN_PROGRESS


def code_of(answer: httpx.Response) -> str | None:
    """The problem's code."""
    body = _body(answer)
    return str(body["code"]) if isinstance(body, Mapping) and "code" in body else None


def _body(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return answer.text


def new_key(chance: random.Random) -> str:
    """An idempotency key that the seed decides."""
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
