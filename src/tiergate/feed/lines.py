"""The lines of the change feed: written by the store, read by sidecars.

A line is JSON without a newline. Its bytes count, because the hash chain covers them. Which line may follow which, and
what a head must contain, is checked by `tiergate.bundle.trusted_feed`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tiergate.errors import RejectionReason, TrustError
from tiergate.feed.status_reports import read_reports
from tiergate.feed.unreadable_records import UnreadableRecord, describe_unreadable
from tiergate.model import Instant, ReportedStatus, SubjectRecord

MAX_LINE_BYTES = 8 * 1024**2
"""Most bytes of a line."""


class SubjectChange(msgspec.Struct, frozen=True):
    """The record of a customer changed; `None`: the customer was deleted."""

    position: int
    at: Instant
    customer: str
    record: SubjectRecord | None


class PublicationChange(msgspec.Struct, frozen=True):
    """A publication became active. `publication`: the bytes of its envelope."""

    position: int
    at: Instant
    publication: bytes


class StatusChange(msgspec.Struct, frozen=True):
    """The reports on the status of a feature changed. Their new list replaces the earlier one."""

    position: int
    at: Instant
    feature: str
    reports: tuple[ReportedStatus, ...]


class OtherChange(msgspec.Struct, frozen=True):
    """A change that this version does not know. The chain covers it; a head's `needs` limits who may skip it."""

    position: int
    at: Instant


class UnreadableChange(msgspec.Struct, frozen=True):
    """The record of a customer changed to one that this version cannot read."""

    position: int
    at: Instant
    record: UnreadableRecord

    @property
    def customer(self) -> str:
        """The id of the customer."""
        return self.record.customer


RecordChange = SubjectChange | UnreadableChange
"""A change of a customer, readable or not."""

FeedChange = RecordChange | PublicationChange | StatusChange | OtherChange


class _SubjectLine(msgspec.Struct):
    position: int
    at: Instant
    customer: str
    record: msgspec.Raw


class _PublicationLine(msgspec.Struct):
    position: int
    at: Instant
    publication: msgspec.Raw


class _StatusLine(msgspec.Struct):
    position: int
    at: Instant
    feature: str
    reports: msgspec.Raw


class _HeadLine(msgspec.Struct):
    head: msgspec.Raw


class _Line(msgspec.Struct):
    position: Annotated[int, Meta(ge=1, le=2**62)]
    at: Instant
    customer: str | UnsetType = UNSET
    record: SubjectRecord | UnsetType | None = UNSET
    publication: msgspec.Raw | UnsetType = UNSET
    feature: str | UnsetType = UNSET
    reports: msgspec.Raw | UnsetType = UNSET


class _UnreadableLine(msgspec.Struct):
    position: Annotated[int, Meta(ge=1, le=2**62)]
    at: Instant
    customer: Annotated[str, Meta(min_length=1)]
    record: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode
_decode_unreadable = msgspec.json.Decoder(_UnreadableLine).decode
_decode_head = msgspec.json.Decoder(_HeadLine).decode


def encode_record(record: SubjectRecord | None) -> bytes:
    """Return the JSON of a record as lines carry it; `null` for a deleted customer. It must be redacted already."""
    return _encode(record)


def subject_line(position: int, at: Instant, customer: str, record: bytes) -> bytes:
    """Write the line of a changed customer; `record` is from `encode_record`."""
    return _encode(_SubjectLine(position, at, customer, msgspec.Raw(record)))


def publication_line(position: int, at: Instant, envelope: bytes) -> bytes:
    """Write the line of a publication."""
    return _encode(_PublicationLine(position, at, msgspec.Raw(envelope)))


def status_line(position: int, at: Instant, feature: str, reports: bytes) -> bytes:
    """Write the line of a feature whose status is reported differently; `reports` is from `encode_reports`."""
    return _encode(_StatusLine(position, at, feature, msgspec.Raw(reports)))


def head_line(envelope: bytes) -> bytes:
    """Write the line that ends a page."""
    return _encode(_HeadLine(msgspec.Raw(envelope)))


def read_line(line: bytes) -> FeedChange:
    """Read a line. One whose record cannot be read becomes an `UnreadableChange`; what is no line is a `TrustError`."""
    if len(line) > MAX_LINE_BYTES:
        raise TrustError(RejectionReason.TOO_LARGE, f"a feed line is longer than {MAX_LINE_BYTES} bytes")
    try:
        content = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _read_unreadable(line, error)
    if content.publication is not UNSET:
        return PublicationChange(content.position, content.at, bytes(content.publication))
    if content.feature is not UNSET and content.reports is not UNSET:
        return StatusChange(content.position, content.at, content.feature, read_reports(content.reports))
    if content.customer is UNSET or content.record is UNSET:
        return OtherChange(content.position, content.at)
    record = content.record
    if record is not None and (
        record.customer.id != content.customer or any(sub.customer != content.customer for sub in record.subscriptions)
    ):
        return _read_unreadable(line, "the record belongs to another customer")
    return SubjectChange(content.position, content.at, content.customer, record)


def _read_unreadable(line: bytes, reason: Exception | str) -> UnreadableChange:
    try:
        content = _decode_unreadable(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise TrustError(RejectionReason.MALFORMED, f"cannot read a feed line: {reason}") from None
    return UnreadableChange(content.position, content.at, describe_unreadable(content.record, reason, content.customer))


def read_head_line(line: bytes) -> bytes:
    """Return the envelope in the line that ends a page; another line is a `TrustError` (`truncated`)."""
    try:
        return bytes(_decode_head(line).head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise TrustError(RejectionReason.TRUNCATED, "the page does not end with a signed head") from None
