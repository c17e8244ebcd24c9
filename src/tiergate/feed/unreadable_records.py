"""Records that are signed but that this version cannot read, described as far as possible.

A later version of a store may write records that this one cannot read. One such record does not stop the feed: its
customer is known, and the reader decides how to treat that customer.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tiergate.errors import RejectionReason, TrustError

_MAX_DETAIL = 300


class UnreadableRecord(NamedTuple):
    """A record that cannot be read: its customer, the subscriptions that can be identified, and the reason."""

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


def describe_unreadable(content: bytes | msgspec.Raw, reason: Exception | str, customer: str = "") -> UnreadableRecord:
    """Describe the JSON of a record that cannot be read. `customer`: its id, if it is known from elsewhere.

    Raises `TrustError` if the customer cannot be identified (`malformed`).
    """
    try:
        customer = customer or _decode_customer(content).customer.id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(RejectionReason.MALFORMED, f"a record names no customer: {error}") from None
    try:
        subscriptions = tuple(dict.fromkeys(sub.id for sub in _decode_subscriptions(content).subscriptions))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        subscriptions = ()
    return UnreadableRecord(customer, subscriptions, str(reason)[:_MAX_DETAIL])
