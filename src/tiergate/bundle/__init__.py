"""Bundles: the compiler's output as canonical files under a manifest, whose hash is the revision.

And what makes them travel: keys, signed statements, the chain of the change feed, packs, and `Trust`, which says what
of all that is believed. The keys are imported when first asked for: their cryptography takes 7 MB, and what decides by
files has no keys.
"""

from typing import TYPE_CHECKING

from tiergate.bundle.archive import MAX_PACK_BYTES, Pack, pack, unpack
from tiergate.bundle.bundle import CATALOG, DEFAULT_KEPT_ENTITLEMENTS, Bundle
from tiergate.bundle.directory import check_content, write
from tiergate.bundle.manifest import (
    FORMAT,
    MANIFEST,
    FileEntry,
    Manifest,
    decode_manifest,
    encode_manifest,
    manifest_of,
)
from tiergate.bundle.snapshots import MAX_PAGE_BYTES, pack_snapshot_page, read_snapshot_page, write_snapshot_page
from tiergate.bundle.statements import (
    STATEMENT_FORMAT,
    Head,
    PageEntry,
    Publication,
    SnapshotManifest,
    SubjectStatement,
    decode_snapshot_manifest,
    encode_snapshot_manifest,
    encode_statement,
    sign_statement,
)
from tiergate.bundle.trust import Cursor, Page, Snapshot, Step, Trust
from tiergate.bundle.unreadable_records import UnreadableRecord, UnreadableStatement
from tiergate.feed.chain import (
    FeedEntry,
    OtherChange,
    PublicationChange,
    RecordChange,
    SubjectChange,
    UnreadableChange,
    chain_start,
    extend,
    head_line,
    publication_line,
    read_line,
    subject_line,
)

if TYPE_CHECKING:
    from tiergate.bundle.signing_keys import SigningKey, VerifyKey

__all__ = [
    "CATALOG",
    "DEFAULT_KEPT_ENTITLEMENTS",
    "FORMAT",
    "MANIFEST",
    "MAX_PACK_BYTES",
    "MAX_PAGE_BYTES",
    "STATEMENT_FORMAT",
    "Bundle",
    "Cursor",
    "FeedEntry",
    "FileEntry",
    "Head",
    "Manifest",
    "OtherChange",
    "Pack",
    "Page",
    "PageEntry",
    "Publication",
    "PublicationChange",
    "RecordChange",
    "SigningKey",
    "Snapshot",
    "SnapshotManifest",
    "Step",
    "SubjectChange",
    "SubjectStatement",
    "Trust",
    "UnreadableChange",
    "UnreadableRecord",
    "UnreadableStatement",
    "VerifyKey",
    "chain_start",
    "check_content",
    "decode_manifest",
    "decode_snapshot_manifest",
    "encode_manifest",
    "encode_snapshot_manifest",
    "encode_statement",
    "extend",
    "head_line",
    "manifest_of",
    "pack",
    "pack_snapshot_page",
    "publication_line",
    "read_line",
    "read_snapshot_page",
    "sign_statement",
    "subject_line",
    "unpack",
    "write",
    "write_snapshot_page",
]


def __getattr__(name: str) -> object:
    """Give what is imported late.

    Raises:
        AttributeError: there is no such name.
    """
    if name not in {"SigningKey", "VerifyKey"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tiergate.bundle import signing_keys  # noqa: PLC0415

    return getattr(signing_keys, name)
