"""Calls to the reseller service and to Microsoft, and the signature of the consent's state."""

import base64
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import httpx
from prometheus_client import Counter

from purser_common import logs
from purser_common.crypto import keyed_digest
from purser_common.errors import Conflict, FieldError, Malformed, NotFound, Unavailable
from purser_common.identity import Caller
from purser_common.telemetry import Cause
from purser_common.web import Peer, Signed, segment
from purser_marketplace import errors, models
from purser_marketplace.client import Marketplace as SimpleApi
from tenant_connection_service.domain.bulk import Directory
from tenant_connection_service.domain.connection import OpenRequest

SCOPE = "https://graph.microsoft.com/.default"
CONSENT_REFUSED = frozenset({65001, 700016, 7000229, 90002})
"""Microsoft's codes for an application that the tenant has not consented to or no longer does, and for
a tenant that does not exist."""
LIVING = ("active", "pending", "hold")
DETAILS = 2
"""Subscriptions of a marketplace customer that are read in detail; each costs a call."""
GRAPH_REFUSED = frozenset({401, 403})

_log = logs.get(__name__)
_unsure = Counter("microsoft_unsure_total", "Times that Microsoft did not say.", ["why"])


class Resellers:
    """The reseller service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def exists(self, reseller_id: str, caller: Caller | None, cause: Cause) -> bool:
        """Whether tenants may be connected to this reseller.

        Raises Conflict while it is being deleted or moved, Unavailable.
        """
        path = f"/internal/resellers/{segment(reseller_id)}"
        try:
            found = await self._peer.json("GET", path, caller=caller, cause=cause)
        except NotFound:
            return False
        if found["closing"]:
            raise Conflict(
                "the reseller is being deleted or moved; try again in a moment",
                code="reseller_closing",
                errors=(FieldError("/reseller_id", "try again, or choose another"),),
            )
        return bool(found["status"] == "active")

    async def customer_name(
        self, reseller_id: str, customer_id: str, caller: Caller | None, cause: Cause
    ) -> str | None:
        """The name of a reseller's customer at the marketplace; None when it has no such customer.

        Raises Unavailable.
        """
        reseller, customer = segment(reseller_id), segment(customer_id)
        path = f"/internal/resellers/{reseller}/marketplace-customers/{customer}"
        try:
            found = await self._peer.json("GET", path, caller=caller, cause=cause, timeout=20.0)
        except NotFound:
            return None
        return str(found["name"])


class Marketplace:
    """The marketplace, through the pass-through of the reseller service."""

    def __init__(self, peer: Peer, http: httpx.AsyncClient) -> None:
        self._peer = peer
        self._http = http

    async def directories(self, reseller_id: str, customer_id: str) -> tuple[Directory, ...]:
        """The Microsoft tenants that a few of a customer's living subscriptions provision into.

        Raises Unavailable.
        """
        base = f"{self._peer.url}/internal/marketplace/{segment(reseller_id)}"
        api = SimpleApi(self._http, base, Signed(self._peer))
        found: dict[str, Directory] = {}
        try:
            rows = [row async for row in api.subscriptions(customer_id=customer_id)]
            living = [row.id for row in rows if row.status in LIVING]
            for id in living[:DETAILS]:
                subscription = await api.subscription(id)
                if entra := subscription.ms_customer_id:
                    found.setdefault(entra, Directory(entra, _domain(subscription)))
        except errors.MarketplaceError as error:
            raise Unavailable(
                "the marketplace cannot be asked now", code="marketplace_unavailable"
            ) from error
        return tuple(found.values())


def _domain(subscription: models.Subscription) -> str | None:
    """The Microsoft domain that was named when the subscription was ordered."""
    named = (p for p in subscription.order_parameters if p.name.casefold() == "microsoft_domain")
    return next((str(one.value).strip().lower() for one in named if one.value), None)


class Orders:
    """The order service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def open_requests(
        self, tenant_id: str, caller: Caller | None, cause: Cause
    ) -> list[OpenRequest]:
        """The licence change requests of a tenant that have not ended. Raises Unavailable."""
        asked = {"tenant_id": tenant_id}
        path = "/internal/open-requests"
        found = await self._peer.json("GET", path, caller=caller, cause=cause, params=asked)
        return [OpenRequest(one["id"], one["status"], one["sent"]) for one in found["requests"]]


class Microsoft:
    """Microsoft's login and Graph, as the application that tenants consent to."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        login_url: str,
        graph_url: str,
        client_id: str,
        client_secret: str,
        callback_url: str,
    ) -> None:
        self._http = http
        self._login = login_url.rstrip("/")
        self._graph = graph_url.rstrip("/")
        self._client_id = client_id
        self._client_secret = client_secret
        self._callback = callback_url

    def consent_url(self, entra_tenant_id: str, state: str) -> str:
        """Where the tenant's administrator reviews and accepts the permissions (R40)."""
        query = {
            "client_id": self._client_id,
            "redirect_uri": self._callback,
            "scope": SCOPE,
            "state": state,
        }
        return f"{self._login}/{entra_tenant_id}/v2.0/adminconsent?{urlencode(query)}"

    async def consented(self, entra_tenant_id: str) -> bool:
        """Whether an app-only token of the tenant reads the tenant now.

        Raises Unavailable when Microsoft does not say: away, or not content with the application itself.
        """
        token = await self._token(entra_tenant_id)
        if token is None:
            return False
        headers = {"Authorization": f"Bearer {token}"}
        status, body = await self._ask("GET", f"{self._graph}/organization", headers=headers)
        if status in GRAPH_REFUSED:
            return False
        organizations = body.get("value")
        if status != 200 or not isinstance(organizations, list):
            raise _away(f"Graph answered {status}")
        return any(
            isinstance(row, Mapping) and str(row.get("id")).lower() == entra_tenant_id
            for row in organizations
        )

    async def _token(self, entra_tenant_id: str) -> str | None:
        """An app-only token; None without consent."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "scope": SCOPE,
        }
        url = f"{self._login}/{entra_tenant_id}/oauth2/v2.0/token"
        status, body = await self._ask("POST", url, data=form)
        token, codes = body.get("access_token"), body.get("error_codes")
        if status == 200 and isinstance(token, str) and token:
            return token
        said = set(codes) if isinstance(codes, list) else set()
        if 400 <= status < 500 and said & CONSENT_REFUSED:
            return None
        named = ", ".join(f"AADSTS{code}" for code in sorted(said, key=str))
        raise _away(f"the login answered {status} {named}".rstrip())

    async def _ask(self, method: str, url: str, **sent: Any) -> tuple[int, Mapping[str, Any]]:
        try:
            answer = await self._http.request(method, url, timeout=10.0, **sent)
            body = answer.json() if answer.status_code < 500 else {}
        except (httpx.HTTPError, ValueError) as error:
            raise _away(type(error).__name__) from error
        return answer.status_code, body if isinstance(body, Mapping) else {}


def _away(why: str) -> Unavailable:
    _unsure.labels(why).inc()
    _log.warning("Microsoft does not say whether consent stands", why=why)
    return Unavailable(f"Microsoft cannot be asked now ({why})", code="microsoft_unavailable")


class States:
    """The `state` of a consent: signed and expiring; its nonce makes it single-use (R41)."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError("the key that signs the consent's state must have 32 bytes or more")
        self._key = key

    def sign(self, tenant_id: str, nonce: str, expires_at: datetime) -> str:
        """What travels through the redirect."""
        raw = json.dumps([tenant_id, nonce, expires_at.isoformat()]).encode()
        body = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        return f"{body}.{self._mac(body)}"

    def read(self, state: str, now: datetime) -> tuple[str, str]:
        """(tenant, nonce). Raises Malformed for a forged or expired state; `now` is business time."""
        body, _, mac = state.partition(".")
        if not hmac.compare_digest(mac.encode(), self._mac(body).encode()):
            raise _invalid("the state of this consent is not one that Purser has signed")
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        tenant_id, nonce, expires_at = json.loads(raw)
        if datetime.fromisoformat(expires_at) <= now:
            raise Malformed(
                "the consent took longer than it may; request it again",
                code="consent_state_expired",
            )
        return tenant_id, nonce

    def _mac(self, body: str) -> str:
        return keyed_digest(self._key, b"consent-state", body.encode())


def _invalid(detail: str) -> Malformed:
    return Malformed(detail, code="consent_state_invalid")
