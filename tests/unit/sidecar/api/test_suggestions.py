from __future__ import annotations

import pytest

from tiergate.sidecar.api.suggestions import Suggestions

MANY = [f"feature-{number}" for number in range(10_000)] + ["movies", "api-limit", "Analytics", "storage"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("moves", "movies"),
        ("ovies", "movies"),
        ("xmovies", "movies"),
        ("movie", "movies"),
        ("api_limit", "api-limit"),
        ("apilimit", "api-limit"),
        ("analytics", "Analytics"),
        ("feature-123x", "feature-123"),
        ("✂", None),
        ("", None),
        ("something else", None),
    ],
)
def test_a_near_miss_is_found_among_many(name: str, meant: str | None) -> None:
    """With a letter wrong, missing or too many, wherever it is."""
    assert Suggestions(MANY).near(name) == meant


def test_nothing_is_near_where_nothing_is() -> None:
    """A catalog without features."""
    assert Suggestions([]).near("movies") is None


def test_few_names_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ids there are, and each name once."""
    compared: list[int] = []

    def count(_: str, candidates: list[str], n: int) -> list[str]:
        compared.append(len(candidates))
        return candidates[:n]

    monkeypatch.setattr("tiergate.sidecar.api.suggestions.get_close_matches", count)
    suggestions = Suggestions(MANY)
    for _ in range(3):
        suggestions.near("moves")

    assert len(compared) == 1
    assert compared[0] <= 48


def test_what_is_remembered_is_bounded() -> None:
    """Anybody may ask for anything."""
    suggestions = Suggestions(["movies"])
    for number in range(2_500):
        suggestions.near(f"name {number}")

    assert len(suggestions._found) <= 1_000
