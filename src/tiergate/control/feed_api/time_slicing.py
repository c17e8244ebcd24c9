"""Going on a few at a time: thousands who wake together would keep the event loop from everybody else for seconds."""

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
    """Wakes those who wait, in their order. Belongs to one event loop."""

    def __init__(self, at_once: int = _AT_ONCE, share: float = _SHARE) -> None:
        """Wake `at_once` at a time, then leave others `share` of the time that these took."""
        self._at_once, self._share = at_once, share
        self._due: deque[asyncio.Future[None]] = deque()
        self._waking: asyncio.Task[None] | None = None

    def wake(self, waiting: Iterable[asyncio.Future[None]]) -> None:
        """Wake these, behind those who are due already. Whoever has gone away meanwhile is passed over."""
        self._due.extend(waiting)
        if self._due and self._waking is None:
            self._waking = asyncio.create_task(self._wake())

    def wake_all(self) -> None:
        """Wake all who are due now."""
        while self._due:
            self._wake_next()

    async def _wake(self) -> None:
        try:
            while self._due:
                for _ in range(min(self._at_once, len(self._due))):
                    self._wake_next()
                begun = time.monotonic()
                await asyncio.sleep(0)  # those who were woken come first
                taken = time.monotonic() - begun
                await asyncio.sleep(min(_MOST, max(_LEAST, taken * self._share)))
        finally:
            self._waking = None

    def _wake_next(self) -> None:
        one = self._due.popleft()
        if not one.done():
            one.set_result(None)
