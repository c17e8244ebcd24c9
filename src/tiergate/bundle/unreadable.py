"""Records that are signed and cannot be read: whose they are, as far as that can be told.

What a store signed is what it means, and a later version of it may mean more than this one can read. So one such record
is no reason to follow nothing any more: its customer is known, and who follows decides what to do with it.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tiergate.errors import Refusal, TrustError

__all__ = ["UnreadableRecord", "unreadable_record"]

_MOST_WORDS = 300


class UnreadableRecord(NamedTuple):
    """A record that cannot be read: its customer, the subscriptions that can be told in it, and why not."""

    customer: str
    subscriptions: tuple[str, ...]
    detail: str


class _Id(msgspec.Struct, array_like=True):
    id: str


class _Customer(msgspec.Struct, array_like=True):
    customer: _Id


class _Subscriptions(msgspec.Struct, array_like=True):
    customer: msgspec.Raw
    subscriptions: list[_Id]


_decode_customer = msgspec.json.Decoder(_Customer).decode
_decode_subscriptions = msgspec.json.Decoder(_Subscriptions).decode


def unreadable_record(content: bytes | msgspec.Raw, why: Exception | str, customer: str = "") -> UnreadableRecord:
    """Describe the JSON of a record that cannot be read. `customer`: whose it is, where that stands beside it.

    Raises:
        TrustError: it cannot be told whose it is (`malformed`).
    """
    try:
        whose = customer or _decode_customer(content).customer.id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(Refusal.MALFORMED, f"a record names no customer: {error}") from None
    try:
        held = tuple(dict.fromkeys(it.id for it in _decode_subscriptions(content).subscriptions))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        held = ()
    return UnreadableRecord(whose, held, str(why)[:_MOST_WORDS])
