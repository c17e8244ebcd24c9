"""The texts that Cedar's `datetime` and `duration` take, as exact numbers of milliseconds.

Leaves to others: what Cedar does with a text that it rejects; here that is a `ValueError`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

DAY_MS: Final = 86_400_000
"""The milliseconds of a day. Cedar knows no leap seconds."""

_DATETIME: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}:\d{2})(\.\d{3})?(?:Z|([+-]\d{2})(\d{2})))?", re.ASCII
)
_DURATION: Final = re.compile(r"-?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII)
_UNITS: Final = (DAY_MS, 3_600_000, 60_000, 1_000, 1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def parse_datetime(text: str) -> int:
    """Parse `2026-11-01`, or `2026-11-01T08:00:00.000+0100` with or without fraction, as milliseconds since 1970.

    Raises:
        ValueError: if the text is neither, or the day does not exist or is not in the years 1 to 9999.
    """
    match = _DATETIME.fullmatch(text)
    if match is None:
        raise ValueError("is not a datetime of Cedar")
    day, clock, fraction, hours, minutes = match.groups()
    offset = "+00:00" if hours is None else f"{hours}:{minutes}"
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{fraction or ''}{offset}")
        return (moment - _EPOCH) // _MILLISECOND
    except OverflowError as error:
        raise ValueError(str(error)) from None


def parse_duration(text: str) -> int:
    """Parse `1d12h` or `-30m` as milliseconds.

    Raises:
        ValueError: if the text is not a duration, or has no part.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValueError("is not a duration of Cedar")
    amount = sum(int(part or 0) * unit for part, unit in zip(match.groups(), _UNITS, strict=True))
    return -amount if text.startswith("-") else amount
