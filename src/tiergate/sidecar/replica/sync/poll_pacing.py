"""Pacing the polls of a store that keeps changing: a burst, then a steady rate (a token bucket).

Under a steady stream of changes, a request for each change would cost the store and every sidecar many times more than
the changes themselves. So the first polls after a quiet period are sent at once, and the following ones are delayed.
"""

from __future__ import annotations

from typing import Final

_BURST: Final = 24.0
_RATE: Final = 2.5


class PollPacer:
    """A bucket of `burst` polls, refilled by `rate` a second. Callers pass the time, in seconds, of any origin."""

    def __init__(self, burst: float = _BURST, rate: float = _RATE) -> None:
        self._most = self._left = burst
        self._rate = rate
        self._at: float | None = None

    def delay(self, now: float) -> float:
        """Take a poll out of the bucket, and return for how many seconds it must wait."""
        if self._at is not None:
            self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        self._left -= 1.0
        return max(0.0, -self._left / self._rate)
