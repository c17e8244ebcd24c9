from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.model import BEGINNING, FOREVER, Interval, format_instant, parse_instant

FIRST = -62_135_596_800_000
LAST = 253_402_300_799_999


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T19:00:00-05:00", 0),
        ("1970-01-01T00:00:00.5Z", 500),
        ("1970-01-01T00:00:00.05Z", 50),
        ("1970-01-01T00:00:00.001Z", 1),
        ("1970-01-01T00:00:00.001999999Z", 1),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("2024-02-29", 1_709_164_800_000),
        ("0001-01-01T00:00:00Z", FIRST),
        ("9999-12-31T23:59:59.999Z", LAST),
    ],
)
def test_an_instant_is_read_floored_to_the_millisecond(text: str, instant: int) -> None:
    """An offset is applied, a date is its midnight in UTC, digits beyond the third are dropped."""
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-01T00:00:00",
        "2026-11-01 00:00:00Z",
        "2026-11-01T00:00Z",
        "2026-1-1",
        "20261101",
        "2026-11-01T00:00:00.Z",
        "2026-11-01T00:00:00.1234567890Z",
        "2026-11-01T00:00:00,5Z",
        "2026-11-01T00:00:00+0200",
        "2026-11-01T00:00:00Z ",
        "2026-11-01\n",
        "\uff12026-11-01",
        "2026-11-01T00:00:00.٣Z",
    ],
)
def test_a_text_of_another_form_is_refused(text: str) -> None:
    """A local time would be a guess; other forms and other digits are not read at all."""
    with pytest.raises(ValueError, match=r"^must be an instant such as"):
        parse_instant(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29",
        "2026-13-01",
        "2026-00-10",
        "0000-01-01",
        "2026-11-01T24:00:00Z",
        "2026-11-01T23:60:00Z",
        "2026-11-01T23:59:60Z",
        "2026-11-01T00:00:00+24:00",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    ],
)
def test_an_instant_that_does_not_exist_is_refused(text: str) -> None:
    """Neither impossible days and hours, nor what is outside the years 1 to 9999 in UTC."""
    with pytest.raises(ValueError, match=r"^is not a valid instant|^is outside the years 1 to 9999"):
        parse_instant(text)


@given(st.integers(FIRST, LAST))
def test_an_instant_survives_being_written(instant: int) -> None:
    """What is written is read as the same instant."""
    assert parse_instant(format_instant(instant)) == instant


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (FIRST, "0001-01-01T00:00:00.000Z"),
        (FIRST + 1, "0001-01-01T00:00:00.001Z"),
        (LAST, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_an_instant_is_written_with_milliseconds_in_utc(instant: int, text: str) -> None:
    """One form, with four digits for the year."""
    assert format_instant(instant) == text


@pytest.mark.parametrize("instant", [FIRST - 1, LAST + 1, BEGINNING, FOREVER])
def test_an_instant_outside_of_the_calendar_cannot_be_written(instant: int) -> None:
    """The beginning and the end of time have no date."""
    with pytest.raises(OverflowError):
        format_instant(instant)


def test_an_interval_holds_its_start_and_not_its_end() -> None:
    """[start, until)."""
    interval = Interval(10, 20)
    assert [now for now in (9, 10, 19, 20) if interval.contains(now)] == [10, 19]


def test_an_interval_without_ends_holds_every_instant() -> None:
    """No start is before everything, no end after everything."""
    assert all(Interval().contains(now) for now in (FIRST, 0, LAST))


def test_an_interval_that_ends_as_it_starts_is_empty() -> None:
    """Nothing lies in [x, x)."""
    assert not any(Interval(10, 10).contains(now) for now in (9, 10, 11))
