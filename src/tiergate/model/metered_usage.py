"""Metered usage: what a decision about a metered feature needs to know of what was used (design, section 10)."""

from __future__ import annotations

from typing import NamedTuple

from tiergate.model.instants import BEGINNING, FOREVER, Instant


class MeteredUsage(NamedTuple):
    """What was used of a metered feature in the current window, in units of 10^-scale, and the window itself.

    `used`: by the subject. `user_used`: by its user. `total_used`: by everybody. `granted`: what grants and rollover
    add to the subject's allowance in this window; what is already spent of them included.

    `window_start`, `window_end`: the window `[start, end)`; `FOREVER` as the end: it never ends by itself, or no window
    is open. `start`, `until`: the numbers hold within `[start, until)` as long as nobody uses anything; narrower than
    the window if a grant begins or ends within it. `drawn`: the usage of the feature that this one draws on, by the
    same subject and in units of that feature; `None` if it draws on none.
    """

    used: int = 0
    user_used: int = 0
    total_used: int = 0
    granted: int = 0
    window_start: Instant = BEGINNING
    window_end: Instant = FOREVER
    start: Instant = BEGINNING
    until: Instant = FOREVER
    drawn: MeteredUsage | None = None

    @property
    def valid_from(self) -> Instant:
        """The instant from which these numbers hold, those of the drawn feature too."""
        own = max(self.start, self.window_start)
        return own if self.drawn is None else max(own, self.drawn.valid_from)

    @property
    def valid_until(self) -> Instant:
        """The instant until which these numbers hold, unless somebody uses something."""
        own = min(self.until, self.window_end)
        return own if self.drawn is None else min(own, self.drawn.valid_until)

    @property
    def numbers(self) -> tuple[int, ...]:
        """All numbers of units, those of the drawn feature too."""
        own = (self.used, self.user_used, self.total_used, self.granted)
        return own if self.drawn is None else own + self.drawn.numbers


NO_METERED_USAGE = MeteredUsage()
"""The usage of a feature that nobody meters: callers say what was used."""
