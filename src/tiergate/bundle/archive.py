"""A bundle on its way: a zip with the manifest and files, all of them or those that the receiver does not have.

Packing is deterministic. Unpacking believes nothing: the manifest must be the one of the revision that is asked for,
and then only what it lists is unpacked, each file to the size and hash that it lists, in memory. Nothing is ever
unpacked to a path.
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
"""Most bytes of a pack."""

_MAX_MANIFEST_BYTES: Final = 64 * 1024**2
_MAX_UNPACKED_BYTES: Final = 1024**3
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_MODE: Final = 0o100644 << 16
_ENCRYPTED: Final = 0x1
_LEVEL: Final = 6


class ArchiveContent(NamedTuple):
    """What came: the manifest of the whole bundle, and those files that were in the pack."""

    manifest: Manifest
    files: dict[str, bytes]


def write_archive(manifest: Manifest, files: Mapping[str, bytes], have: Manifest | None = None) -> bytes:
    """Pack a bundle: path → content of all its files, less those that the bundle `have` has with the same bytes.

    Of `files`, only those that go into the pack are looked up. Equal input makes equal bytes.

    Raises:
        BundleError: a file is missing, or is not the one that the manifest lists.
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
    """Unpack a pack of the bundle with this revision.

    Raises:
        BundleError: it is no pack, of another revision, or something in it is not what the manifest lists.
    """
    if len(content) > MAX_ARCHIVE_BYTES:
        raise BundleError(MANIFEST, f"a pack has at most {MAX_ARCHIVE_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _unpack(archive, revision)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, OSError) as error:
        raise BundleError(MANIFEST, f"is not in a readable pack: {error}") from None


def _unpack(archive: zipfile.ZipFile, revision: str) -> ArchiveContent:
    infos: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.filename in infos:
            raise BundleError(info.filename, "stands twice in the pack")
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(info.filename, "is packed in an unusual way")
        infos[info.filename] = info
    head = infos.pop(MANIFEST, None)
    if head is None:
        raise BundleError(MANIFEST, "is missing from the pack")
    if head.file_size > _MAX_MANIFEST_BYTES:
        raise BundleError(MANIFEST, f"has more than {_MAX_MANIFEST_BYTES} bytes")
    manifest = decode_manifest(_read(archive, head, head.file_size))
    if manifest.revision != revision:
        raise BundleError(MANIFEST, f"is that of `{manifest.revision}`, not of `{revision}`")
    if sum(entry.size for entry in manifest.files.values()) > _MAX_UNPACKED_BYTES:
        raise BundleError(MANIFEST, f"lists more than {_MAX_UNPACKED_BYTES} bytes")
    files: dict[str, bytes] = {}
    for path, info in infos.items():
        entry = manifest.files.get(path)
        if entry is None:  # also a path that leads elsewhere: a manifest that was read lists none
            raise BundleError(path, "is not listed in the manifest")
        unpacked = _read(archive, info, entry.size)
        check_content(path, unpacked, entry)
        files[path] = unpacked
    return ArchiveContent(manifest, files)


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> bytes:
    """Unpack one file, of `size` bytes and never more than one beyond."""
    with archive.open(info) as file:
        return file.read(size + 1)


def _info(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, _EPOCH)
    info.create_system = _UNIX
    info.external_attr = _MODE
    info.compress_type = zipfile.ZIP_DEFLATED
    return info
