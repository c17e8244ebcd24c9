"""Thresholds: levels of usage of a metered feature at which somebody is told (design, section 10)."""

from __future__ import annotations

import re

import msgspec

from tiergate.model.amounts import Number, from_units

MAX_THRESHOLDS = 10
"""The most thresholds of a feature, and of one customer for it: each consumption looks at them."""

MAX_PERCENT = 1000
"""The highest percentage; usage above a soft limit is more than 100 %."""

_PERCENT = re.compile(r"([1-9][0-9]{0,3})%")


class Threshold(msgspec.Struct, frozen=True, omit_defaults=True):
    """A level of usage: a `percent` of the limit, 1 to `MAX_PERCENT`, or a number of `units`, at least 1.

    Exactly one of the two is given.
    """

    percent: int | None = None
    units: int | None = None

    @property
    def key(self) -> str:
        """The text that identifies the level in what is stored: `80%`, or the units."""
        return str(self.units) if self.percent is None else f"{self.percent}%"

    def order(self) -> tuple[bool, int]:
        """Return what levels are sorted by: percentages first."""
        return self.percent is None, (self.units if self.percent is None else self.percent) or 0


def parse_percent(text: str) -> int:
    """Parse a percentage such as `80%`.

    Raises:
        ValueError: if the text is none, or out of range.
    """
    match = _PERCENT.fullmatch(text)
    percent = 0 if match is None else int(match[1])
    if not 1 <= percent <= MAX_PERCENT:
        msg = f"must be a whole percentage from `1%` to `{MAX_PERCENT}%`, or an amount"
        raise ValueError(msg)
    return percent


def threshold_data(threshold: Threshold, scale: int) -> str | Number:
    """Return a threshold as people write it: `80%`, or a number."""
    if threshold.percent is not None:
        return threshold.key
    return from_units(threshold.units or 0, scale)


def sorted_thresholds(thresholds: list[Threshold]) -> tuple[Threshold, ...]:
    """Return thresholds in their order: the lowest percentage first, then the smallest amount."""
    return tuple(sorted(thresholds, key=Threshold.order))
