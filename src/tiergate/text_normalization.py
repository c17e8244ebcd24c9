"""Normalize text: one normal form for all input, and keys for searching.

Two spellings that look the same, such as `ö` as one character and as `o` with a combining mark, are one text here:
input is converted to the Unicode normal form C (NFC, UAX 15) at the edge, and compared exactly after that. A search
also ignores case and compatibility forms (full width, ligatures).
"""

from __future__ import annotations

import unicodedata

_LONG = 4_096
_LONGEST_RUN = 1_024


def to_nfc(text: str) -> str:
    """Return the text in the normal form C.

    Returns a long text with more than 1,024 combining marks in a row unchanged: sorting them takes quadratic time, and
    no written language has such text.
    """
    if text.isascii() or (len(text) > _LONG and _is_stack(text)):
        return text
    return unicodedata.normalize("NFC", text)


def search_key(text: str) -> str:
    """Return the text without differences of case and form, for searching on every database.

    A text matches a search if its key contains the key of the search. NFKC and full case folding (Unicode 3.13, D145 to
    D147): `STRASSE` is in `Königstraße`, `ﬁ` is `fi`, `İ` is `i` with a dot above.
    """
    if text.isascii():
        return text.lower()
    if len(text) > _LONG and _is_stack(text):
        return text.casefold()
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)


def _is_stack(text: str) -> bool:
    """Return whether there are more combining marks in a row than any language has."""
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _LONGEST_RUN:
            return True
    return False
