"""The pages of a snapshot: gzip of one record a line, by customer id, named by the hash of their bytes.

Nothing of a page is unpacked before its size and hash agree with the manifest, and then only so much of it as a page
may hold. The order of customers across pages is left to whoever puts them together.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.bundle.signed_statements import PageEntry
from tiergate.errors import RejectionReason, TrustError
from tiergate.feed.unreadable_records import UnreadableRecord, describe_unreadable
from tiergate.model import SubjectRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PAGE_BYTES: Final = 64 * 1024**2
"""Most bytes of a page, packed."""

_MAX_UNPACKED_BYTES: Final = 512 * 1024**2
_LEVEL: Final = 6

_encode_lines = msgspec.json.Encoder().encode_lines
_decode = msgspec.json.Decoder(SubjectRecord).decode


def write_snapshot_page(records: Iterable[SubjectRecord]) -> tuple[bytes, PageEntry]:
    """Pack records, which are in the order of their customers' ids, and describe the page. Equal records, equal bytes.

    Raises:
        ValueError: the page is too large.
    """
    held = list(records)
    return compress_snapshot_page(_encode_lines(held), len(held))


def compress_snapshot_page(lines: bytes, count: int) -> tuple[bytes, PageEntry]:
    """As `write_snapshot_page`, of `count` records that are lines of JSON already, each with its newline.

    Raises:
        ValueError: the page is too large.
    """
    content = gzip.compress(lines, _LEVEL, mtime=0)
    if len(content) > MAX_PAGE_BYTES or len(lines) > _MAX_UNPACKED_BYTES:
        raise ValueError(f"a page of a snapshot has at most {MAX_PAGE_BYTES} bytes, not {len(content)}")
    return content, PageEntry(hashlib.sha256(content).hexdigest(), len(content), count)


def read_snapshot_page(content: bytes, entry: PageEntry) -> list[SubjectRecord | UnreadableRecord]:
    """Unpack the page that a verified manifest lists. A record that cannot be read is told as such.

    Raises:
        TrustError: these are not its bytes (`wrong_hash`), or they are `malformed` or `too_large`.
    """
    if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
        raise TrustError(RejectionReason.WRONG_HASH, f"page `{entry.sha256[:16]}` of a snapshot has other bytes")
    unpacking = zlib.decompressobj(wbits=31)
    try:
        lines = unpacking.decompress(content, _MAX_UNPACKED_BYTES)
        # One by one, so that another thread may run in between: a page takes long.
        records = [] if unpacking.unconsumed_tail else [_read(line) for line in lines.split(b"\n") if line]
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(RejectionReason.MALFORMED, f"page `{entry.sha256[:16]}` cannot be read: {error}") from None
    if unpacking.unconsumed_tail:
        raise TrustError(RejectionReason.TOO_LARGE, f"page `{entry.sha256[:16]}` unpacks to too many bytes")
    if not unpacking.eof or unpacking.unused_data or len(records) != entry.count:
        raise TrustError(RejectionReason.MALFORMED, f"page `{entry.sha256[:16]}` does not hold what the manifest says")
    return records


def _read(line: bytes) -> SubjectRecord | UnreadableRecord:
    try:
        record = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return describe_unreadable(line, error)
    if any(subscription.customer != record.customer.id for subscription in record.subscriptions):
        return describe_unreadable(line, "it mixes up customers", record.customer.id)
    return record
