"""Instants and intervals: UTC milliseconds since 1970, `[start, until)` (design, words and semantics 9)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import msgspec

Instant = int
"""Milliseconds since 1970-01-01T00:00:00Z."""

BEGINNING: Instant = -(2**62)
"""Earlier than every instant: the start of an interval without a start."""

FOREVER: Instant = 2**62
"""Later than every instant: the end of an interval without an end."""

FIRST_INSTANT: Instant = -62_135_596_800_000
"""The first instant that `format_instant` can write, in the year 1."""

LAST_INSTANT: Instant = 253_402_300_799_999
"""The last instant that `format_instant` can write, in the year 9999."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL_EPOCH = _EPOCH.replace(tzinfo=None)
_MILLISECOND = timedelta(milliseconds=1)
_TEXT = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt](\d{2}:\d{2}:\d{2})(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2}))?",
    re.ASCII,
)


class Interval(msgspec.Struct, frozen=True, array_like=True):
    """The instants from `start`, inclusive, to `until`, exclusive."""

    start: Instant = BEGINNING
    until: Instant = FOREVER

    def contains(self, now: Instant) -> bool:
        """Return whether `now` is in the interval."""
        return self.start <= now < self.until


def parse_instant(text: str) -> Instant:
    """Parse an RFC 3339 instant, floored to the millisecond, or a date, which means midnight in UTC.

    A time of day needs an offset: a local time would be a guess.

    Raises:
        ValueError: if the text is neither, or the day does not exist.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        msg = "must be an instant such as 2026-11-01T00:00:00Z, with its offset"
        raise ValueError(msg)
    day, clock, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{(offset or 'Z').upper()}")
        since = moment - _EPOCH
    except (ValueError, OverflowError) as error:
        msg = f"is not a valid instant: {error}"
        raise ValueError(msg) from None
    millis = int(((fraction or ".0")[1:] + "00")[:3])
    instant = since // _MILLISECOND + millis
    if not FIRST_INSTANT <= instant <= LAST_INSTANT:
        msg = "is outside the years 1 to 9999 in UTC"
        raise ValueError(msg)
    return instant


def format_instant(instant: Instant) -> str:
    """Write an instant as RFC 3339 in UTC with milliseconds: `2027-01-01T00:00:00.000Z`.

    Raises:
        OverflowError: if the instant is outside the years 1 to 9999.
    """
    return f"{(_LOCAL_EPOCH + timedelta(milliseconds=instant)).isoformat(timespec='milliseconds')}Z"
