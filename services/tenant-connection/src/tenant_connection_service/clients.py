"""Calls to the reseller service and to Microsoft, and the signature of the consent's state."""

import base64
import hmac
import json
from datetime import datetime
from urllib.parse import quote, urlencode

import httpx

from purser_common.crypto import keyed_digest
from purser_common.errors import Malformed, NotFound, Unavailable
from purser_common.telemetry import Cause
from purser_common.web import Peer

CONSENT_REFUSED = frozenset({65001, 700016, 7000229})
"""Microsoft's codes for an application that the tenant has not consented to, or no longer does."""


class Resellers:
    """The reseller service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def exists(self, reseller_id: str, cause: Cause) -> bool:
        """Whether tenants may be connected to this reseller."""
        try:
            path = f"/internal/resellers/{quote(reseller_id, safe='')}"
            found = await self._peer.json("GET", path, cause=cause)
        except NotFound:
            return False
        return bool(found["status"] == "active")

    async def customer_name(
        self, reseller_id: str, marketplace_customer_id: str, cause: Cause
    ) -> str | None:
        """The name of a reseller's customer at the marketplace; None when it has no such customer."""
        customer = quote(marketplace_customer_id, safe="")
        path = f"/internal/resellers/{reseller_id}/marketplace-customers/{customer}"
        try:
            found = await self._peer.json("GET", path, cause=cause)
        except NotFound:
            return None
        return str(found["name"])


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
            "scope": "https://graph.microsoft.com/.default",
            "state": state,
        }
        return f"{self._login}/{entra_tenant_id}/v2.0/adminconsent?{urlencode(query)}"

    async def consented(self, entra_tenant_id: str) -> bool:
        """Whether an app-only token of the tenant reads it now. Raises Unavailable."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "scope": "https://graph.microsoft.com/.default",
        }
        try:
            answer = await self._http.post(
                f"{self._login}/{entra_tenant_id}/oauth2/v2.0/token", data=form, timeout=10
            )
            body = answer.json()
            if not answer.is_success:
                if CONSENT_REFUSED & set(body.get("error_codes", ())):
                    return False
                raise _away()
            headers = {"Authorization": f"Bearer {body['access_token']}"}
            read = await self._http.get(f"{self._graph}/organization", headers=headers, timeout=10)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise _away() from error
        if read.status_code >= 500 or read.status_code == 429:
            raise _away()
        return read.is_success


def _away() -> Unavailable:
    return Unavailable("Microsoft cannot be asked now", code="microsoft_unavailable")


class States:
    """The `state` of a consent: signed, expiring; its nonce makes it single-use (R41)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, tenant_id: str, nonce: str, expires_at: datetime) -> str:
        """What travels through the redirect."""
        raw = json.dumps([tenant_id, nonce, expires_at.isoformat()]).encode()
        body = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        return f"{body}.{self._mac(body)}"

    def read(self, state: str, now: datetime) -> tuple[str, str]:
        """(tenant, nonce). Raises Malformed for a forged or expired state."""
        body, _, mac = state.partition(".")
        if not hmac.compare_digest(mac.encode(), self._mac(body).encode()):
            raise Malformed("the state is not one of ours", code="consent_state_invalid")
        tenant_id, nonce, expires_at = json.loads(
            base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        )
        if datetime.fromisoformat(expires_at) <= now:
            raise Malformed("the consent took too long; begin again", code="consent_state_expired")
        return tenant_id, nonce

    def _mac(self, body: str) -> str:
        return keyed_digest(self._key, b"consent-state", body.encode())
