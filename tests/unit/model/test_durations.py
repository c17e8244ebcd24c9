from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.model import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0 minutes", 0),
        ("1 minute", 60_000),
        ("90 minutes", 5_400_000),
        ("1 hour", 3_600_000),
        ("36 hours", 129_600_000),
        ("3 days", 259_200_000),
        ("1 days", 86_400_000),
    ],
)
def test_a_duration_is_a_number_of_units(text: str, milliseconds: int) -> None:
    """Of minutes, hours or days, in the singular or plural."""
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "3", "days", "-1 days", "1.5 days", "3days", "3  days", "01 days", "3 weeks", "3 Days"]
)
def test_anything_else_is_refused(text: str) -> None:
    """Also the length of something that has none."""
    with pytest.raises(ValueError, match="such as `3 days`"):
        parse_duration(text)


@given(st.integers(0, 999_999))
def test_every_number_of_minutes_reads_back(minutes: int) -> None:
    """In the largest unit that it is a multiple of."""
    assert parse_duration(format_duration(minutes * 60_000)) == minutes * 60_000


@pytest.mark.parametrize("milliseconds", [-60_000, 1, 59_999])
def test_only_whole_minutes_are_written(milliseconds: int) -> None:
    """Nothing is rounded."""
    with pytest.raises(ValueError, match="whole number of minutes"):
        format_duration(milliseconds)
