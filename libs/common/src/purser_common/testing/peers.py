"""Everybody around a service under test: its peers with their keys, and the sandbox."""

import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from purser_common import settings
from purser_common.identity import Caller, Grant, InternalTokens
from purser_common.testing.running import free_port
from purser_common.testing.serving import answers, running
from purser_common.testing.waiting import eventually


@dataclass(frozen=True)
class Keys:
    """The keys of a deployment, in the folder and by the names of a local one."""

    home: Path

    def identity(self, service: str) -> settings.Identity:
        """A service's own signing key, and everybody's public keys."""
        return settings.Identity(
            private_key_file=self.home / service / "private.pem",
            public_keys_dir=self.home / "public",
        )

    def tokens(self, service: str, *accepts: str) -> InternalTokens:
        """A service's internal tokens."""
        return InternalTokens(service, self.identity(service), accepts)

    def hmac(self, service: str) -> Path:
        """A service's key of digests."""
        return self.home / service / "hmac.key"

    def keks(self, service: str) -> Path:
        """A service's key-encryption keys."""
        return self.home / "kek" / service

    @property
    def microsoft_secret(self) -> Path:
        """The secret of the application that tenants consent to."""
        return self.home / "microsoft-client-secret"


class Service:
    """A service as its peers call it: signed, on somebody's behalf, POSTs under a key."""

    def __init__(self, name: str, http: httpx.AsyncClient, keys: Keys) -> None:
        self.http = http
        self._name = name
        self._keys = keys
        self._tokens: dict[str, InternalTokens] = {}

    async def call(
        self,
        method: str,
        path: str,
        *,
        roles: tuple[str, ...] = (),
        scope: str = "all",
        peer: str = "gateway",
        key: str | None = None,
        digest: str = "",
        etag: str | None = None,
        headers: dict[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        """Call through a peer, as a person with these roles; without any, for the peer itself.

        A POST under `/v1` has a key of its own unless one is given; an empty one is left out.
        """
        caller = Caller("user:tester", tuple(Grant(role, scope) for role in roles))
        if peer not in self._tokens:
            self._tokens[peer] = self._keys.tokens(peer)
        token = self._tokens[peer].mint(self._name, caller if roles else None)
        sent = {"Authorization": f"Bearer {token}"}
        if method == "POST" and path.startswith("/v1") and key != "":
            sent["Idempotency-Key"] = key or uuid.uuid4().hex
            sent["Purser-Request-Digest"] = digest
        if etag:
            sent["If-Match"] = etag
        return await self.http.request(method, path, headers={**sent, **(headers or {})}, **body)


class Sandbox:
    """The sandbox's own routes."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.url = url
        self.http = http

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        """What a route below `/sandbox` answers. Raises httpx.HTTPStatusError for a refusal."""
        answer = await self.http.request(method, f"{self.url}/sandbox{path}", **body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def account(self, **wanted: Any) -> dict[str, Any]:
        """A login of its own, with resellers and customers that no other login sees."""
        made: dict[str, Any] = await self.ask("POST", "/accounts", json=wanted)
        return made

    async def plant(self, **fault: Any) -> None:
        """Plant a fault of the next calls that fit."""
        await self.ask("POST", "/faults", json=fault)


@contextlib.asynccontextmanager
async def sandbox(home: Path, **environment: str) -> AsyncIterator[Sandbox]:
    """A sandbox of the test run's own whose orders take no time.

    It refuses every query and field that the marketplace's contract does not have.
    """
    port = free_port()
    env = {
        "SANDBOX_PORT": str(port),
        "SANDBOX_DATA_DIR": str(home),
        "SANDBOX_SUBMITTED_SECONDS": "0",
        "SANDBOX_PROCESSING_SECONDS": "0",
        "SANDBOX_STRICT": "true",
        **environment,
    }
    url = f"http://127.0.0.1:{port}"
    with running("purser_sandbox", env, home / "log"):
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            await eventually(lambda: answers(http, f"{url}/sandbox/health"), within=30)
            yield Sandbox(url, http)
