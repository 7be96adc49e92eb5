"""Tokens: shaped like Entra's and Keycloak's, and everything forged is refused."""

import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from purser_common import settings
from purser_common.errors import Forbidden, NotFound, Unauthenticated
from purser_common.identity import Caller, Grant, InternalTokens, OidcVerifier, scope_filter

ISSUER, AUDIENCE = "http://issuer.test/oidc", "purser-api"
KEY = RSAKey.generate_key(2048, {"kid": "k1"})
OTHER = RSAKey.generate_key(2048, {"kid": "k1"})


def claims(**over: Any) -> dict[str, Any]:
    now = int(time.time())
    plain = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u1", "iat": now, "exp": now + 86_400}
    return {name: value for name, value in {**plain, **over}.items() if value is not None}


def token(key: RSAKey = KEY, header: dict[str, Any] | None = None, **over: Any) -> str:
    head = {"alg": "RS256", "kid": "k1", "typ": "at+jwt", **(header or {})}
    return jwt.encode(head, claims(**over), key, algorithms=["RS256"])


@pytest.fixture
async def verifier() -> AsyncIterator[OidcVerifier]:
    issuer = FastAPI()

    @issuer.get("/oidc/.well-known/openid-configuration")
    async def discovery() -> dict[str, str]:
        return {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}

    @issuer.get("/oidc/jwks")
    async def jwks() -> Any:
        return KeySet([KEY]).as_dict(private=False)

    transport = httpx.ASGITransport(issuer)
    async with httpx.AsyncClient(transport=transport) as http:
        yield OidcVerifier(http, ISSUER, AUDIENCE)


async def test_a_person_as_entra_shapes_it(verifier: OidcVerifier) -> None:
    found = await verifier.verify(token(oid="o-1", name="Admin", groups=["g1"], azp="console"))
    assert (found.principal, found.name) == ("user:o-1", "Admin")
    assert found.principals == ("user:o-1", "group:g1")


async def test_a_person_as_keycloak_shapes_it(verifier: OidcVerifier) -> None:
    found = await verifier.verify(token(preferred_username="admin", groups=["/msp/admins"]))
    assert (found.principal, found.groups) == ("user:u1", ("msp/admins",))


@pytest.mark.parametrize(
    "shape",
    [
        {"idtyp": "app", "azp": "reporting", "oid": "x"},
        {"azp": "reporting", "preferred_username": "service-account-reporting"},
    ],
    ids=["entra", "keycloak"],
)
async def test_a_machine_is_a_client(verifier: OidcVerifier, shape: dict[str, Any]) -> None:
    assert (await verifier.verify(token(**shape))).principal == "client:reporting"


def _unsigned(alg: str) -> str:
    parts = ({"alg": alg, "kid": "k1"}, claims())
    encoded = [
        base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts
    ]
    return ".".join((*encoded, ""))


def _tampered() -> str:
    head, body, signature = token().split(".")
    raw = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    raw["sub"] = "somebody-else"
    forged = base64.urlsafe_b64encode(json.dumps(raw).encode()).rstrip(b"=").decode()
    return f"{head}.{forged}.{signature}"


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "x",
        "a.b.c",
        _unsigned("none"),
        _unsigned("HS256"),
        _tampered(),
        token(OTHER),
        token(exp=int(time.time()) - 120),
        token(exp=None),
        token(nbf=int(time.time()) + 86_400),
        token(iss="http://issuer.test/other"),
        token(iss=None),
        token(aud="another-api"),
        token(aud=None),
        token(sub=None),
        token(header={"kid": "unknown"}),
        token(header={"jku": "http://evil.test/jwks"}),
        token(header={"x5u": "http://evil.test/cert"}),
        token(header={"jwk": KEY.as_dict(private=False)}),
        token(name="x" * 9000),
    ],
)
async def test_a_forged_or_foreign_token_is_refused(verifier: OidcVerifier, forged: str) -> None:
    with pytest.raises(Unauthenticated):
        await verifier.verify(forged)


def internal(directory: Path, service: str, accepts: tuple[str, ...]) -> InternalTokens:
    public = directory / "public"
    public.mkdir(exist_ok=True)
    private = directory / f"{service}.pem"
    if not private.exists():
        key = Ed25519PrivateKey.generate()
        pem = serialization.Encoding.PEM
        private.write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        (public / f"{service}-1.pem").write_bytes(
            key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
    config = settings.Identity(private_key_file=private, public_keys_dir=public)
    return InternalTokens(service, config, accepts)


def test_a_service_sees_the_caller_and_its_grants(tmp_path: Path) -> None:
    gateway = internal(tmp_path, "gateway", ())
    order = internal(tmp_path, "order", ("gateway",))
    caller = Caller("user:admin", (Grant("viewer", "tenant/t1"),))
    seen = order.verify(gateway.mint("order", caller))
    assert seen == Caller("user:admin", caller.grants, service="gateway")


def test_a_service_that_is_not_accepted_or_not_addressed_is_refused(tmp_path: Path) -> None:
    gateway = internal(tmp_path, "gateway", ())
    audit = internal(tmp_path, "audit", ("gateway",))
    order = internal(tmp_path, "order", ("gateway",))
    with pytest.raises(Unauthenticated):
        order.verify(audit.mint("order"))
    with pytest.raises(Unauthenticated):
        order.verify(gateway.mint("audit"))
    with pytest.raises(Unauthenticated):
        order.verify(token())


def test_a_foreign_object_is_absent_and_a_missing_role_is_named() -> None:
    caller = Caller("user:a", (Grant("viewer", "customer/c1"),))
    caller.require("viewer", customer="c1", tenant="t1")
    with pytest.raises(NotFound):
        caller.require("viewer", customer="c2", tenant="t2")
    with pytest.raises(Forbidden, match="requester"):
        caller.require("requester", customer="c1", tenant="t1")


def test_a_list_keeps_to_the_callers_scopes() -> None:
    both = frozenset({"customer/c1", "tenant/t1"})
    assert scope_filter(frozenset({"all", *both}), customer="c", tenant="t") == {}
    assert scope_filter(frozenset(), customer="c", tenant="t") is None
    expected = {"$or": [{"c": {"$in": ["c1"]}}, {"t": {"$in": ["t1"]}}]}
    assert scope_filter(both, customer="c", tenant="t") == expected
