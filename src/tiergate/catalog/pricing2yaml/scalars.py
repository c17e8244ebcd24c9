"""The meaning of words in a Pricing2Yaml file: switches, exact numbers, levels, the period in a unit.

Pricings target tools that read YAML 1.1 and 1.2, so the type of the feature decides how a word is read, not its form:
`24` is a level of a TEXT feature and a number of a NUMERIC one, `No` is a level of the former and `false` for a BOOLEAN
one. Quotes make a difference for `null` only.
"""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal, InvalidOperation

from tiergate.catalog.reading.document import Listing, Node, describe
from tiergate.catalog.reading.fields import CONTROL, CONTROL_IN_PROSE, MAX_LINE, MAX_PROSE, is_blank
from tiergate.catalog.reading.scalars import MAX_NUMBER_TEXT
from tiergate.model import UNLIMITED, CalendarUnit, Level, Number, Switch, Unlimited

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_SWITCHES = {
    word: on
    for words, on in ((("true", "yes", "on"), True), (("false", "no", "off"), False))
    for plain in words
    for word in (plain, plain.capitalize(), plain.upper())
}
_INFINITY = re.compile(r"\+?\.(?:inf|Inf|INF)")
_NO_NUMBER = re.compile(r"-\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DECIMAL = re.compile(r"[-+]?(?:(?:0|[1-9](?:_?[0-9])*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F](?:_?[0-9a-fA-F])*")

_PERIOD = re.compile(r"(?:/|\bper\b)\s*(hour|day|week|month|year)s?\s*(?=/|$|\bper\b)", re.IGNORECASE)


def read_word(text: str) -> str | None:
    """Read an unquoted word: the text as written, or null."""
    return None if text in _NULLS else text


def read_switch(node: Node) -> Switch:
    """Read the value of a BOOLEAN feature or limit.

    Raises:
        ValueError: if it is wrong; the message is for the author.
    """
    if isinstance(node, str) and node in _SWITCHES:
        return Switch(_SWITCHES[node])
    raise ValueError(f"must be `true` or `false`, not {describe(node)}")


def read_number(node: Node) -> Number | Unlimited:
    """Read the value of a NUMERIC feature or limit, exactly, from its text; `.inf` is unlimited.

    Raises:
        ValueError: if it is not a number; the message is for the author.
    """
    if not isinstance(node, str):
        raise ValueError(f"must be a number or `.inf`, not {describe(node)}")
    if _INFINITY.fullmatch(node):
        return UNLIMITED
    if _NO_NUMBER.fullmatch(node):
        raise ValueError(f"`{node}` is not a limit: it must be a number that is not negative, or `.inf`")
    if len(node) > MAX_NUMBER_TEXT:
        raise ValueError(f"the number has more than {MAX_NUMBER_TEXT} characters")
    if _HEXADECIMAL.fullmatch(node):
        return int(node, 16)
    if not _DECIMAL.fullmatch(node):
        raise ValueError(f"must be a number or `.inf`, not {describe(node)}")
    try:
        number = Decimal(node)
    except InvalidOperation:
        raise ValueError(f"the number `{node}` is too large or too small") from None
    if number < 0:
        raise ValueError(f"`{node}` must not be negative")
    return number


def read_label(node: Node) -> Level | None:
    """Read the value of a TEXT feature or limit as a level; `None` if it is empty.

    A list is joined with `, `. A level is one line of at most 200 characters: line breaks become spaces, a longer text
    is cut and ends with a hash.

    Raises:
        ValueError: if it is wrong; the message is for the author.
    """
    if isinstance(node, Listing):
        if not all(isinstance(entry, str) for entry in node.entries):
            raise ValueError("must be text, or a list of texts")
        node = ", ".join(str(entry) for entry in node.entries)
    if node is None:
        return None
    if not isinstance(node, str):
        raise ValueError(f"must be text or a list of texts, not {describe(node)}")
    label = one_line(node)
    return None if is_blank(label) else Level(label)


def one_line(text: str) -> str:
    """Return a text as one line of at most 200 characters; deterministic."""
    line = " ".join(CONTROL.sub(" ", text).split()) if CONTROL.search(text) else text
    if len(line) <= MAX_LINE:
        return line
    mark = "… " + hashlib.sha256(text.encode()).hexdigest()[:8]
    return line[: MAX_LINE - len(mark)] + mark


def read_prose(node: Node) -> str:
    """Read a description; empty if it is missing.

    Raises:
        ValueError: if it is wrong; the message is for the author.
    """
    if node is None:
        return ""
    if not isinstance(node, str):
        raise ValueError(f"must be text, not {describe(node)}")
    text = CONTROL_IN_PROSE.sub(" ", node)
    if is_blank(text):
        return ""
    return text if len(text) <= MAX_PROSE else text[: MAX_PROSE - 1] + "…"


def read_unit(node: Node) -> str:
    """Read the unit of a limit, one line; empty if it is missing.

    Raises:
        ValueError: if it is wrong; the message is for the author.
    """
    return one_line(read_prose(node)).strip()


def read_reset(unit: str) -> CalendarUnit:
    """Return how often a renewable limit with this unit resets: `credit/week` every week; without a period, monthly.

    The last period after a `/` or `per` counts. A minute and a second are too short.
    """
    named = _PERIOD.findall(unit)
    return CalendarUnit(named[-1].lower()) if named else CalendarUnit.MONTH
