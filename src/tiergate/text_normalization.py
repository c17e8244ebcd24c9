"""Normalize text: one normal form for all input, and keys for searching.

Two spellings that look the same, such as `ö` as one character and as `o` with a combining mark, are one text here:
input is converted to the Unicode normal form C (NFC, UAX 15) at the edge, and compared exactly after that. A search
also ignores case, compatibility forms (full width, ligatures), accents and spacing.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_LONG = 4_096
_LONGEST_RUN = 1_024
_FIRST_OF_OTHER_SCRIPTS: Final = "\u0700"
"""Latin, Greek, Cyrillic, Armenian, Hebrew and Arabic stand before."""
_PLAIN: Final = str.maketrans(
    {"\xe6": "ae", "\u0153": "oe", "\xf8": "o", "\u0111": "d", "\xf0": "d", "\u0142": "l", "\u0127": "h"}
    | {"\u0167": "t", "\xfe": "th", "\u0131": "i"}
)


def to_nfc(text: str) -> str:
    """Return the text in the normal form C.

    Returns a long text with more than 1,024 combining marks in a row unchanged: sorting them takes quadratic time, and
    no written language has such text.
    """
    if text.isascii() or (len(text) > _LONG and _is_stack(text)):
        return text
    return unicodedata.normalize("NFC", text)


def search_key(text: str) -> str:
    """Return the text without differences of case, form, accents and spacing, for searching on every database.

    A text matches a search if its key contains the key of the search.

    - Case and form: NFKC and full case folding (Unicode 3.13, D145 to D147): `STRASSE` is in `Königstraße`, `ﬁ` is
      `fi`, full-width letters are plain ones.
    - Accents of Latin, Greek and Cyrillic letters, and the optional vowel signs of Hebrew and Arabic, are removed:
      `Munchen` is in `München`. So are strokes: `ø` is `o`. Marks of other scripts make other letters, and stay.
    - Characters that nobody sees, such as the soft hyphen, are removed, and white space of any length is one space.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    if len(text) > _LONG and _is_stack(text):
        return text.casefold()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(_PLAIN)
    kept: list[str] = []
    base = ""
    for character in unicodedata.normalize("NFD", folded):
        category = unicodedata.category(character)
        if category != "Mn":
            base = character
        elif base < _FIRST_OF_OTHER_SCRIPTS or _is_variation(character):
            continue
        if category != "Cf":
            kept.append(character)
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split())


def _is_variation(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _is_stack(text: str) -> bool:
    """Return whether there are more combining marks in a row than any language has."""
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _LONGEST_RUN:
            return True
    return False
