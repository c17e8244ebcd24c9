"""Waking many waiting requests a few at a time: thousands at once would block the event loop for seconds."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_AT_ONCE: Final = 32
_SHARE: Final = 0.5
_LEAST: Final = 0.002
_MOST: Final = 0.05


class WakeQueue:
    """Wakes waiting futures in order. Belongs to one event loop."""

    def __init__(self, at_once: int = _AT_ONCE, share: float = _SHARE) -> None:
        """Wake `at_once` at a time, then leave the event loop to others for `share` of the time that these took."""
        self._at_once, self._share = at_once, share
        self._due: deque[asyncio.Future[None]] = deque()
        self._waking: asyncio.Task[None] | None = None

    def wake(self, waiting: Iterable[asyncio.Future[None]]) -> None:
        """Wake these after those that are due already. Cancelled futures are skipped."""
        self._due.extend(waiting)
        if self._due and self._waking is None:
            self._waking = asyncio.create_task(self._wake())

    def wake_all(self) -> None:
        """Wake all futures that are due now."""
        while self._due:
            self._wake_next()

    async def _wake(self) -> None:
        try:
            while self._due:
                for _ in range(min(self._at_once, len(self._due))):
                    self._wake_next()
                began = time.monotonic()
                await asyncio.sleep(0)  # the woken tasks run first
                seconds = time.monotonic() - began
                await asyncio.sleep(min(_MOST, max(_LEAST, seconds * self._share)))
        finally:
            self._waking = None

    def _wake_next(self) -> None:
        future = self._due.popleft()
        if not future.done():
            future.set_result(None)
