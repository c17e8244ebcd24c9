"""Bundles: the compiler's output as canonical files under a manifest, whose hash is the revision.

And what makes them travel: keys, signed statements, the chain of the change feed, packs, and `Trust`, which says what
of all that is believed.
"""

from tiergate.bundle.chain import (
    FeedEntry,
    OtherChange,
    PublicationChange,
    SubjectChange,
    chain_start,
    extend,
    head_line,
    publication_line,
    read_line,
    subject_line,
)
from tiergate.bundle.contents import CATALOG, DEFAULT_KEPT_ENTITLEMENTS, Bundle
from tiergate.bundle.directory import check_content, write
from tiergate.bundle.keys import SigningKey, VerifyKey
from tiergate.bundle.manifest import (
    FORMAT,
    MANIFEST,
    FileEntry,
    Manifest,
    decode_manifest,
    encode_manifest,
    manifest_of,
)
from tiergate.bundle.pack import MAX_PACK_BYTES, Pack, pack, unpack
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
    "SigningKey",
    "Snapshot",
    "SnapshotManifest",
    "Step",
    "SubjectChange",
    "SubjectStatement",
    "Trust",
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
