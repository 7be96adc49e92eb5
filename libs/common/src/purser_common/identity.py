"""Who is calling: OIDC tokens at the gateway, and short internal tokens from service to service.

The gateway mints one EdDSA token per call for one audience; services sign their own calls with their
own key and carry the original caller along (design §7).
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from purser_common import logs, settings
from purser_common.errors import Forbidden, NotFound, Unauthenticated, Unavailable

ROLES = (
    "viewer",
    "requester",
    "approver",
    "purchaser",
    "price_admin",
    "credential_admin",
    "auditor",
    "platform_admin",
)
ALL = "all"
MAX_TOKEN_BYTES = 8 * 1024
_LEEWAY = 30
_LIFE = 60
_ALGORITHMS = ("RS256", "PS256", "ES256", "Ed25519")
_log = logs.get(__name__)


@dataclass(frozen=True)
class Grant:
    """A role in a scope: `all`, `customer/<id>` or `tenant/<id>`."""

    role: str
    scope: str


@dataclass(frozen=True)
class Caller:
    """Somebody who asks: a person, a machine client, or a service (with whom it asks for)."""

    subject: str
    grants: tuple[Grant, ...] = ()
    service: str | None = None

    def scopes(self, *roles: str) -> frozenset[str]:
        """Where the caller holds one of the roles; a platform admin holds every role."""
        return frozenset(g.scope for g in self.grants if g.role in (*roles, "platform_admin"))

    def may(self, *roles: str, customer: str | None = None, tenant: str | None = None) -> bool:
        """Whether the caller holds one of the roles here."""
        scopes = self.scopes(*roles)
        return bool(scopes & {ALL, f"customer/{customer}", f"tenant/{tenant}"})

    def require(self, *roles: str, customer: str | None = None, tenant: str | None = None) -> None:
        """Raises Forbidden, or NotFound for an object that the caller may not even see."""
        if self.may(*roles, customer=customer, tenant=tenant):
            return
        if (customer or tenant) and not self.may(*ROLES, customer=customer, tenant=tenant):
            raise NotFound("there is no such object, or it is not yours to see")
        raise Forbidden(f"this needs the role {' or '.join(roles)}")

    def require_service(self, *services: str) -> None:
        """Raises Forbidden unless one of these services calls, for itself or for somebody."""
        if self.service not in services:
            raise Forbidden("this is for other services only")


def scope_filter(scopes: frozenset[str], *, customer: str, tenant: str) -> dict[str, Any] | None:
    """The part of a query that keeps to the scopes; None when nothing is in them.

    `customer` and `tenant` name the document's fields.
    """
    if ALL in scopes:
        return {}
    split = [scope.partition("/") for scope in scopes]
    customers = sorted(id for kind, _, id in split if kind == "customer")
    tenants = sorted(id for kind, _, id in split if kind == "tenant")
    parts: list[dict[str, Any]] = []
    if customers:
        parts.append({customer: {"$in": customers}})
    if tenants:
        parts.append({tenant: {"$in": tenants}})
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else {"$or": parts}


class InternalTokens:
    """Mints this process's tokens and verifies those of the callers it accepts."""

    def __init__(self, service: str, config: settings.Identity, accepts: Iterable[str]) -> None:
        self._service = service
        self._directory = config.public_keys_dir
        self._accepts = frozenset(accepts)
        self._key = OKPKey.import_key(config.private_key_file.read_bytes())
        self._keys: dict[str, OKPKey] = {}
        self._kid = self._own_kid()

    def _own_kid(self) -> str:
        mine = self._key.as_dict(private=False)["x"]
        for path in sorted(self._directory.glob(f"{self._service}-*.pem")):
            if OKPKey.import_key(path.read_bytes()).as_dict(private=False)["x"] == mine:
                return path.stem
        raise ValueError(
            f"no public key of {self._service} in {self._directory} fits its private key"
        )

    def mint(self, audience: str, caller: Caller | None = None) -> str:
        """A token for one call to `audience`, for the caller or for the service itself; lives 60 s."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self._service,
            "aud": audience,
            "iat": now,
            "exp": now + _LIFE,
            "sub": f"service:{self._service}",
        }
        if caller is not None:
            claims["on_behalf_of"] = {
                "sub": caller.subject,
                "grants": [[grant.role, grant.scope] for grant in caller.grants],
            }
        header = {"alg": "Ed25519", "kid": self._kid, "typ": "purser+jwt"}
        return jwt.encode(header, claims, self._key, algorithms=["Ed25519"])

    def verify(self, token: str) -> Caller:
        """Who calls. Raises Unauthenticated for anything but a live token of an accepted caller."""
        try:
            kid = _header(token).get("kid", "")
            issuer = str(kid).rpartition("-")[0]
            if issuer not in self._accepts:
                raise Unauthenticated("this caller is not accepted here")
            parsed = jwt.decode(token, self._public(str(kid)), algorithms=["Ed25519"])
            _registry(issuer, self._service).validate(parsed.claims)
        except (JoseError, ValueError) as error:
            raise Unauthenticated("the internal token is not valid") from error
        claims = parsed.claims
        behalf = claims.get("on_behalf_of")
        if behalf is None:
            return Caller(str(claims["sub"]), service=issuer)
        grants = tuple(Grant(role, scope) for role, scope in behalf["grants"])
        return Caller(behalf["sub"], grants, service=issuer)

    def _public(self, kid: str) -> OKPKey:
        if kid not in self._keys:
            path = self._directory / f"{kid}.pem"
            if not kid.replace("-", "").isalnum() or not path.is_file():
                raise Unauthenticated("the internal token is signed with an unknown key")
            self._keys[kid] = OKPKey.import_key(path.read_bytes())
        return self._keys[kid]


def _header(token: str) -> dict[str, Any]:
    """The header of a token that is not too long and names nobody else's key."""
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated("the token is too long")
    header: dict[str, Any] = dict(_unverified(token))
    if any(name in header for name in ("jku", "x5u", "jwk", "x5c", "crit")):
        raise Unauthenticated("the token brings its own key")
    return header


def _unverified(token: str) -> Mapping[str, Any]:
    from joserfc.jws import extract_compact

    return extract_compact(token.encode()).headers()


def _registry(issuer: str, audience: str) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        leeway=_LEEWAY,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
        sub={"essential": True},
    )


@dataclass(frozen=True)
class Identified:
    """What an OIDC token says: the principal, its name, and the groups it is in."""

    principal: str
    name: str
    groups: tuple[str, ...]

    @property
    def principals(self) -> tuple[str, ...]:
        """Everything that a role can be assigned to for this caller."""
        return (self.principal, *(f"group:{group}" for group in self.groups))


class OidcVerifier:
    """Verifies access tokens against the issuer's published keys.

    An unknown key id makes it read the keys again, at most once in 30 s and one reader at a time.
    """

    def __init__(self, http: httpx.AsyncClient, issuer: str, audience: str) -> None:
        self._http = http
        self._issuer = issuer.rstrip("/")
        self._audience = audience
        self._keys: KeySet | None = None
        self._known: frozenset[str] = frozenset()
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def verify(self, token: str) -> Identified:
        """Who calls. Raises Unauthenticated, or Unavailable while no key could ever be read."""
        try:
            header = _header(token)
            if header.get("alg") not in _ALGORITHMS:
                raise Unauthenticated("the token is not signed with an accepted algorithm")
            keys = await self._keys_with(str(header.get("kid", "")))
            parsed = jwt.decode(token, keys, algorithms=list(_ALGORITHMS))
            _registry(self._issuer, self._audience).validate(parsed.claims)
        except (JoseError, ValueError) as error:
            raise Unauthenticated(
                "the token is not valid; get a new one from the issuer"
            ) from error
        return _identified(parsed.claims)

    async def _keys_with(self, kid: str) -> KeySet:
        if kid not in self._known:
            async with self._reading:
                if kid not in self._known and time.monotonic() - self._read_at > 30:
                    await self._read()
        if self._keys is None:
            raise Unavailable("the issuer's keys cannot be read", code="issuer_unavailable")
        if kid not in self._known:
            raise Unauthenticated("the token is signed with an unknown key")
        return self._keys

    async def _read(self) -> None:
        try:
            discovery = await self._http.get(
                f"{self._issuer}/.well-known/openid-configuration", timeout=5
            )
            found = discovery.raise_for_status().json()
            if found["issuer"].rstrip("/") != self._issuer:
                raise ValueError("the issuer's discovery document names another issuer")
            answer = await self._http.get(found["jwks_uri"], timeout=5)
            keys = KeySet.import_key_set(answer.raise_for_status().json())
        except (httpx.HTTPError, JoseError, ValueError, KeyError) as error:
            _log.warning("issuer's keys not read", error=type(error).__name__)
            return
        self._keys = keys
        self._known = frozenset(key.kid for key in keys.keys if key.kid)
        self._read_at = time.monotonic()


def _identified(claims: Mapping[str, Any]) -> Identified:
    """Reads tokens as Entra (`oid`, `azp`/`appid`, `idtyp`) and as Keycloak shape them."""
    client = claims.get("azp") or claims.get("appid") or claims.get("client_id")
    machine = claims.get("idtyp") == "app" or str(claims.get("preferred_username", "")).startswith(
        "service-account-"
    )
    if machine and client:
        principal = f"client:{client}"
    else:
        principal = f"user:{claims.get('oid') or claims['sub']}"
    groups = claims.get("groups") or ()
    plain = groups if isinstance(groups, Sequence) and not isinstance(groups, str) else ()
    name = claims.get("name") or claims.get("preferred_username") or principal
    return Identified(principal, str(name), tuple(str(g).removeprefix("/") for g in plain))


def read_secret(path: Path) -> str:
    """A secret from a mounted file, without its trailing newline."""
    return path.read_text(encoding="utf-8").strip()
