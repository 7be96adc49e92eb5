"""Subscription key first, then Basic for a token, then the bearer token."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from purser_sandbox.marketplace.errors import Refused
from purser_sandbox.world.records import Customer, Login, Product, Reseller
from purser_sandbox.world.seed import REGIONS
from purser_sandbox.world.state import World

MISSING_KEY = (
    "Access denied due to missing subscription key. "
    "Make sure to include subscription key when making requests to an API."
)
INVALID_KEY = (
    "Access denied due to invalid subscription key. "
    "Make sure to provide a valid key for an active subscription."
)


def sign(world: World, purpose: str, claims: dict[str, Any]) -> str:
    """An opaque token that outlives a restart, since its key is part of the state."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"{payload}.{_signature(world, purpose, payload)}"


def verify(world: World, purpose: str, token: str) -> dict[str, Any] | None:
    payload, _, signature = token.partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(world, purpose, payload).encode()):
        return None
    claims: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return claims


def _signature(world: World, purpose: str, payload: str) -> str:
    message = f"{purpose}.{payload}".encode()
    return hmac.new(world.signing_key.encode(), message, hashlib.sha256).hexdigest()


def check_key(world: World, request: Request) -> Login:
    """The login whose gateway subscription the key names."""
    if request.path_params.get("region") not in REGIONS:
        raise Refused(404, "Resource not found", "gateway")
    key = request.headers.get("x-subscription-key", "")
    if not key:
        raise Refused(401, MISSING_KEY, "gateway")
    for login in world.logins.values():
        if hmac.compare_digest(login.subscription_key.encode(), key.encode()):
            if login.region != request.path_params["region"] or login.disabled:
                break
            return login
    raise Refused(401, INVALID_KEY, "gateway")


def issue_token(world: World, request: Request, body: dict[str, Any]) -> dict[str, Any]:
    check_key(world, request)
    login = _basic(world, request)
    if login is None:
        raise Refused(401, "Bad credentials")
    if not body.get("marketplace"):
        raise Refused(400, "Marketplace must be specified.")
    if body["marketplace"] != login.marketplace:
        raise Refused(401, "User has no access to the requested marketplace.")
    life = world.settings.token_seconds
    claims = {"login": login.id, "generation": login.generation, "exp": time.time() + life}
    return {"token": sign(world, "marketplace", claims), "expiresInSeconds": life}


def _basic(world: World, request: Request) -> Login | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    for login in world.logins.values():
        if login.username == user and hmac.compare_digest(
            login.password.encode(), password.encode()
        ):
            return login
    return None


def authenticate(world: World, request: Request) -> Login:
    check_key(world, request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    claims = verify(world, "marketplace", token) if scheme.lower() == "bearer" else None
    login = world.logins.get(claims["login"]) if claims else None
    if claims is None or login is None or login.disabled:
        raise Refused(401, "Unauthorized")
    if claims["exp"] <= time.time() or claims["generation"] != login.generation:
        raise Refused(login.expired_bearer or world.settings.expired_bearer, "Token is expired.")
    request.scope["sandbox.login_id"] = login.id
    return login


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated login and what it may see."""

    world: World
    login: Login

    @property
    def currency(self) -> str:
        rows = self.world.resellers_of(self.login)
        return rows[0].currency if rows else "USD"

    def reseller(self, key: str) -> Reseller:
        row = self.world.resellers.get(key)
        if row is None or not self.world.sees(self.login, row.id):
            raise Refused(404, f"Reseller with id {key} is not found.")
        return row

    def customer(self, key: str) -> Customer:
        row = self.world.customers.get(key)
        if row is None or not self.world.sees(self.login, row.reseller_id):
            raise Refused(404, f"Customer with id {key} is not found.")
        return row

    def products(self) -> list[Product]:
        """The rows of the catalogue that this login lists."""
        rows = self.world.catalogue.published()[: self.login.products]
        return [row for row in rows if row.mpn not in self.login.hidden]

    def customers(self) -> list[Customer]:
        seen = {row.id for row in self.world.resellers_of(self.login)}
        return [row for row in self.world.customers.values() if row.reseller_id in seen]
