"""Exact numbers: decimals outside, integers in units of 10^-scale inside (design, semantics 5)."""

from __future__ import annotations

from decimal import Decimal

Number = int | Decimal
"""A number outside: read from text, never through a binary float."""

MAX_SCALE = 6
"""Largest number of decimal digits of a feature."""

MAX_EDGE_UNITS = 10**18
"""Largest number outside, in units of 10^-scale."""

_MOST_UNIT_DIGITS = 19

MAX_TOTAL_UNITS = 2**62
"""Largest total of one subject, in units. `used + amount` and every comparison fit into Cedar's `Long`."""


class ScaleError(ValueError):
    """A number has more decimal digits than its feature's scale; the message follows the number."""


def to_units(number: Number, scale: int) -> int:
    """Convert a number into whole units of 10^-scale.

    `number` must be finite, not negative, with at most `scale` decimal digits (trailing zeros do not count) and at most
    10^18 units. A large exponent takes no extra time.

    Raises:
        ScaleError: if it has more decimal digits.
        ValueError: if another condition fails; the message is in lower case and follows the number.
    """
    if isinstance(number, bool) or not isinstance(number, int | Decimal):
        msg = "must be a number"
        raise ValueError(msg)
    units = _whole_units(number, scale) if isinstance(number, int) else _decimal_units(number, scale)
    if units is None or units > MAX_EDGE_UNITS:
        msg = f"is larger than {format_units(MAX_EDGE_UNITS, scale)}"
        raise ValueError(msg)
    return units


def _whole_units(number: int, scale: int) -> int | None:
    """Return the units of a whole number; `None` if it is far too large."""
    if number < 0:
        msg = "must not be negative"
        raise ValueError(msg)
    if number > MAX_EDGE_UNITS:
        return None
    units: int = number * 10**scale
    return units


def _decimal_units(number: Decimal, scale: int) -> int | None:
    """Return the units of a decimal; `None` if it is far too large. Computes powers of small numbers only."""
    sign, digits, exponent = number.as_tuple()
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
    shift = exponent + len(significant) - len(trimmed) + scale
    if shift < 0:
        raise ScaleError(_too_fine(scale))
    if len(trimmed) + shift > _MOST_UNIT_DIGITS:
        return None
    units: int = int(trimmed) * 10**shift
    return units


def _too_fine(scale: int) -> str:
    if not scale:
        return "must be a whole number"
    return f"has more than {scale} decimal {'digit' if scale == 1 else 'digits'}"


def from_units(units: int, scale: int) -> Number:
    """Convert whole units into the exact number: an `int` if it is whole, else a `Decimal` without exponent."""
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
