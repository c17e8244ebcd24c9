"""The lines of the change feed, and the chain of hashes that a signed head closes.

A line is JSON without a newline, and what counts are its bytes: `chain(n) = sha256(chain(n-1) + sha256(line n))`, from
a start that depends on the store. So a head vouches for every line before it, and a line for nothing by itself. What a
line may follow, and what a head must say, is left to `trust`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tiergate import naming
from tiergate.bundle.unreadable_records import UnreadableRecord, unreadable_record
from tiergate.errors import RejectionReason, TrustError
from tiergate.model import Instant, SubjectRecord

MAX_LINE_BYTES = 8 * 1024**2
"""Most bytes of a line."""


class SubjectChange(msgspec.Struct, frozen=True):
    """A customer's record is now this one; `None`: there is no such customer any more."""

    position: int
    at: Instant
    customer: str
    record: SubjectRecord | None


class PublicationChange(msgspec.Struct, frozen=True):
    """A publication is in force: the envelope's bytes."""

    position: int
    at: Instant
    publication: bytes


class OtherChange(msgspec.Struct, frozen=True):
    """Something that this version does not know. It counts in the chain; a head's `needs` says who must know it."""

    position: int
    at: Instant


class UnreadableChange(msgspec.Struct, frozen=True):
    """A customer's record is now one that this version cannot read."""

    position: int
    at: Instant
    record: UnreadableRecord

    @property
    def customer(self) -> str:
        """Whose record it is."""
        return self.record.customer


RecordChange = SubjectChange | UnreadableChange
"""A line of a subject, be its record one that can be read or not."""

FeedEntry = SubjectChange | UnreadableChange | PublicationChange | OtherChange


class _SubjectLine(msgspec.Struct):
    position: int
    at: Instant
    customer: str
    record: SubjectRecord | None


class _PublicationLine(msgspec.Struct):
    position: int
    at: Instant
    publication: msgspec.Raw


class _HeadLine(msgspec.Struct):
    head: msgspec.Raw


class _Line(msgspec.Struct):
    position: Annotated[int, Meta(ge=1, le=2**62)]
    at: Instant
    customer: str | UnsetType = UNSET
    record: SubjectRecord | UnsetType | None = UNSET
    publication: msgspec.Raw | UnsetType = UNSET


class _UnreadLine(msgspec.Struct):
    position: Annotated[int, Meta(ge=1, le=2**62)]
    at: Instant
    customer: Annotated[str, Meta(min_length=1)]
    record: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode
_decode_unread = msgspec.json.Decoder(_UnreadLine).decode
_decode_head = msgspec.json.Decoder(_HeadLine).decode


def chain_start(store: str) -> bytes:
    """The chain at position 0: 32 bytes."""
    return naming.feed_start(store)


def extend(chain: bytes, line: bytes) -> bytes:
    """The chain after one more line."""
    return naming.feed_next(chain, hashlib.sha256(line).digest())


def subject_line(position: int, at: Instant, customer: str, record: SubjectRecord | None) -> bytes:
    """Write the line of a subject's change. The record carries no reasons and no authors."""
    return _encode(_SubjectLine(position, at, customer, record))


def publication_line(position: int, at: Instant, envelope: bytes) -> bytes:
    """Write the line of a publication."""
    return _encode(_PublicationLine(position, at, msgspec.Raw(envelope)))


def head_line(envelope: bytes) -> bytes:
    """Write the line that ends a page."""
    return _encode(_HeadLine(msgspec.Raw(envelope)))


def read_line(line: bytes) -> FeedEntry:
    """Read a line of the feed. A record that cannot be read is no reason to refuse it: it is told as such.

    Raises:
        TrustError: it is none: `malformed` or `too_large`.
    """
    if len(line) > MAX_LINE_BYTES:
        raise TrustError(RejectionReason.TOO_LARGE, f"a line of the feed has at most {MAX_LINE_BYTES} bytes")
    try:
        read = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _unreadable(line, error)
    if read.publication is not UNSET:
        return PublicationChange(read.position, read.at, bytes(read.publication))
    if read.customer is UNSET or read.record is UNSET:
        return OtherChange(read.position, read.at)
    record = read.record
    if record is not None and (
        record.customer.id != read.customer or any(it.customer != read.customer for it in record.subscriptions)
    ):
        return _unreadable(line, "it is another customer's record")
    return SubjectChange(read.position, read.at, read.customer, record)


def _unreadable(line: bytes, why: Exception | str) -> UnreadableChange:
    """A line whose record cannot be read, but for its customer.

    Raises:
        TrustError: it is no line of a subject's change.
    """
    try:
        read = _decode_unread(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise TrustError(RejectionReason.MALFORMED, f"a line of the feed cannot be read: {why}") from None
    return UnreadableChange(read.position, read.at, unreadable_record(read.record, why, read.customer))


def read_head_line(line: bytes) -> bytes:
    """Return the envelope that ends a page.

    Raises:
        TrustError: this line does not: the page is `truncated`.
    """
    try:
        return bytes(_decode_head(line).head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise TrustError(RejectionReason.TRUNCATED, "the page does not end with a signed head") from None
