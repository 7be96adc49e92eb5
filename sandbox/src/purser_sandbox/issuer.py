"""Signing keys and tokens of the OIDC issuer."""

import json
import time
import uuid
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeyParameters

from purser_sandbox.settings import Settings
from purser_sandbox.store import write_durably

KEYS = "oidc-keys.json"
KEPT_KEYS = 2


class Issuer:
    """Signs with the newest key; the one before it stays published."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._path = settings.data_dir / KEYS
        if self._path.exists():
            self._keys = [ECKey.import_key(key) for key in json.loads(self._path.read_text())]
        else:
            self._keys = []
            self.rotate()

    def rotate(self) -> str:
        """Makes a new signing key and returns its id."""
        kid = uuid.uuid4().hex[:16]
        parameters: KeyParameters = {"kid": kid, "use": "sig", "alg": "ES256"}
        self._keys.insert(0, ECKey.generate_key("P-256", parameters, private=True))
        del self._keys[KEPT_KEYS:]
        content = json.dumps([key.as_dict(private=True) for key in self._keys]).encode()
        write_durably(self._path, content, mode=0o600)
        return kid

    def jwks(self) -> dict[str, Any]:
        public = [key.as_dict(private=False) for key in self._keys]
        return {"keys": [{"use": "sig", "alg": "ES256", **key} for key in public]}

    def access_token(
        self,
        subject: str,
        claims: dict[str, Any],
        *,
        expires_in: int | None = None,
        audience: str | None = None,
        issuer: str | None = None,
    ) -> str:
        """An RFC 9068 access token. Lifetimes are real time, in seconds."""
        now = int(time.time())
        life = self.settings.oidc_token_seconds if expires_in is None else expires_in
        body = {
            "iss": issuer or self.settings.issuer,
            "aud": audience or self.settings.oidc_audience,
            "sub": subject,
            "iat": min(now, now + life),
            "exp": now + life,
            "jti": str(uuid.uuid4()),
            **claims,
        }
        return self._sign(body, "at+jwt")

    def id_token(self, subject: str, client_id: str, claims: dict[str, Any]) -> str:
        now = int(time.time())
        body = {
            "iss": self.settings.issuer,
            "aud": client_id,
            "sub": subject,
            "iat": now,
            "exp": now + self.settings.oidc_token_seconds,
            **claims,
        }
        return self._sign(body, "JWT")

    def _sign(self, body: dict[str, Any], kind: str) -> str:
        key = self._keys[0]
        header = {"alg": "ES256", "kid": key.kid, "typ": kind}
        return jwt.encode(header, body, key, algorithms=["ES256"])
