"""A clock for tests of what a store knows of the past."""

from __future__ import annotations

DAY = 24 * 60 * 60 * 1000
START = 1_700_000_000_000


class Time:
    """A clock that stands until somebody moves it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        """The instant."""
        return self.now
