"""Bundles: the compiler's output as canonical files under a manifest, whose hash is the revision.

And their transport: keys, signed statements, archives, pages of snapshots, and `TrustedFeed`, which verifies what comes
in. Keys are imported on first use: their cryptography takes 7 MB, which file mode does not need.
"""

from typing import TYPE_CHECKING

from tiergate.bundle.archive import MAX_ARCHIVE_BYTES, ArchiveContent, read_archive, write_archive
from tiergate.bundle.bundle import Bundle
from tiergate.bundle.directory import check_content, write_bundle
from tiergate.bundle.manifest import (
    FORMAT,
    MANIFEST,
    FileEntry,
    Manifest,
    decode_manifest,
    encode_manifest,
    manifest_of,
)
from tiergate.bundle.signed_statements import (
    Head,
    PageEntry,
    Publication,
    SnapshotManifest,
    SubjectStatement,
    UnreadableStatement,
    decode_snapshot_manifest,
    encode_snapshot_manifest,
    sign_statement,
)
from tiergate.bundle.snapshot_pages import compress_snapshot_page, read_snapshot_page
from tiergate.bundle.trusted_feed import Cursor, FeedStep, TrustedFeed, VerifiedPage, VerifiedSnapshot

if TYPE_CHECKING:
    from tiergate.bundle.signing_keys import SigningKey, VerifyKey

__all__ = [
    "FORMAT",
    "MANIFEST",
    "MAX_ARCHIVE_BYTES",
    "ArchiveContent",
    "Bundle",
    "Cursor",
    "FeedStep",
    "FileEntry",
    "Head",
    "Manifest",
    "PageEntry",
    "Publication",
    "SigningKey",
    "SnapshotManifest",
    "SubjectStatement",
    "TrustedFeed",
    "UnreadableStatement",
    "VerifiedPage",
    "VerifiedSnapshot",
    "VerifyKey",
    "check_content",
    "compress_snapshot_page",
    "decode_manifest",
    "decode_snapshot_manifest",
    "encode_manifest",
    "encode_snapshot_manifest",
    "manifest_of",
    "read_archive",
    "read_snapshot_page",
    "sign_statement",
    "write_archive",
    "write_bundle",
]


def __getattr__(name: str) -> object:
    if name not in {"SigningKey", "VerifyKey"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tiergate.bundle import signing_keys  # noqa: PLC0415

    return getattr(signing_keys, name)
