"""A bundle as a directory: written completely or not at all, and verified when it is read.

A directory is written beside its place, synced, and renamed, so that a reader sees the old bundle or the new one. A
directory in place never changes: a reader that has it open keeps reading the same files.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tiergate.bundle.manifest import MANIFEST, FileEntry, encode_manifest, entry_of, manifest_of
from tiergate.errors import BundleError, UnreadableBundleError
from tiergate.process.atomic_files import sync_directory, write_new_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR})
"""System errors because of a lack of resources, which passes by itself."""

_NOT_AS_WRITTEN: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO})
"""Errors which mean that the file is missing, or is something else."""


def write_bundle(files: Mapping[str, bytes], directory: Path, *, like: Path | None = None) -> str:
    """Write a bundle and its manifest to `directory`, and return its revision.

    `files` are all files except the manifest, from the compiler. An existing bundle, or an empty directory, is replaced
    by two renames; between them there is none. Any other directory is rejected. Files are synced before the renames,
    and the parent directory after them. `like`: a bundle (by default `directory`) whose files are linked instead of
    written if their bytes are the same, so that a small change is a small write.

    Raises:
        BundleError: if a path is not allowed in a bundle, two paths are one file on this file system, or `directory`
            exists and is not a bundle.
        OSError: if the file system refuses.
    """
    manifest = manifest_of(files)
    directory = Path(os.path.abspath(directory))  # noqa: PTH100 - resolve() would follow a link to be replaced
    _check_replaceable(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        staged.chmod(0o755)
        _write_all({**files, MANIFEST: encode_manifest(manifest)}, staged, directory if like is None else like)
        _put_in_place(staged, directory)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return manifest.revision


def sizes(directory: Path) -> dict[str, int]:
    """List the regular files below `directory`: path with `/` → size in bytes."""
    found: dict[str, int] = {}
    try:
        for path, entry in _walk(directory):
            if not entry.is_file(follow_symlinks=False):
                raise BundleError(path, "is not a regular file")
            found[path] = entry.stat(follow_symlinks=False).st_size
    except OSError as error:
        if error.errno in PASSING:
            raise UnreadableBundleError(MANIFEST, (error.strerror or str(error)).lower(), transient=True) from None
        raise BundleError(MANIFEST, f"cannot list `{directory}`: {error.strerror}") from None
    return found


def read_file(directory: Path, path: str, expected: FileEntry | None = None) -> bytes:
    """Read one file of a bundle, and verify it against the manifest's entry if one is given.

    Raises:
        BundleError: if the file is missing, or does not match the manifest.
        UnreadableBundleError: if the system cannot read it now.
    """
    try:
        descriptor = os.open(directory / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BundleError(path, "is not a regular file")
            content = file.read() if expected is None else file.read(expected.size + 1)
    except FileNotFoundError:
        raise BundleError(path, f"is missing from `{directory}`") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if error.errno in _NOT_AS_WRITTEN:
            raise BundleError(path, f"cannot be read: {reason}") from None
        raise UnreadableBundleError(path, reason, transient=error.errno in PASSING) from None
    if expected is not None:
        check_content(path, content, expected)
    return content


def check_content(path: str, content: bytes, expected: FileEntry) -> None:
    """Verify the bytes of a file against the manifest's entry."""
    found = entry_of(content)
    if found.size != expected.size:
        raise BundleError(path, f"does not have the `{expected.size}` bytes that the manifest lists")
    if found.sha256 != expected.sha256:
        raise BundleError(path, "is not the file that the manifest lists: its hash differs")


def _walk(directory: Path, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{path}/")
            else:
                yield path, entry


def _check_replaceable(directory: Path) -> None:
    if not os.path.lexists(directory):
        return
    if directory.is_symlink() or not directory.is_dir():
        raise BundleError(str(directory), "exists and is not a directory")
    if not (directory / MANIFEST).is_file() and any(directory.iterdir()):
        raise BundleError(str(directory), "exists and is not a bundle")


def _write_all(files: Mapping[str, bytes], directory: Path, like: Path) -> None:
    folders = {directory}
    for path, content in files.items():
        place = directory / path
        if place.parent not in folders:
            place.parent.mkdir(parents=True, exist_ok=True)
            folders.update(folder for folder in place.parents if folder.is_relative_to(directory))
        try:
            if not _link_same(like / path, place, content):
                write_new_file(place, content)
        except FileExistsError:
            raise BundleError(path, "is the same file as another one of the bundle on this file system") from None
    for folder in sorted(folders, reverse=True):
        sync_directory(folder)


def _link_same(source: Path, place: Path, content: bytes) -> bool:
    """Link a file if it has exactly this content; return whether that was possible."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
            if os.fstat(descriptor).st_size != len(content) or file.read() != content:
                return False
        os.link(source, place)
    except FileExistsError:
        raise
    except OSError:  # no such file, or no links on this file system: write it
        return False
    return True


def _put_in_place(staged: Path, directory: Path) -> None:
    if directory.exists():
        retired = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        directory.rename(retired)
        try:
            staged.rename(directory)
        except OSError:
            retired.rename(directory)
            raise
        sync_directory(directory.parent)
        shutil.rmtree(retired, ignore_errors=True)
    else:
        staged.rename(directory)
        sync_directory(directory.parent)
