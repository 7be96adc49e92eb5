"""Sealing secrets: AES-256-GCM envelope encryption with versioned key-encryption keys."""

import hashlib
import hmac
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


class SealBroken(Exception):
    """A sealed secret could not be opened: another place, another key, or changed bytes."""


class KeyMissing(Exception):
    """The key-encryption key that a secret was sealed with is not there; the message names its id."""


class KeyEncryption(Protocol):
    """Wraps data keys. A mounted directory (`KeyDirectory`) or a key management service."""

    @property
    def active(self) -> str:
        """Id of the key that wraps new data keys."""

    def wrap(self, key: bytes, aad: bytes) -> tuple[str, bytes]:
        """Wrap a data key with the active key: (key id, wrapped)."""

    def unwrap(self, kid: str, wrapped: bytes, aad: bytes) -> bytes:
        """Unwrap a data key. Raises KeyMissing or SealBroken."""


class KeyDirectory:
    """Key-encryption keys as files `<kid>.key` of 32 bytes; the greatest id is active unless named."""

    def __init__(self, directory: Path, active: str | None = None) -> None:
        self._keys = {path.stem: path.read_bytes() for path in sorted(directory.glob("*.key"))}
        bad = [kid for kid, key in self._keys.items() if len(key) != 32]
        if bad:
            raise ValueError(f"key {bad[0]} in {directory} is not 32 bytes long")
        if not self._keys:
            raise KeyMissing(f"no key-encryption key (*.key) in {directory}")
        self.active = active or max(self._keys)
        self._key(self.active)

    def __repr__(self) -> str:
        return f"KeyDirectory(active={self.active!r})"

    def _key(self, kid: str) -> AESGCM:
        if kid not in self._keys:
            raise KeyMissing(f"key-encryption key {kid} is missing")
        return AESGCM(self._keys[kid])

    def wrap(self, key: bytes, aad: bytes) -> tuple[str, bytes]:
        """Wrap a data key with the active key: (key id, wrapped)."""
        nonce = os.urandom(_NONCE)
        return self.active, nonce + self._key(self.active).encrypt(nonce, key, aad)

    def unwrap(self, kid: str, wrapped: bytes, aad: bytes) -> bytes:
        """Unwrap a data key. Raises KeyMissing or SealBroken."""
        return _decrypt(self._key(kid), wrapped, aad)


@dataclass(frozen=True, repr=False)
class Sealed:
    """A sealed secret as it is stored."""

    kid: str
    wrapped_key: bytes
    ciphertext: bytes

    def to_document(self) -> dict[str, Any]:
        """The form in which it is stored."""
        return {"kid": self.kid, "wrapped_key": self.wrapped_key, "ciphertext": self.ciphertext}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Sealed":
        """The inverse of `to_document`."""
        return cls(document["kid"], document["wrapped_key"], document["ciphertext"])


class Sealer:
    """Seals and opens secrets, each bound to its purpose and the id of what it belongs to."""

    def __init__(self, keys: KeyEncryption) -> None:
        self._keys = keys

    def seal(self, secret: str, *, purpose: str, id: str) -> Sealed:
        """Seal a secret under a data key of its own."""
        aad = _aad(purpose, id)
        key = os.urandom(32)
        kid, wrapped = self._keys.wrap(key, aad)
        nonce = os.urandom(_NONCE)
        return Sealed(kid, wrapped, nonce + AESGCM(key).encrypt(nonce, secret.encode(), aad))

    def open(self, sealed: Sealed, *, purpose: str, id: str) -> str:
        """Open a secret. Raises SealBroken for another purpose or id, KeyMissing without its key."""
        aad = _aad(purpose, id)
        key = self._keys.unwrap(sealed.kid, sealed.wrapped_key, aad)
        return _decrypt(AESGCM(key), sealed.ciphertext, aad).decode()

    def rewrap(self, sealed: Sealed, *, purpose: str, id: str) -> Sealed:
        """Wrap the data key with the active key; the ciphertext stays as it is."""
        aad = _aad(purpose, id)
        kid, wrapped = self._keys.wrap(self._keys.unwrap(sealed.kid, sealed.wrapped_key, aad), aad)
        return Sealed(kid, wrapped, sealed.ciphertext)


def _aad(purpose: str, id: str) -> bytes:
    return f"{len(purpose)}:{purpose}:{id}".encode()


def _decrypt(key: AESGCM, blob: bytes, aad: bytes) -> bytes:
    try:
        return key.decrypt(blob[:_NONCE], blob[_NONCE:], aad)
    except (InvalidTag, ValueError) as error:
        raise SealBroken("the secret cannot be opened here") from error


def keyed_digest(key: bytes, *parts: bytes) -> str:
    """HMAC-SHA256 over the parts, each with its length, in hexadecimal."""
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.hexdigest()
