"""Ed25519 keys: the one that a store signs with, and those that a sidecar trusts.

The id of a key is the first 16 hex digits of the SHA-256 of its raw public bytes. Callers decide where keys are stored,
and which ones are trusted.

Bytes and PEM that are not a key of Ed25519 are a `ValueError`.
"""

from __future__ import annotations

import hashlib
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_KEY_ID_DIGITS = 16


class VerifyKey:
    """A public key. Equal to other keys with the same bytes."""

    __slots__ = ("_key", "key_id", "raw")

    def __init__(self, raw: bytes) -> None:
        """Use the 32 raw bytes."""
        self._key = Ed25519PublicKey.from_public_bytes(raw)
        self.raw = raw
        self.key_id: str = hashlib.sha256(raw).hexdigest()[:_KEY_ID_DIGITS]

    @classmethod
    def from_pem(cls, pem: bytes | str) -> Self:
        """Read a `PUBLIC KEY` block (SubjectPublicKeyInfo)."""
        try:
            key = load_pem_public_key(_bytes(pem))
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("is no public key in PEM") from None
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("is a public key, but not of Ed25519")
        return cls(key.public_bytes_raw())

    def to_pem(self) -> str:
        """Return the key as a `PUBLIC KEY` block."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether the private half of this key made this signature of this message."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifyKey) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"VerifyKey({self.key_id})"


class SigningKey:
    """A private key. Its bytes are never in its `repr`."""

    __slots__ = ("_key", "verify_key")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.verify_key = VerifyKey(key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> Self:
        """Generate a key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes | str) -> Self:
        """Read a `PRIVATE KEY` block (PKCS #8) without a password. An error contains nothing of the key."""
        try:
            key = load_pem_private_key(_bytes(pem), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("is no private key in PEM without a password") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("is a private key, but not of Ed25519")
        return cls(key)

    @property
    def key_id(self) -> str:
        """The id, which is that of the public key."""
        return self.verify_key.key_id

    def to_pem(self) -> str:
        """Return the key as a `PRIVATE KEY` block without a password: a secret."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def sign(self, message: bytes) -> bytes:
        """Sign a message."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"


def _bytes(pem: bytes | str) -> bytes:
    return pem.encode() if isinstance(pem, str) else pem
