"""Scalars of the files: exact numbers, and the meaning of unquoted YAML words.

YAML parsers disagree about unquoted words: `no` is false to some, `0x10` sixteen, `1_000` a thousand, `010` eight. Here
an unquoted word is `true`, `false`, `null` (also `~` and nothing), a number as in JSON, or text. Other words that YAML
1.2 reads as a boolean, null or number are rejected instead of guessed; `yes`, `no`, `on`, `off` and timestamps are
text, as in YAML 1.2.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiergate.catalog.reading.document import Node
    from tiergate.model import Number

MAX_NUMBER_TEXT = 100
"""Largest number of characters of a number."""

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""A number as in JSON."""

_CONSTANTS: dict[str, Node] = {"true": True, "false": False, "null": None, "~": None, "": None}
_UNCLEAR = re.compile(
    r"""True|TRUE|False|FALSE|Null|NULL
    |[-+]?[0-9][0-9_]*                          # 010, +5, 1_000
    |[-+]?0[xX][0-9a-fA-F_]+|0o[0-7]+|0b[01_]+  # other bases
    |[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)""",
    re.VERBOSE,
)


def read_number(text: str) -> Number:
    """Read a number that matches `NUMBER`, exactly.

    Raises:
        ValueError: if it cannot be read; the message is for the author.
    """
    if len(text) > MAX_NUMBER_TEXT:
        raise ValueError(f"the number has more than {MAX_NUMBER_TEXT} characters")
    try:
        return Decimal(text) if "." in text or "e" in text or "E" in text else int(text)
    except InvalidOperation:
        raise ValueError(f"the number `{text}` is too large or too small") from None


def read_plain(text: str) -> Node:
    """Read an unquoted word of YAML.

    Raises:
        ValueError: if it is unclear; the message is for the author.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "-+.0123456789TFN":
        return text
    if NUMBER.fullmatch(text):
        return read_number(text)
    if _UNCLEAR.fullmatch(text):
        if text[-1] in "fFnN" and "." in text:
            raise ValueError(f"`{text}` is not a finite number")
        raise ValueError(f"`{text}` is read differently by different tools: write a plain number or word, or quote it")
    return text
