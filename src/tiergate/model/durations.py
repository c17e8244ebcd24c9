"""Durations in files and bodies: `3 days`, `90 minutes`. They have a fixed length, unlike calendar units."""

from __future__ import annotations

import re
from typing import Final

_LENGTHS: Final = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
DURATION_PATTERN: Final = r"(0|[1-9][0-9]{0,5}) (minute|hour|day)s?"
"""The regular expression of a duration."""

_DURATION: Final = re.compile(DURATION_PATTERN)


def parse_duration(text: str) -> int:
    """Return the milliseconds of a duration such as `3 days`, `1 hour` or `90 minutes`.

    Raises:
        ValueError: if the text is not a duration; the message is in lower case and follows the text.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("must be a number of minutes, hours or days, such as `3 days`")
    return int(match[1]) * _LENGTHS[match[2]]


def format_duration(milliseconds: int) -> str:
    """Write a duration of whole minutes in the largest unit that it is a multiple of.

    Raises:
        ValueError: if it is negative, or not a whole number of minutes.
    """
    for unit in ("day", "hour", "minute"):
        count, rest = divmod(milliseconds, _LENGTHS[unit])
        if not rest and count >= 0:
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    raise ValueError(f"{milliseconds} ms is not a whole number of minutes")
