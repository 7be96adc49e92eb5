"""The gateway on real servers, between an issuer and owners that are as small as can be."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from gateway_service.main import build
from gateway_service.settings import Settings
from gateway_service.store import OUTBOXES, Model
from purser_common import kafka as chassis_kafka
from purser_common import mongo as chassis_mongo
from purser_common import settings, testing
from purser_common.identity import Caller
from purser_events.topics import BY_NAME

AUDIENCE = "purser-api"
EXAMPLES = Path(__file__).resolve().parents[3] / "libs/events/examples"
OWNERS = ("reseller", "tenant-connection", "subscription", "order", "audit")
ROOT = "root"


class Issuer:
    """An OIDC issuer: publishes one key, signs what it is told."""

    def __init__(self) -> None:
        self.url = ""
        self.key = RSAKey.generate_key(2048, {"kid": "k1"})
        self.other = RSAKey.generate_key(2048, {"kid": "k1"})

    def install(self, app: FastAPI) -> None:
        @app.get("/oidc/.well-known/openid-configuration")
        async def discovery() -> dict[str, str]:
            return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}

        @app.get("/oidc/jwks")
        async def jwks() -> Any:
            return KeySet([self.key]).as_dict(private=False)

    def token(self, user: str, key: RSAKey | None = None, **claims: Any) -> str:
        now = int(time.time())
        said = {"iss": self.url, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + 600}
        header = {"alg": "RS256", "kid": "k1", "typ": "at+jwt"}
        return jwt.encode(header, {**said, **claims}, key or self.key, algorithms=["RS256"])


@dataclass(frozen=True)
class Forwarded:
    """A call as it reached an owner."""

    owner: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    caller: Caller


@dataclass
class Plan:
    """What an owner answers; it waits for `go` before it does."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def given(self) -> Response:
        await self.go.wait()
        kind = "application/json" if self.status < 400 else "application/problem+json"
        content = b"" if self.body is None else json.dumps(self.body).encode()
        return Response(content, self.status, {"content-type": kind, **self.headers})


class Owners:
    """The owners behind the gateway: they note what reaches them, and answer as a test plans it.

    A plan is filed under what only its test uses: a part of the path, or an Idempotency-Key.
    """

    def __init__(self, keys: testing.Keys) -> None:
        self.seen: list[Forwarded] = []
        self._tokens = {owner: keys.tokens(owner, "gateway") for owner in OWNERS}
        self._plans: dict[str, list[Plan]] = {}

    def install(self, app: FastAPI) -> None:
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        app.add_api_route("/owner/{owner}/{path:path}", self._serve, methods=methods)

    def plan(
        self, mark: str, status: int, body: Any = None, *, held: bool = False, **headers: str
    ) -> Plan:
        """The next answer to a call with this mark; the last plan stays."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        plan = Plan(status, body, named)
        if not held:
            plan.go.set()
        self._plans.setdefault(mark, []).append(plan)
        return plan

    def of(self, mark: str) -> list[Forwarded]:
        """The calls with this mark."""
        return [one for one in self.seen if mark in _marks(one)]

    def release(self) -> None:
        """Let everybody go who still waits, as a test that failed may leave them."""
        for plan in (plan for plans in self._plans.values() for plan in plans):
            plan.go.set()

    async def _serve(self, owner: str, request: Request) -> Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        call = Forwarded(
            owner,
            request.method,
            request.scope["raw_path"].decode().removeprefix(f"/owner/{owner}"),
            request.url.query,
            dict(request.headers),
            await request.body(),
            self._tokens[owner].verify(token),
        )
        self.seen.append(call)
        plans = next((self._plans[mark] for mark in _marks(call) if mark in self._plans), None)
        if plans is None:
            return Response(b"{}", 200, {"content-type": "application/json"})
        return await (plans.pop(0) if len(plans) > 1 else plans[0]).given()


def _marks(call: Forwarded) -> list[str]:
    return [*call.path.split("/"), call.path, call.headers.get("idempotency-key", "")]


class Public:
    """The public API as people call it, each with a token of the issuer."""

    def __init__(self, http: httpx.AsyncClient, issuer: Issuer) -> None:
        self.http = http
        self._issuer = issuer

    async def call(
        self,
        method: str,
        path: str,
        *,
        user: str = ROOT,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        """Call as a user; a POST has a key of its own unless one is given, an empty one is left out."""
        sent = {"Authorization": f"Bearer {self._issuer.token(user)}"}
        if method == "POST" and key != "":
            sent["Idempotency-Key"] = key or uuid.uuid4().hex
        return await self.http.request(method, path, headers={**sent, **(headers or {})}, **body)

    async def grant(self, role: str, scope: str, principal: str | None = None) -> str:
        """Give a role; answers the name of the user who has it."""
        user = uuid.uuid4().hex
        body = {"principal": principal or f"user:{user}", "role": role, "scope": scope}
        given = await self.call("POST", "/v1/role-assignments", json=body)
        assert given.status_code == 201, given.text
        return user


@pytest.fixture(scope="session")
async def around(keys: testing.Keys) -> AsyncIterator[tuple[str, Issuer, Owners]]:
    """Issuer and owners, on a real socket."""
    app, issuer, owners = FastAPI(), Issuer(), Owners(keys)
    issuer.install(app)
    owners.install(app)
    async with testing.serving(app) as url:
        issuer.url = f"{url}/oidc"
        yield url, issuer, owners
        owners.release()


@pytest.fixture
def issuer(around: tuple[str, Issuer, Owners]) -> Issuer:
    return around[1]


@pytest.fixture
def owners(around: tuple[str, Issuer, Owners]) -> Owners:
    return around[2]


@dataclass
class Deployment:
    """Where the gateway finds its servers, its keys and the others."""

    keys: testing.Keys
    mongo: settings.Mongo
    kafka: settings.Kafka
    around: str
    issuer: Issuer

    @contextlib.asynccontextmanager
    async def start(self, **changed: Any) -> AsyncIterator[Public]:
        """The gateway in this process."""
        urls = {
            f"{owner.replace('-', '_')}_url": f"{self.around}/owner/{owner}" for owner in OWNERS
        }
        fields: dict[str, Any] = {
            "environment": "test",
            "http": {"port": 0},
            "mongo": self.mongo,
            "kafka": self.kafka,
            "identity": self.keys.identity("gateway"),
            "oidc": {"issuer": self.issuer.url, "audience": AUDIENCE},
            "hmac_key_file": self.keys.hmac("gateway"),
            "bootstrap_admins": (f"user:{ROOT}",),
            **urls,
        }
        async with testing.started(build(Settings(**fields | changed))) as http:
            public = Public(http, self.issuer)
            await testing.eventually(lambda: _let_in(public))
            yield public
            # ended in the middle of connecting to Kafka, it would leave the connection to the collector
            await testing.eventually(self._all_told, within=20)

    async def _all_told(self) -> bool:
        waiting = {"outbox_since": {"$exists": True}}
        async with testing.opened(self.mongo) as database:
            return not any([await database[name].find_one(waiting) for name in OUTBOXES])


async def _let_in(public: Public) -> bool:
    """The first admin is appointed beside the start, not before it."""
    return bool((await public.call("GET", "/v1/me")).json()["roles"])


@pytest.fixture(scope="session")
async def deployment(
    servers: testing.Servers,
    provisioned: settings.Kafka,
    keys: testing.Keys,
    around: tuple[str, Issuer, Owners],
) -> AsyncIterator[Deployment]:
    async with servers.fresh_database() as config:
        yield Deployment(keys, config, provisioned, around[0], around[1])


@pytest.fixture(scope="session")
async def public(deployment: Deployment) -> AsyncIterator[Public]:
    """One gateway for all tests: each has its own users and ids."""
    async with deployment.start() as started:
        yield started


@pytest.fixture
async def kept(deployment: Deployment) -> AsyncIterator[chassis_mongo.Database]:
    """The gateway's database, to look at."""
    async with testing.opened(deployment.mongo) as database:
        yield database


@dataclass
class Known:
    """Puts states into the read model, as the examples of the language show them."""

    model: Model

    async def put(self, topic: str, id: str, sequence: int = 1, **changed: Any) -> dict[str, Any]:
        """The state of the topic's example, changed; folded in as a command's answer is."""
        text = (EXAMPLES / f"purser.{topic}.v1.json").read_text()
        state: dict[str, Any] = {**json.loads(text)["data"]["state"], "id": id, **changed}
        whole = BY_NAME[topic].fact.model_fields["state"].annotation.model_validate(state)
        state = whole.model_dump(mode="json")
        await self.model.fold_answer(f"{BY_NAME[topic].aggregate}/{id}", sequence, state)
        return state


@pytest.fixture
def known(kept: chassis_mongo.Database) -> Known:
    """What the gateway has heard of."""
    return Known(Model(kept))


@pytest.fixture
async def producer(provisioned: settings.Kafka) -> AsyncIterator[chassis_kafka.Producer]:
    """What owners publish with."""
    producer = chassis_kafka.Producer(provisioned)
    yield producer
    await producer.stop()
