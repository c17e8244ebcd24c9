"""Text as it is compared: one normal form for what is read, and keys under which text is searched.

Two spellings that look the same, such as `ö` as one character and as `o` with a combining mark, are one text here:
whatever is read from outside is put in the Unicode normal form C (NFC, UAX 15) at the edge, and compared exactly after
that. A search is more generous: it ignores case and compatibility forms (full width, ligatures) too.
"""

from __future__ import annotations

import unicodedata

_LONG = 4_096
_LONGEST_RUN = 1_024


def to_nfc(text: str) -> str:
    """The text in the normal form C.

    A long text with more than 1,024 combining marks in a row is returned as it is: to sort them takes the square of
    their number, and no written language has such.
    """
    if text.isascii() or (len(text) > _LONG and _is_stack(text)):
        return text
    return unicodedata.normalize("NFC", text)


def search_key(text: str) -> str:
    """The text without differences of case and form: what a search compares, on every database.

    A text contains another, for a search, where its key contains the other's key. NFKC and full case folding (Unicode
    3.13, D145 to D147): `STRASSE` is in `Königstraße`, `ﬁ` is `fi`, `İ` is `i` with a dot above.
    """
    if text.isascii():
        return text.lower()
    if len(text) > _LONG and _is_stack(text):
        return text.casefold()
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)


def _is_stack(text: str) -> bool:
    """Say whether there are more combining marks in a row than anybody writes."""
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _LONGEST_RUN:
            return True
    return False
