"""The token that a sidecar wants: as it was given, or from a file, which is read again when it changes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

_logger = logging.getLogger(__name__)

_Stamp = tuple[int, int, int, int]


def is_token(text: str) -> bool:
    """Say whether a text can stand in the header `Authorization`: printable ASCII characters on one line."""
    return bool(text) and text.isascii() and text.isprintable()


class FixedToken:
    """A token that does not change."""

    def __init__(self, token: str) -> None:
        """Take the token.

        Raises:
            SettingsError: it is none.
        """
        if not is_token(token):
            raise SettingsError("token", "must be printable ASCII characters, on one line")
        self._token = token

    def current(self) -> str:
        """The token."""
        return self._token


class FileToken:
    """The first line of a file. A file that cannot be read for a moment leaves the token as it was."""

    def __init__(self, path: Path) -> None:
        """Read the token.

        Raises:
            SettingsError: the file cannot be read, or its first line is no token.
        """
        self._path = path
        try:
            self._stamp: _Stamp | None = self._look()
            self._token = self._read()
        except (OSError, ValueError) as error:
            raise SettingsError("token_file", f"`{path}`: {_detail(error)}") from None

    def current(self) -> str:
        """The token as the file has it now."""
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self._token = self._read()
                self._stamp = stamp
        except (OSError, ValueError) as error:
            if self._stamp is not None:
                self._stamp = None  # said once; read again at the next request
                _logger.warning("cannot read the token file `%s`, keeping the token: %s", self._path, _detail(error))
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
