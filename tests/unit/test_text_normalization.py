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
        ("M\u00fcnchen", "munchen"),
        ("Munchen", "M\u00dcNCHEN"),
        ("S\xf8rensen", "sorensen"),
        ("\u0141\xf3d\u017a", "lodz"),
        ("ISTANBUL", "\u0131stanbul"),
        ("\u0130STANBUL", "istanbul"),
        ("\u0391\u03b8\u03ae\u03bd\u03b1", "\u03b1\u03b8\u03b7\u03bd\u03b1"),
        ("\u0435\u0449\u0451", "\u0415\u0429\u0415"),
        ("\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
        ("\u6771\u4eac\u682a\u5f0f\u4f1a\u793e", "\u4eac\u682a"),
        ("\uff76\uff9e\uff72\uff84\uff9e", "\u30ac\u30a4\u30c9"),
        ("\ud55c\uad6d\uc5b4", "\u1112\u1161\u11ab\uad6d"),
        ("Acme  \u00a0Corp", " acme corp "),
        ("Acme Corp", "acme\u3000corp"),
        ("Don\xadau\u200bdampf", "donaudampf"),
    ],
)
def test_a_search_ignores_case_and_form_in_any_script(text: str, sought: str) -> None:
    """A key has no case, no accents, no full width, no ligatures, single spaces and one normal form."""
    assert search_key(sought) in search_key(text)


@pytest.mark.parametrize(
    ("text", "sought"),
    [
        ("\u304b", "\u304c"),  # a mark makes another kana
        ("\u0915\u0940", "\u0915\u093f"),  # vowel signs of Devanagari
        ("\u0e01\u0e48", "\u0e01\u0e49"),  # tones of Thai
        ("M\u00fcller", "M\u00f6ller"),
    ],
)
def test_marks_that_make_another_letter_stay(text: str, sought: str) -> None:
    """In scripts whose marks are no accents, and between letters."""
    assert search_key(sought) not in search_key(text)


@pytest.mark.parametrize("read", [to_nfc, search_key])
def test_a_tower_of_combining_marks_does_not_hold_up(read: object) -> None:
    """A text whose marks would take the square of their number to sort is left as it is."""
    tower = "a" + "\u0301\u0316" * 500_000
    begun = time.perf_counter()
    assert callable(read)
    assert read(tower) == tower
    assert time.perf_counter() - begun < 5
