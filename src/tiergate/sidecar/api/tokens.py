"""Tokens that the API accepts, from a file that is read again when it changes.

A file may have several tokens, one a line, so that a token can be replaced without rejecting anybody: add the new one,
change the callers, remove the old one. If a file cannot be read or is invalid, the previous tokens stay.
"""

from __future__ import annotations

import hmac
import logging
import re
from typing import TYPE_CHECKING, Final

from tiergate.errors import SettingsError
from tiergate.process.regular_files import read_regular

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_logger = logging.getLogger(__name__)

_TOKEN: Final = re.compile(rb"[!-~]{16,}")
_MAX_BYTES: Final = 64 * 1024
_RULE: Final = "must have one or more tokens, one a line, each of at least 16 visible ASCII characters"

_Stamp = tuple[int, int, int, int]


class Tokens:
    """A set of accepted tokens."""

    def __init__(self, *tokens: bytes) -> None:
        self._tokens = tokens

    def admit(self, given: bytes) -> bool:
        """Return whether a token is accepted, in a time that does not depend on which."""
        found = False
        for token in self._tokens:
            found = hmac.compare_digest(given, token) or found
        return found

    def replace(self, *tokens: bytes) -> bool:
        """Replace the tokens; return whether they changed."""
        changed = tokens != self._tokens
        self._tokens = tokens
        return changed


class TokenFile:
    """The tokens of a file. The callbacks in `changed` run after a change."""

    def __init__(self, path: Path, setting: str) -> None:
        self._path = path
        self.changed: list[Callable[[], None]] = []
        try:
            self._seen: _Stamp | None = self._stamp()
            self.tokens = Tokens(*self._read())
        except OSError as error:
            raise SettingsError(setting, f"cannot read `{path}`: {error.strerror}") from None
        except ValueError as error:
            raise SettingsError(setting, f"`{path}` {error}") from None
        self._failing = ""

    def refresh(self) -> None:
        """Read the file again if it has changed."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return
            tokens = self._read()
        except (OSError, ValueError) as error:
            why = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            if why != self._failing:
                _logger.warning("the token file `%s` %s; keeping the previous tokens", self._path, why)
            self._failing = why
            return
        self._seen, self._failing = stamp, ""
        if self.tokens.replace(*tokens):
            _logger.info("reloaded tokens from `%s`: %d", self._path, len(tokens))
            for call in self.changed:
                call()

    def _stamp(self) -> _Stamp:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev

    def _read(self) -> tuple[bytes, ...]:
        content = read_regular(self._path, _MAX_BYTES + 1)
        lines = [line.strip() for line in content.split(b"\n")]
        tokens = tuple(line for line in lines if line)
        if not tokens or len(content) > _MAX_BYTES or not all(map(_TOKEN.fullmatch, tokens)):
            raise ValueError(_RULE)
        return tokens
