from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.model import MAX_EDGE_UNITS, format_units, from_units, to_units


@pytest.mark.parametrize(
    ("number", "scale", "units"),
    [
        (0, 0, 0),
        (0, 6, 0),
        (7, 0, 7),
        (7, 3, 7_000),
        (Decimal("0.5"), 1, 5),
        (Decimal("0.5"), 3, 500),
        (Decimal("1.50"), 1, 15),
        (Decimal("100e-2"), 0, 1),
        (Decimal("1E+3"), 0, 1_000),
        (Decimal("1E-6"), 6, 1),
        (Decimal("-0"), 0, 0),
        (Decimal("-0.000"), 2, 0),
        (Decimal("0E+999999"), 0, 0),
        (Decimal("0E-999999"), 0, 0),
        (Decimal("0010.10"), 1, 101),
        (10**18, 0, 10**18),
        (10**12, 6, 10**18),
        (Decimal("1E+18"), 0, 10**18),
        (999_999_999_999_999, 0, 999_999_999_999_999),
        (1_125_899_906_842_624, 0, 2**50),
        (10**15 + 1, 0, 10**15 + 1),
        (10**18 - 1, 0, 10**18 - 1),
        (Decimal("123456789012.123456"), 6, 123_456_789_012_123_456),
        (Decimal("1e0"), 0, 1),
        (Decimal("5." + "0" * 90), 0, 5),
        (Decimal("999999999.999999"), 6, 999_999_999_999_999),
    ],
)
def test_a_number_becomes_whole_units(number: int | Decimal, scale: int, units: int) -> None:
    """Trailing zeros, exponents and a negative zero say nothing of their own."""
    assert to_units(number, scale) == units


@pytest.mark.parametrize(
    ("number", "scale", "message"),
    [
        (True, 0, "must be a number"),
        (False, 0, "must be a number"),
        (1.5, 1, "must be a number"),
        ("1", 0, "must be a number"),
        (None, 0, "must be a number"),
        (Decimal("NaN"), 0, "must be a finite number"),
        (Decimal("sNaN"), 0, "must be a finite number"),
        (Decimal("Infinity"), 0, "must be a finite number"),
        (Decimal("-Infinity"), 0, "must be a finite number"),
        (-1, 0, "must not be negative"),
        (Decimal("-0.1"), 1, "must not be negative"),
        (Decimal("-1E-999999"), 0, "must not be negative"),
        (Decimal("0.5"), 0, "must be a whole number"),
        (Decimal("0.55"), 1, "has more than 1 decimal digit"),
        (Decimal("1E-7"), 6, "has more than 6 decimal digits"),
        (Decimal("1E-999999"), 6, "has more than 6 decimal digits"),
        (Decimal("0.30000000000000004"), 2, "has more than 2 decimal digits"),
        (Decimal("0.1234567890123456"), 6, "has more than 6 decimal digits"),
        (10**18 + 1, 0, "is larger than 1000000000000000000"),
        (Decimal("1000000000000.000001"), 6, "is larger than 1000000000000"),
        (2 * 10**18, 0, "is larger than 1000000000000000000"),
        (10**13, 6, "is larger than 1000000000000"),
        (Decimal("1E+999999999"), 0, "is larger than 1000000000000000000"),
        (10**4_000, 0, "is larger than 1000000000000000000"),
    ],
)
def test_a_number_that_is_not_exact_enough_or_not_one_is_refused(number: object, scale: int, message: str) -> None:
    """Each refusal says which rule is broken, in lower case."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        to_units(number, scale)  # type: ignore[arg-type]


@given(st.integers(0, 10**18), st.integers(0, 6))
def test_units_survive_the_way_to_the_edge_and_back(units: int, scale: int) -> None:
    """What is written of some units is read as the same units, and as the same number."""
    assert to_units(from_units(units, scale), scale) == units
    assert to_units(Decimal(format_units(units, scale)), scale) == units
    assert Decimal(from_units(units, scale)) == Decimal(units) / 10**scale


@given(st.decimals(allow_nan=True, allow_infinity=True), st.integers(0, 6))
def test_a_number_is_read_exactly_or_refused(number: Decimal, scale: int) -> None:
    """Nothing is rounded."""
    try:
        units = to_units(number, scale)
    except ValueError:
        return
    assert Decimal(units).scaleb(-scale) == number
    assert 0 <= units <= MAX_EDGE_UNITS


@pytest.mark.parametrize(
    ("units", "scale", "number", "text"),
    [
        (1_500, 3, Decimal("1.5"), "1.5"),
        (1_000, 3, 1, "1"),
        (1, 6, Decimal("0.000001"), "0.000001"),
        (0, 6, 0, "0"),
        (12, 0, 12, "12"),
        (-5, 1, Decimal("-0.5"), "-0.5"),
        (-20, 1, -2, "-2"),
    ],
)
def test_units_are_written_as_the_shortest_plain_number(
    units: int, scale: int, number: int | Decimal, text: str
) -> None:
    """No exponent, no zeros at the end; a whole number is an integer."""
    assert from_units(units, scale) == number
    assert type(from_units(units, scale)) is type(number)
    assert format_units(units, scale) == text
