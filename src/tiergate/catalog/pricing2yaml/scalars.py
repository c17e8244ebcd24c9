"""What the words of a Pricing2Yaml file mean: switches, exact numbers, levels, the period in a unit.

Pricings are written for tools that read YAML 1.1 as well as 1.2, so a word is read by the type of the feature that it
is for, not by its looks: `24` is a level of a TEXT feature and a number of a NUMERIC one, `No` is a level of the former
and `false` for a BOOLEAN one. Quotes make no difference, but to `null`.
"""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal, InvalidOperation

from tiergate.catalog.reading.document import Listing, Node, describe
from tiergate.catalog.reading.fields import CONTROL, CONTROL_IN_PROSE, MAX_LINE, MAX_PROSE
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
        ValueError: a message that says what it must be.
    """
    if isinstance(node, str) and node in _SWITCHES:
        return Switch(_SWITCHES[node])
    raise ValueError(f"must be `true` or `false`, not {describe(node)}")


def read_number(node: Node) -> Number | Unlimited:
    """Read the value of a NUMERIC feature or limit, exactly, from its text; `.inf` is unlimited.

    Raises:
        ValueError: a message that says why it is no number.
    """
    if not isinstance(node, str):
        raise ValueError(f"must be a number or `.inf`, not {describe(node)}")
    if _INFINITY.fullmatch(node):
        return UNLIMITED
    if _NO_NUMBER.fullmatch(node):
        raise ValueError(f"`{node}` is no limit: it must be a number that is not negative, or `.inf`")
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
    """Read the value of a TEXT feature or limit as a level; `None` where it says nothing.

    A list is joined with `, `. A level is one line of at most 200 characters: line breaks become spaces, what is longer
    is cut and told apart by a hash.

    Raises:
        ValueError: a message that says what it must be.
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
    return Level(label) if label.strip() else None


def one_line(text: str) -> str:
    """Make a text one line of at most 200 characters; the same text always the same line."""
    line = " ".join(CONTROL.sub(" ", text).split()) if CONTROL.search(text) else text
    if len(line) <= MAX_LINE:
        return line
    mark = "… " + hashlib.sha256(text.encode()).hexdigest()[:8]
    return line[: MAX_LINE - len(mark)] + mark


def read_prose(node: Node) -> str:
    """Read a description; empty where there is none.

    Raises:
        ValueError: a message that says what it must be.
    """
    if node is None:
        return ""
    if not isinstance(node, str):
        raise ValueError(f"must be text, not {describe(node)}")
    text = CONTROL_IN_PROSE.sub(" ", node)
    return text if len(text) <= MAX_PROSE else text[: MAX_PROSE - 1] + "…"


def read_unit(node: Node) -> str:
    """Read the unit of a limit, one line; empty where there is none.

    Raises:
        ValueError: a message that says what it must be.
    """
    return one_line(read_prose(node)).strip()


def read_reset(unit: str) -> CalendarUnit:
    """Say when a renewable limit of this unit begins again: `credit/week` every week; where it names none, every month.

    The last period counts that is named after a `/` or `per`. A minute and a second are too short to be one.
    """
    named = _PERIOD.findall(unit)
    return CalendarUnit(named[-1].lower()) if named else CalendarUnit.MONTH
