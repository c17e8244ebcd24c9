"""Records that are signed and cannot be read: whose they are, as far as that can be told.

What a store signed is what it means, and a later version of it may mean more than this one can read. So one such record
is no reason to follow nothing any more: its customer is known, and who follows decides what to do with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec

from tiergate.errors import RejectionReason, TrustError
from tiergate.model import SubjectType

if TYPE_CHECKING:
    from tiergate.model import Subject

_MOST_WORDS = 300


class UnreadableRecord(NamedTuple):
    """A record that cannot be read: its customer, the subscriptions that can be told in it, and why not."""

    customer: str
    subscriptions: tuple[str, ...]
    detail: str


class UnreadableStatement(NamedTuple):
    """What a store said of one subject at a position: a record that cannot be read."""

    position: int
    record: UnreadableRecord


class _Statement(msgspec.Struct):
    store: str
    position: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    type: str
    id: Annotated[str, msgspec.Meta(min_length=1)]
    record: msgspec.Raw


class _Id(msgspec.Struct, array_like=True):
    id: str


class _Customer(msgspec.Struct, array_like=True):
    customer: _Id


class _Subscriptions(msgspec.Struct, array_like=True):
    customer: msgspec.Raw
    subscriptions: list[_Id]


_decode_customer = msgspec.json.Decoder(_Customer).decode
_decode_statement = msgspec.json.Decoder(_Statement).decode
_decode_subscriptions = msgspec.json.Decoder(_Subscriptions).decode


def unreadable_record(content: bytes | msgspec.Raw, why: Exception | str, customer: str = "") -> UnreadableRecord:
    """Describe the JSON of a record that cannot be read. `customer`: whose it is, where that stands beside it.

    Raises:
        TrustError: it cannot be told whose it is (`malformed`).
    """
    try:
        whose = customer or _decode_customer(content).customer.id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(RejectionReason.MALFORMED, f"a record names no customer: {error}") from None
    try:
        held = tuple(dict.fromkeys(it.id for it in _decode_subscriptions(content).subscriptions))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        held = ()
    return UnreadableRecord(whose, held, str(why)[:_MOST_WORDS])


def unreadable_statement(payload: bytes, subject: Subject, why: TrustError) -> tuple[str, UnreadableStatement]:
    """The store and the statement of a payload that was verified, and whose record cannot be read.

    Raises:
        TrustError: it is about another subject, or it cannot be told whose the record is; `why` where it is none.
    """
    try:
        found = _decode_statement(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise why from None
    if (found.type, found.id) != (subject.type.value, subject.id):
        raise TrustError(
            RejectionReason.CONTRADICTION, f"it is about another subject than {subject.type} `{subject.id}`"
        )
    is_customer = subject.type is SubjectType.CUSTOMER
    record = unreadable_record(found.record, why, subject.id if is_customer else "")
    if not is_customer:
        record = record._replace(subscriptions=tuple(dict.fromkeys((*record.subscriptions, subject.id))))
    return found.store, UnreadableStatement(found.position, record)
