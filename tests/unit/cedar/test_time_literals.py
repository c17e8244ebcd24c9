from __future__ import annotations

import pytest

from tiergate.cedar import authorize_text, parse_datetime, parse_duration


def cedar_holds(condition: str) -> bool:
    """Whether a condition holds in Cedar."""
    request: dict[str, object] = {"principal": 'A::"a"', "action": 'Action::"a"', "resource": 'A::"a"', "context": {}}
    schema = "entity A; action a appliesTo { principal: A, resource: A };"
    text = f'@id("p") permit (principal, action, resource) when {{ {condition} }};'
    return authorize_text(text, "[]", schema, request).allowed


@pytest.mark.parametrize(
    "text",
    ["2026-11-01", "1969-12-31", "0001-01-01", "2026-11-01T08:00:00Z", "2026-11-01T08:00:00.123Z",
     "2026-11-01T08:00:00+0130", "1969-12-31T23:59:59.999-2359"],
)  # fmt: skip
def test_a_datetime_is_what_it_is_in_cedar(text: str) -> None:
    """To the millisecond, with its offset."""
    amount = parse_datetime(text)
    assert cedar_holds(f'datetime("{text}") == datetime("1970-01-01").offset(duration("{amount}ms"))')


@pytest.mark.parametrize("text", ["1d", "1d2h3m4s5ms", "-1d12h", "30m", "5ms", "0s", "1h30m"])
def test_a_duration_is_what_it_is_in_cedar(text: str) -> None:
    """With its sign."""
    assert cedar_holds(f'duration("{text}").toMilliseconds() == {parse_duration(text)}')


@pytest.mark.parametrize(
    "text",
    ["", "2026-11-1", "2026-13-01", "2026-11-01T08:00:00", "2026-11-01T08:00:00.5Z", "2026-11-01T08:00:00+01:00",
     "0000-01-01", "٢٠٢٦-11-01"],
)  # fmt: skip
def test_what_is_no_datetime_is_rejected(text: str) -> None:
    """Or is beyond the years that can be written."""
    with pytest.raises(ValueError, match=r"."):
        parse_datetime(text)


@pytest.mark.parametrize("text", ["", "-", "1", "1h1d", "1 d", "1.5h", "٣d"])
def test_what_is_no_duration_is_rejected(text: str) -> None:
    """Units stand in their order."""
    with pytest.raises(ValueError, match=r"."):
        parse_duration(text)
