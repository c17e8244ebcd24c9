"""The keys with which a store signs what it says. The first one signs; all of them are known, so that they can rotate.

Exchanging a key: the new one is added behind the old one, sidecars are told its public half, then it is put first.
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
        """Take the keys, at least one.

        Raises:
            ValueError: there is none.
        """
        if not keys:
            raise ValueError("a store needs a key to sign with")
        self._keys = tuple(keys)

    @classmethod
    def read(cls, files: Iterable[Path]) -> Signer:
        """Read the keys from files in PEM, each with one private key.

        Raises:
            SettingsError: a file cannot be read or holds no such key, or there is no file.
        """
        keys = []
        for file in files:
            try:
                keys.append(SigningKey.from_pem(file.read_bytes()))
            except OSError as error:
                raise SettingsError("signing-key-file", f"`{file}` cannot be read: {error.strerror}") from None
            except ValueError as error:
                raise SettingsError("signing-key-file", f"`{file}` {error}") from None
        if not keys:
            raise SettingsError("signing-key-file", "is required: a store signs what it publishes")
        return cls(keys)

    @property
    def verify_keys(self) -> tuple[VerifyKey, ...]:
        """The public halves of all keys, that of the signing one first."""
        return tuple(key.verify_key for key in self._keys)

    def sign(self, statement: Publication | Head | SubjectStatement) -> bytes:
        """The envelope of a statement, as JSON without a newline."""
        return sign_statement(statement, self._keys[:1])
