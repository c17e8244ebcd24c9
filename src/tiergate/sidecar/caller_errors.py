"""Logs callers' errors (feature, field or credential) with a bound of a few a minute.

Metrics count rejected requests by type. This log adds the details, such as a misspelled feature: each text once a
minute, and at most ten texts, so that no caller can fill a disk.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_EVERY: Final = 60.0
_MOST: Final = 10
_SHOWN: Final = 300
_SERVER_ERROR: Final = 500

_logger = logging.getLogger(__name__)


class CallerErrorLog:
    """Logs rejected requests as warnings. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: set[str] = set()
        self._until = 0.0
        self._left_out = 0

    def note(self, endpoint: str, status: int, slug: str, detail: str) -> None:
        """Log a rejected request, unless the limit of this minute is reached or the server is at fault."""
        if status >= _SERVER_ERROR:
            return
        now = self._clock()
        if now >= self._until:
            if self._left_out:
                _logger.warning("requests rejected in the last minute and not logged: %d", self._left_out)
            self._said.clear()
            self._left_out = 0
            self._until = now + _EVERY
        text = f"{endpoint}: {status} {slug}: {_printable(detail[:_SHOWN])}"
        if text in self._said:
            return
        if len(self._said) >= _MOST:
            self._left_out += 1
            return
        self._said.add(text)
        _logger.warning("request rejected: %s", text)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
