"""The token for a sidecar: a fixed one, or from a file that is read again when it changes.

What is no token, or cannot be read at the start, is a `SettingsError`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

_logger = logging.getLogger(__name__)

_Stamp = tuple[int, int, int, int]


def is_token(text: str) -> bool:
    """Return whether a text can be sent in the header `Authorization`: printable ASCII characters on one line."""
    return bool(text) and text.isascii() and text.isprintable()


class FixedToken:
    """A token that never changes."""

    def __init__(self, token: str) -> None:
        if not is_token(token):
            raise SettingsError("token", "must be printable ASCII characters, on one line")
        self._token = token

    def current(self) -> str:
        """Return the token."""
        return self._token


class FileToken:
    """The first line of a file. If the file cannot be read, the previous token stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._stamp: _Stamp | None = self._look()
            self._token = self._read()
        except (OSError, ValueError) as error:
            raise SettingsError("token_file", f"`{path}`: {_detail(error)}") from None

    def current(self) -> str:
        """Return the current token."""
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self._token = self._read()
                self._stamp = stamp
        except (OSError, ValueError) as error:
            if self._stamp is not None:
                self._stamp = None  # logged once; read again at the next request
                _logger.warning(
                    "cannot read the token file `%s`; keeping the previous token: %s", self._path, _detail(error)
                )
        return self._token

    def _look(self) -> _Stamp:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev

    def _read(self) -> str:
        lines = self._path.read_text(encoding="utf-8", errors="replace").split("\n", 1)
        token = lines[0].strip()
        if not is_token(token):
            raise ValueError("its first line must be a token of printable ASCII characters")
        return token


def _detail(error: Exception) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
