"""Bundles: the compiler's output as canonical files under a manifest, whose hash is the revision."""

from tiergate.bundle.contents import CATALOG, DEFAULT_KEPT_ENTITLEMENTS, Bundle
from tiergate.bundle.directory import write
from tiergate.bundle.manifest import FORMAT, MANIFEST, FileEntry, Manifest, decode_manifest, encode_manifest

__all__ = [
    "CATALOG",
    "DEFAULT_KEPT_ENTITLEMENTS",
    "FORMAT",
    "MANIFEST",
    "Bundle",
    "FileEntry",
    "Manifest",
    "decode_manifest",
    "encode_manifest",
    "write",
]
