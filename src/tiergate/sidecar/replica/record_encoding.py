"""Records as a replica stores them: redacted, in MessagePack, with a CRC-32. Nothing else encodes or decodes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

import msgspec

from tiergate.errors import ReplicaError
from tiergate.model import Customer, SubjectRecord
from tiergate.model.redaction import redact_customer, redact_record, redact_subscription

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Subscription

QUARANTINED: Final = b""
"""Stored in place of the record of a customer who never had a usable one."""

NO_CUSTOMER: Final = ""
"""The customer of subscriptions whose customer is not known. No customer has this id."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SubjectRecord).decode


class _SubscriptionId(msgspec.Struct, array_like=True):
    id: str


class _SubscriptionIds(msgspec.Struct, array_like=True):
    customer: msgspec.Raw
    subscriptions: list[_SubscriptionId]


_decode_ids = msgspec.msgpack.Decoder(_SubscriptionIds).decode


def encode_record(record: SubjectRecord) -> bytes:
    """Return a redacted record in MessagePack."""
    return _encode(redact_record(record))


def encode_subject(subject: Customer | Subscription) -> bytes:
    """Return a redacted part of a record, to be joined by `join_record`."""
    return _encode(redact_customer(subject) if isinstance(subject, Customer) else redact_subscription(subject))


def join_record(customer: bytes, subscriptions: Sequence[bytes]) -> bytes:
    """Join the parts of one record: it is an array of the customer and of an array of subscriptions."""
    length = len(subscriptions)
    if length < 16:
        header = bytes((0x90 | length,))
    else:
        header = b"\xdc" + length.to_bytes(2) if length < 65536 else b"\xdd" + length.to_bytes(4)
    return b"".join((b"\x92", customer, header, *subscriptions))


def read_subscription_ids(content: bytes) -> frozenset[str] | None:
    """Return the ids of the subscriptions in a row, without reading the rest; none if it is quarantined.

    Raises `msgspec.MsgspecError` or `UnicodeDecodeError` if that part of the row is damaged.
    """
    if content == QUARANTINED:
        return None
    return frozenset([subscription.id for subscription in _decode_ids(content).subscriptions])


def decode_row(content: bytes, checksum: int | None) -> SubjectRecord | None:
    """Return the record of a row; none if it is quarantined. `checksum` is none in old files, which have none.

    Raises `ReplicaError`, `msgspec.MsgspecError` or `UnicodeDecodeError` if the row is damaged.
    """
    if checksum is not None and crc32(content) != checksum:
        raise ReplicaError("the checksum of a record does not match")
    return None if content == QUARANTINED else _decode(content)
