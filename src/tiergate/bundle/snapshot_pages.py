"""The pages of a snapshot: one record a line, in the order of customer ids, compressed by gzip, named by their hash.

A page is decompressed only after its size and hash match the manifest, and only up to the limit of a page. The caller
checks the order of customers across pages.

Writing raises `ValueError` if a page is too large.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from typing import Final

import msgspec

from tiergate.bundle.signed_statements import PageEntry
from tiergate.errors import RejectionReason, TrustError
from tiergate.feed.unreadable_records import UnreadableRecord, describe_unreadable
from tiergate.model import SubjectRecord

MAX_PAGE_BYTES: Final = 64 * 1024**2
"""Most bytes of a compressed page."""

_MAX_DECOMPRESSED_BYTES: Final = 512 * 1024**2
_LEVEL: Final = 6

_decode = msgspec.json.Decoder(SubjectRecord).decode


def compress_snapshot_page(lines: bytes, count: int) -> tuple[bytes, PageEntry]:
    """Return the page of `count` records, lines of JSON in the order of customer ids, and its entry. Deterministic."""
    content = gzip.compress(lines, _LEVEL, mtime=0)
    if len(content) > MAX_PAGE_BYTES or len(lines) > _MAX_DECOMPRESSED_BYTES:
        raise ValueError(f"a page of a snapshot has at most {MAX_PAGE_BYTES} bytes, not {len(content)}")
    return content, PageEntry(hashlib.sha256(content).hexdigest(), len(content), count)


def read_snapshot_page(content: bytes, entry: PageEntry) -> list[SubjectRecord | UnreadableRecord]:
    """Read the page that a verified manifest lists. A record that cannot be read becomes an `UnreadableRecord`.

    Raises `TrustError` if the bytes do not match (`wrong_hash`), are `malformed` or `too_large`.
    """
    if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
        raise TrustError(RejectionReason.WRONG_HASH, f"page `{entry.sha256[:16]}` of a snapshot has the wrong hash")
    decompressor = zlib.decompressobj(wbits=31)
    try:
        lines = decompressor.decompress(content, _MAX_DECOMPRESSED_BYTES)
        # One by one, so that other threads can run in between: a page takes long.
        records = [] if decompressor.unconsumed_tail else [_read(line) for line in lines.split(b"\n") if line]
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(RejectionReason.MALFORMED, f"page `{entry.sha256[:16]}` cannot be read: {error}") from None
    if decompressor.unconsumed_tail:
        raise TrustError(RejectionReason.TOO_LARGE, f"page `{entry.sha256[:16]}` is too large after decompression")
    if not decompressor.eof or decompressor.unused_data or len(records) != entry.count:
        raise TrustError(RejectionReason.MALFORMED, f"page `{entry.sha256[:16]}` does not match the manifest")
    return records


def _read(line: bytes) -> SubjectRecord | UnreadableRecord:
    try:
        record = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return describe_unreadable(line, error)
    if any(subscription.customer != record.customer.id for subscription in record.subscriptions):
        return describe_unreadable(line, "a subscription belongs to another customer", record.customer.id)
    return record
