"""Bodies of corrections and grants, as they are read: exact, strict, and with the place of what is wrong."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tiergate.errors import CheckError
from tiergate.model import FOREVER
from tiergate.usage import pools
from tiergate.wire import usage_changes
from tiergate.wire.usage_changes import (
    Correction,
    GrantEdit,
    NewGrant,
    read_correction,
    read_grant,
    read_grant_edit,
)


def test_a_correction_is_read_exactly() -> None:
    """Its amount becomes positive; a subject's id takes the normal form."""
    body = b'{"feature":"calls","amount":-0.10,"subscription":"s1","user":"e\xcc\x81","at":"1970-01-01T00:00:01Z"}'
    assert read_correction(body) == Correction("calls", Decimal("0.10"), "s1", "\u00e9", 1_000)
    assert read_correction(b'{"feature":"calls","amount":-3}') == Correction("calls", 3, None, None, None)


def test_grants_are_read_exactly() -> None:
    """What is absent is `None`; `until: null` is without an end."""
    body = b'{"feature":"calls","amount":2.5,"reason":" r ","from":"1970-01-01","priority":0}'
    assert read_grant(body) == NewGrant("calls", Decimal("2.5"), "r", None, 0, None, 0)
    assert read_grant_edit(b"{}") == GrantEdit(None, None, None, None, None, None)
    assert read_grant_edit(b'{"until":null,"add":1}') == GrantEdit(None, 1, None, None, FOREVER, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", ""),
        (b'{"amount":1}', "/feature"),
        (b'{"feature":"calls","amount":1}', "/reason"),
        (b'{"feature":"calls","amount":1,"amount":2,"reason":"r"}', "/amount"),
        (b'{"feature":"calls","amount":1,"reason":"a\\u0007b"}', "/reason"),
        (b'{"feature":"calls","amount":1,"reason":"r","priority":1.5}', "/priority"),
        (b'{"feature":"calls","amount":1,"reason":"r","priority":-1}', "/priority"),
        (b'{"feature":"calls","amount":1,"reason":"r","id":"a b"}', "/id"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, field: str) -> None:
    """By its JSON Pointer."""
    with pytest.raises(CheckError) as caught:
        read_grant(body)
    assert caught.value.field == field


def test_an_amount_is_set_or_added() -> None:
    """Not both."""
    with pytest.raises(CheckError) as caught:
        read_grant_edit(b'{"amount":1,"add":1}')
    assert caught.value.field == "/add"


def test_priorities_are_those_of_the_pools() -> None:
    """The wire stands below them, and says them again."""
    limits = (usage_changes.FIRST_PRIORITY, usage_changes.LAST_PRIORITY)
    assert limits == (pools.FIRST_PRIORITY, pools.LAST_PRIORITY)
