"""The keys of a local stack: created once, kept beside the data that they seal, readable by their owner."""

import base64
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

SEALING = ("reseller", "tenant-connection")
DIGESTING = ("gateway", "tenant-connection")
OPERATOR = "operator"
"""Signs what `purser` asks of the services in an operator's name."""


def create(keys: Path, signing: tuple[str, ...]) -> None:
    """Create whichever keys are missing: nothing that exists is replaced."""
    for directory in (keys, keys / "public", keys / "kek"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for issuer in (*signing, OPERATOR):
        _signing_key(keys, issuer)
    for service in SEALING:
        directory = keys / "kek" / service
        directory.mkdir(mode=0o700, exist_ok=True)
        if not any(directory.glob("*.key")):
            # an id of its own, so that data of another stack names the key it misses
            _write(directory / f"local-{secrets.token_hex(4)}.key", secrets.token_bytes(32))
    for name in (*(f"{service}/hmac.key" for service in DIGESTING), "microsoft-client-secret"):
        if not (keys / name).exists():
            _write(keys / name, base64.urlsafe_b64encode(secrets.token_bytes(32)))


def _signing_key(keys: Path, service: str) -> None:
    directory = keys / service
    directory.mkdir(mode=0o700, exist_ok=True)
    private = directory / "private.pem"
    if private.exists():
        return
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write(keys / "public" / f"{service}-1.pem", public)
    _write(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _write(path: Path, content: bytes) -> None:
    unfinished = path.with_suffix(".unfinished")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "wb") as file:
        file.write(content)
    unfinished.replace(path)
