"""Archives of bundles: a zip with the manifest and all files, or only the files that the receiver does not have.

Writing is deterministic. Reading trusts nothing: the manifest must have the requested revision, and only files that it
lists are extracted, in memory, up to their listed size, and their hashes are verified. Nothing is extracted to a path.

Everything that does not match is a `BundleError`.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.bundle.directory import check_content
from tiergate.bundle.manifest import MANIFEST, Manifest, decode_manifest, encode_manifest
from tiergate.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ARCHIVE_BYTES: Final = 256 * 1024**2
"""Most bytes of an archive."""

_MAX_MANIFEST_BYTES: Final = 64 * 1024**2
_MAX_EXTRACTED_BYTES: Final = 1024**3
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_MODE: Final = 0o100644 << 16
_ENCRYPTED: Final = 0x1
_LEVEL: Final = 6


class ArchiveContent(NamedTuple):
    """The content of an archive: the manifest of the whole bundle, and the files in the archive."""

    manifest: Manifest
    files: dict[str, bytes]


def write_archive(manifest: Manifest, files: Mapping[str, bytes], have: Manifest | None = None) -> bytes:
    """Write a bundle (path → content), without the files that the bundle `have` has with the same bytes.

    Only files that go into the archive are looked up in `files`. Equal input makes equal bytes.
    """
    known = frozenset() if have is None else frozenset(entry.sha256 for entry in have.files.values())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        archive.writestr(_info(MANIFEST), encode_manifest(manifest))
        for path in sorted(manifest.files):
            entry = manifest.files[path]
            if entry.sha256 in known:
                continue
            if path not in files:
                raise BundleError(path, "is missing")
            content = files[path]
            check_content(path, content, entry)
            archive.writestr(_info(path), content)
    return buffer.getvalue()


def read_archive(content: bytes, revision: str) -> ArchiveContent:
    """Read an archive of the bundle with this revision."""
    if len(content) > MAX_ARCHIVE_BYTES:
        raise BundleError(MANIFEST, f"the archive has more than {MAX_ARCHIVE_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _extract(archive, revision)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, OSError) as error:
        raise BundleError(MANIFEST, f"is not in a readable archive: {error}") from None


def _extract(archive: zipfile.ZipFile, revision: str) -> ArchiveContent:
    infos: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.filename in infos:
            raise BundleError(info.filename, "is in the archive twice")
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(info.filename, "has an unsupported compression")
        infos[info.filename] = info
    head = infos.pop(MANIFEST, None)
    if head is None:
        raise BundleError(MANIFEST, "is missing from the archive")
    if head.file_size > _MAX_MANIFEST_BYTES:
        raise BundleError(MANIFEST, f"has more than {_MAX_MANIFEST_BYTES} bytes")
    manifest = decode_manifest(_read(archive, head, head.file_size))
    if manifest.revision != revision:
        raise BundleError(MANIFEST, f"is that of `{manifest.revision}`, not of `{revision}`")
    if sum(entry.size for entry in manifest.files.values()) > _MAX_EXTRACTED_BYTES:
        raise BundleError(MANIFEST, f"lists more than {_MAX_EXTRACTED_BYTES} bytes")
    files: dict[str, bytes] = {}
    for path, info in infos.items():
        entry = manifest.files.get(path)
        if entry is None:  # also a path out of the bundle: no valid manifest lists one
            raise BundleError(path, "is not listed in the manifest")
        extracted = _read(archive, info, entry.size)
        check_content(path, extracted, entry)
        files[path] = extracted
    return ArchiveContent(manifest, files)


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> bytes:
    """Extract one file: at most one byte more than `size`."""
    with archive.open(info) as file:
        return file.read(size + 1)


def _info(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, _EPOCH)
    info.create_system = _UNIX
    info.external_attr = _MODE
    info.compress_type = zipfile.ZIP_DEFLATED
    return info
