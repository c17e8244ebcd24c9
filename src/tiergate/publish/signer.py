"""The signing keys of a store. The first one signs; the others are known, so that keys can rotate.

To rotate a key: add the new one behind the old one, configure its public half in the sidecars, then put it first.

Keys that are missing or cannot be read are a `SettingsError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.bundle import SigningKey, sign_statement
from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tiergate.bundle import Head, Publication, SubjectStatement, VerifyKey


class Signer:
    """Signs statements."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        """Sign with the first of these keys."""
        if not keys:
            raise ValueError("a store needs a signing key")
        self._keys = tuple(keys)

    @classmethod
    def read(cls, files: Iterable[Path]) -> Signer:
        """Read the keys from files in PEM, each with one private key."""
        keys = []
        for file in files:
            try:
                keys.append(SigningKey.from_pem(file.read_bytes()))
            except OSError as error:
                raise SettingsError("signing-key-file", f"`{file}` cannot be read: {error.strerror}") from None
            except ValueError as error:
                raise SettingsError("signing-key-file", f"`{file}` {error}") from None
        if not keys:
            raise SettingsError("signing-key-file", "is required: a store signs its publications")
        return cls(keys)

    @property
    def verify_keys(self) -> tuple[VerifyKey, ...]:
        """Return the public halves of all keys, that of the signing one first."""
        return tuple(key.verify_key for key in self._keys)

    def sign(self, statement: Publication | Head | SubjectStatement) -> bytes:
        """Return the envelope of a statement, as JSON without a newline."""
        return sign_statement(statement, self._keys[:1])
