"""How often a store that keeps changing is asked: a few times at once, then at a steady rate.

Under a steady stream of changes, to ask for each of them alone would cost the store and every sidecar many times what
the changes cost together. So the first questions after a quiet while go out at once, and the others wait their turn.
"""

from __future__ import annotations

from typing import Final

_AT_ONCE: Final = 24.0
_A_SECOND: Final = 5.0


class PollPacer:
    """A bucket of `at_once` questions, filled again by `a_second`. Time comes in, in seconds, from any origin."""

    def __init__(self, at_once: float = _AT_ONCE, a_second: float = _A_SECOND) -> None:
        self._most = self._left = at_once
        self._rate = a_second
        self._at: float | None = None

    def delay(self, now: float) -> float:
        """Take a question out of the bucket, and say for how many seconds it has to wait."""
        if self._at is not None:
            self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        self._left -= 1.0
        return max(0.0, -self._left / self._rate)
