from __future__ import annotations

import time

import pytest

from tiergate.text_normalization import search_key, to_nfc


def test_two_spellings_are_composed_to_one() -> None:
    """A letter and its combining mark are the letter that has it; what is composed stays."""
    assert to_nfc("Ko\u0308ln") == "K\u00f6ln" == to_nfc("K\u00f6ln")


def test_compatibility_forms_stay_apart() -> None:
    """What only looks alike in some fonts is another text: no text changes its meaning by being read."""
    assert to_nfc("\ufb01") == "\ufb01"
    assert to_nfc("\uff11") == "\uff11"


@pytest.mark.parametrize(
    ("text", "sought"),
    [
        ("K\u00f6nigstra\u00dfe", "STRASSE"),
        ("Ko\u0308ln", "K\u00d6LN"),
        ("\u039f\u0394\u039f\u03a3", "\u03bf\u03b4\u03cc\u03c2".replace("\u03cc", "\u03bf")),
        ("\u041c\u043e\u0441\u043a\u0432\u0430", "\u043c\u041e\u0421"),
        ("\uff21\uff22\uff23", "abc"),
        ("\ufb01nance", "FIN"),
        ("Pro", "pro"),
    ],
)
def test_a_search_ignores_case_and_form_in_any_script(text: str, sought: str) -> None:
    """A key has no case, no full width, no ligatures and one normal form."""
    assert search_key(sought) in search_key(text)


@pytest.mark.parametrize("read", [to_nfc, search_key])
def test_a_tower_of_combining_marks_does_not_hold_up(read: object) -> None:
    """A text whose marks would take the square of their number to sort is left as it is."""
    tower = "a" + "\u0301\u0316" * 500_000
    begun = time.perf_counter()
    assert callable(read)
    assert read(tower) == tower
    assert time.perf_counter() - begun < 5
