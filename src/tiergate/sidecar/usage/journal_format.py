"""The bytes of a journal: segments of groups of records, and snapshots. No I/O.

A segment is a file with a header and groups. A group is what one sync made durable together: it is read whole or not at
all. Integers are little endian.

    segment   magic (8) · format u32 · number u64 · first group u64 · length of the one before u64 · id (16) · crc u32
    group     magic (4) · number u64 · length of the records u32 · crc u32 · records
    record    length u32 · content
    snapshot  magic (8) · format u32 · number u64 · id (16) · records · 2^32-1 u32 · count u64 · crc u32

Groups are numbered through all segments. A header names the length of the segment before it up to the last group that
was acknowledged: whatever follows there is no part of the journal. Space that was allocated ahead is zero.

INVARIANT (one torn group): a group is written only after the one before it is on disk. So only the last group of the
last segment can be torn; a damaged group with a later one behind it was acknowledged, and cannot be cut.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from tiergate.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FORMAT: Final = 1
MAX_RECORD: Final = 2**24
"""The most bytes of one record."""

_SEGMENT_MAGIC: Final = b"TGjrnl\r\n"
_SNAPSHOT_MAGIC: Final = b"TGsnap\r\n"
_GROUP_MAGIC: Final = b"\xf7TGg"
_SEGMENT: Final = struct.Struct("<8sIQQQ16sI")
_GROUP: Final = struct.Struct("<4sQII")
_SNAPSHOT: Final = struct.Struct("<8sIQ16s")
_SNAPSHOT_END: Final = struct.Struct("<IQI")
_LENGTH: Final = struct.Struct("<I")
_GROUP_SEED: Final = struct.Struct("<16sQQI")
_NO_LENGTH: Final = 2**32 - 1

SEGMENT_HEADER: Final = _SEGMENT.size
"""The bytes of a segment's header."""

GROUP_HEADER: Final = _GROUP.size
"""The bytes of a group before its records."""

RECORD_HEADER: Final = _LENGTH.size
"""The bytes of a record before its content."""

pack_length: Final = _LENGTH.pack
"""Return the bytes of a record's length."""


class SegmentHeader(NamedTuple):
    """The header of a segment; `previous_length`: how much of the segment before it counts, in bytes."""

    number: int
    first_group: int
    previous_length: int
    journal_id: bytes


class SegmentContent(NamedTuple):
    """What a segment holds: the records of its groups, in order; where they end; and the number of the next group."""

    records: list[bytes]
    end: int
    next_group: int


def write_header(header: SegmentHeader) -> bytes:
    """Encode the header of a segment."""
    head = _SEGMENT.pack(
        _SEGMENT_MAGIC, FORMAT, header.number, header.first_group, header.previous_length, header.journal_id, 0
    )[: -_LENGTH.size]
    return head + _LENGTH.pack(crc32(head))


def read_header(content: bytes, path: str) -> SegmentHeader | None:
    """Decode the header of a segment; `None` if it is incomplete or damaged.

    Raises:
        JournalError: if a newer version wrote it.
    """
    if len(content) < _SEGMENT.size:
        return None
    magic, version, number, first_group, previous, journal_id, checksum = _SEGMENT.unpack_from(content)
    if magic != _SEGMENT_MAGIC or checksum != crc32(content[: _SEGMENT.size - _LENGTH.size]):
        return None
    _expect_format(version, path)
    return SegmentHeader(number, first_group, previous, journal_id)


def write_group(header: SegmentHeader, number: int, records: bytes) -> bytes:
    """Encode a group; `records`: each with its length before it."""
    return _GROUP.pack(_GROUP_MAGIC, number, len(records), _checksum(header, number, records)) + records


def read_segment(content: bytes, header: SegmentHeader, path: str, length: int | None) -> SegmentContent:
    """Decode the groups of a segment.

    `length`: how much of it counts; `None` for the last segment, whose last group may be torn and is left out then.

    Raises:
        JournalError: if anything that was acknowledged is damaged.
    """
    records: list[bytes] = []
    place, number = SEGMENT_HEADER, header.first_group
    limit = len(content) if length is None else length
    while place < limit:
        end = _group_end(content, header, place, number)
        if end is None:
            break
        records += split_records(content[place + GROUP_HEADER : end])
        place, number = end, number + 1
    if length is not None and place != length:
        raise JournalError(path, f"is damaged at byte {place}: {length - place} bytes cannot be read")
    if length is None and _has_later_group(content, header, place, number):
        raise JournalError(path, f"is damaged at byte {place}: later records can be read")
    return SegmentContent(records, place, number)


def split_records(content: bytes) -> Iterator[bytes]:
    """Split the records of a group or a snapshot, whose checksum was verified."""
    place = 0
    while place < len(content):
        begin = place + RECORD_HEADER
        place = begin + _LENGTH.unpack_from(content, place)[0]
        yield content[begin:place]


def snapshot_parts(number: int, journal_id: bytes, records: Iterable[bytes]) -> Iterator[bytes]:
    """Encode a snapshot, piece by piece: the state before the segment with this number."""
    head = _SNAPSHOT.pack(_SNAPSHOT_MAGIC, FORMAT, number, journal_id)
    checksum, count = crc32(head), 0
    yield head
    for record in records:
        piece = _LENGTH.pack(len(record)) + record
        checksum, count = crc32(piece, checksum), count + 1
        yield piece
    end = _SNAPSHOT_END.pack(_NO_LENGTH, count, 0)[: -_LENGTH.size]
    yield end + _LENGTH.pack(crc32(end, checksum))


def read_snapshot(content: bytes, path: str) -> tuple[int, bytes, Iterator[bytes]]:
    """Decode a snapshot: its number, the journal's id, and its records.

    Raises:
        JournalError: if it is damaged: it was complete before it got its name.
    """
    damaged = JournalError(path, "is damaged")
    if len(content) < _SNAPSHOT.size + _SNAPSHOT_END.size:
        raise damaged
    magic, version, number, journal_id = _SNAPSHOT.unpack_from(content)
    end = len(content) - _SNAPSHOT_END.size
    mark, count, checksum = _SNAPSHOT_END.unpack_from(content, end)
    if magic != _SNAPSHOT_MAGIC or mark != _NO_LENGTH or checksum != crc32(memoryview(content)[: -_LENGTH.size]):
        raise damaged
    _expect_format(version, path)
    return number, journal_id, _counted(content[_SNAPSHOT.size : end], count, damaged)


def _counted(content: bytes, count: int, damaged: JournalError) -> Iterator[bytes]:
    found = 0
    for record in split_records(content):
        found += 1
        yield record
    if found != count:
        raise damaged


def _group_end(content: bytes, header: SegmentHeader, place: int, number: int) -> int | None:
    """Return where a group ends; `None` if there is none with this number."""
    begin = place + GROUP_HEADER
    if begin > len(content):
        return None
    magic, found, length, checksum = _GROUP.unpack_from(content, place)
    end = begin + length
    if magic != _GROUP_MAGIC or found != number or end > len(content):
        return None
    return end if checksum == _checksum(header, number, content[begin:end]) else None


def _has_later_group(content: bytes, header: SegmentHeader, place: int, number: int) -> bool:
    """Return whether a valid group follows the one with this number, which cannot be read."""
    while (place := content.find(_GROUP_MAGIC, place)) >= 0 and place + GROUP_HEADER <= len(content):
        later = _GROUP.unpack_from(content, place)[1]
        if later > number and _group_end(content, header, place, later) is not None:
            return True
        place += 1
    return False


def _checksum(header: SegmentHeader, number: int, records: bytes) -> int:
    return crc32(records, crc32(_GROUP_SEED.pack(header.journal_id, header.number, number, len(records))))


def _expect_format(version: int, path: str) -> None:
    if version > FORMAT:
        raise JournalError(path, f"has format {version}; this version of Tiergate reads up to {FORMAT}")
