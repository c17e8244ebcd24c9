"""The manifest of a bundle: every file with its hash and size, and the revision, which is computed from them.

Pure functions on bytes. Equal files make equal manifests, so a revision has exactly one manifest; a manifest that is
not in canonical form is rejected. `directory` reads and writes directories.

What is wrong is a `BundleError`.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import msgspec

from tiergate import naming
from tiergate.errors import BundleError
from tiergate.model.canonical_json import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 2
"""The bundle format that this version writes, unless the rules need the next one."""

STATUS_FORMAT = 3
"""The format of a bundle with rules that may read `context.status`, which earlier versions do not have (ADR 92)."""

READABLE_FORMATS = (1, FORMAT, STATUS_FORMAT)
"""The formats that this version reads. Bundles of format 1 decide metered usage by hard limits only (ADR 70)."""

MANIFEST = "manifest.json"
"""The only file of a bundle that the manifest does not list."""

_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*(?:/[A-Za-z0-9][A-Za-z0-9._@-]*)*")


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the bundle: the SHA-256 of its bytes, in lower-case hex, and its size."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The files by path, and their revision."""

    format: int
    files: dict[str, FileEntry]
    revision: str


class _Head(msgspec.Struct):
    format: int


def check_path(path: str) -> None:
    """Reject a path that leads out of the bundle, is hidden, or could mean another file on another machine."""
    if _PATH.fullmatch(path) is None or path == MANIFEST:
        raise BundleError(path, "is not a path that a bundle may have")


def entry_of(content: bytes) -> FileEntry:
    """Return the entry of a file with this content."""
    return FileEntry(hashlib.sha256(content).hexdigest(), len(content))


def manifest_of(files: Mapping[str, bytes], known: Mapping[str, FileEntry] | None = None) -> Manifest:
    """Return the manifest of a bundle; `files` are all of its files except the manifest.

    `known`: the entries of some of the files, to reuse.
    """
    known = {} if known is None else known
    for path in files:
        check_path(path)
    entries = {path: known.get(path) or entry_of(files[path]) for path in sorted(files)}
    form = STATUS_FORMAT if any(map(_may_read_status, files.items())) else FORMAT
    return Manifest(form, entries, _revision(form, entries))


def _may_read_status(file: tuple[str, bytes]) -> bool:
    """Return whether a file has rules that read the status: their text has the name, or may have it with escapes."""
    path, content = file
    return path.startswith("policies/rules/") and (b"status" in content or b"\\u{" in content)


def encode_manifest(manifest: Manifest) -> bytes:
    """Return a manifest in canonical form."""
    return canonical_json(manifest)


def decode_manifest(content: bytes) -> Manifest:
    """Read a manifest, and verify its format, its paths, its revision and its canonical form."""
    try:
        format_number = msgspec.json.decode(content, type=_Head).format
        if format_number not in READABLE_FORMATS:
            raise BundleError(
                MANIFEST,
                f"has format `{format_number}`; this version of Tiergate reads formats up to `{STATUS_FORMAT}`",
            )
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(MANIFEST, f"is not a manifest: {error}") from None
    for path in manifest.files:
        check_path(path)
    if manifest.revision != _revision(manifest.format, manifest.files):
        raise BundleError(MANIFEST, "its revision is not that of the files which it lists")
    if encode_manifest(manifest) != content:
        raise BundleError(MANIFEST, "is not in canonical form")
    return manifest


def _revision(form: int, files: Mapping[str, FileEntry]) -> str:
    return naming.revision(canonical_json({"format": form, "files": files}))
