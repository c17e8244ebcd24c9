"""The smallest parts of sentences: instants, numbers with their units, lists, and texts of other authors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Instant

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_MOST = 300


def moment(instant: Instant) -> str:
    """Return an instant of the years 1 to 9999: `1 January 2027 at 00:00 UTC`, as exact as necessary."""
    at = _EPOCH + timedelta(milliseconds=instant)
    clock = f"{at:%H:%M}"
    if at.second or instant % 1000:
        clock += f":{at:%S}"
    if instant % 1000:
        clock += f".{instant % 1000:03d}"
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year} at {clock} UTC"


def with_unit(value: object, unit: str = "") -> str:
    """Return a number as digits, with its unit: `70 movies/month`; empty if it is not a number."""
    if not isinstance(value, int | Decimal):
        return ""
    digits = str(value) if isinstance(value, int) else f"{value:f}"
    return f"{digits} {unit}".rstrip()


def times(count: int) -> str:
    """Return how often: `2 times`."""
    return "once" if count == 1 else f"{count} times"


def joined(parts: Sequence[str]) -> str:
    """Join texts: `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def plain(text: str) -> str:
    """Return somebody's text as part of one line: without line ends and control characters, shortened if it is long."""
    shown = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return shown if len(shown) <= _MOST else f"{shown[:_MOST]}…"
