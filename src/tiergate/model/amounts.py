"""Exact numbers: decimals at the edges, integers in units of 10^-scale inside (design, semantics 5)."""

from __future__ import annotations

from decimal import Decimal

__all__ = [
    "MAX_DIGITS",
    "MAX_EDGE_UNITS",
    "MAX_SCALE",
    "MAX_TOTAL_UNITS",
    "Number",
    "format_units",
    "from_units",
    "to_units",
]

Number = int | Decimal
"""A number as it stands at an edge: read from text, never through a binary float."""

MAX_SCALE = 6
"""Most decimal digits that a feature may have."""

MAX_DIGITS = 15
"""Most significant digits of a number at an edge: what every JSON reader carries exactly."""

MAX_EDGE_UNITS = 10**18
"""Largest number at an edge, in units of 10^-scale."""

MAX_TOTAL_UNITS = 2**62
"""Largest total of one subject, in units: `used + amount` and every comparison stay inside Cedar's `Long`."""


def to_units(number: Number, scale: int) -> int:
    """Turn an edge number into whole units of 10^-scale.

    `number` must be finite, not negative, of at most 15 significant digits, of at most `scale` decimal digits
    and at most 10^18 units.

    Raises:
        ValueError: a message in lower case that says which of these does not hold.
    """
    if isinstance(number, bool) or not isinstance(number, int | Decimal):
        msg = "must be a number"
        raise ValueError(msg)
    decimal = Decimal(number) if isinstance(number, int) else number
    if not decimal.is_finite():
        msg = "must be a finite number"
        raise ValueError(msg)
    sign, digits, exponent = decimal.as_tuple()
    if not isinstance(exponent, int):
        msg = "must be a finite number"
        raise ValueError(msg)
    significant = "".join(map(str, digits)).lstrip("0")
    trimmed = significant.rstrip("0")
    if not trimmed:
        return 0
    if sign:
        msg = "must not be negative"
        raise ValueError(msg)
    if len(trimmed) > MAX_DIGITS:
        msg = f"has more than {MAX_DIGITS} significant digits"
        raise ValueError(msg)
    shift = exponent + len(significant) - len(trimmed) + scale
    if shift < 0:
        msg = f"has more than {scale} decimal digits" if scale else "must be a whole number"
        raise ValueError(msg)
    if len(trimmed) + shift > 19:
        msg = f"is larger than {format_units(MAX_EDGE_UNITS, scale)}"
        raise ValueError(msg)
    units: int = int(trimmed) * 10**shift
    if units > MAX_EDGE_UNITS:
        msg = f"is larger than {format_units(MAX_EDGE_UNITS, scale)}"
        raise ValueError(msg)
    return units


def from_units(units: int, scale: int) -> Number:
    """Turn whole units into the exact edge number: an `int` where it is whole, else a `Decimal` without exponent."""
    if not scale:
        return units
    whole_unit: int = 10**scale
    whole, rest = divmod(units, whole_unit)
    if not rest:
        return whole
    return Decimal(format_units(units, scale))


def format_units(units: int, scale: int) -> str:
    """Write whole units as the shortest plain decimal text: 1500 at scale 3 is `1.5`."""
    if not scale:
        return str(units)
    whole, rest = divmod(abs(units), 10**scale)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{rest:0{scale}d}".rstrip("0") if rest else f"{sign}{whole}"
