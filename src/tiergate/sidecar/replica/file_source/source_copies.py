"""Copying the files of file mode, as they are at one moment, before they are loaded.

A load takes long, and the files may be written all the time. So every file is opened, read once and copied, which takes
milliseconds, and the load works on the copies. Later changes are for the next load.

Promises:

- A copy is complete: it was read through one open file whose size, time of change and inode were the same before and
  after, for long enough that the clock's resolution shows a change. A file that is replaced by a rename is copied as
  the old or the new one. One that is rewritten in place during the copy is copied again; after some tries, none is.
- The copies belong together: at one instant each file was as it was copied. If files are replaced so fast that some
  tries find no such instant, each copy is complete, and no more is guaranteed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from msgspec.structs import replace

from tiergate.model import Problem
from tiergate.process.regular_files import open_regular
from tiergate.sidecar.replica.file_source.source_files import Sources, files_of, stamp_files, stamp_of
from tiergate.sidecar.replica.loaded_state import FileStamp

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from tiergate.errors import AuthorError

_TRIES: Final = 8
_SETTLED_NS: Final = 100_000_000
"""The least age of a file's last change for the next change to have another time."""

_CHUNK: Final = 1024 * 1024


class ChangedError(Exception):
    """A file was rewritten in place during every read."""


class _Copy(NamedTuple):
    """One copied file: the digest of its bytes in hex, or the problem that prevented reading it."""

    name: str
    stamp: FileStamp
    digest: str = ""
    problem: Problem | None = None


class CopiedFiles(NamedTuple):
    """The files of one kind: the paths of their copies, their stamps, and their names and digests."""

    paths: tuple[Path, ...]
    stamps: tuple[FileStamp, ...]
    digests: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...]

    def digest(self, error_type: type[AuthorError], *, salt: bytes) -> str:
        """Return the SHA-256, in hex, of the names and bytes of these files, and of `salt`."""
        if self.problems:
            raise error_type(self.problems)
        whole = hashlib.sha256(salt)
        for name, digest in self.digests:
            whole.update(b"%s\0%s\n" % (os.fsencode(name), digest.encode()))
        return whole.hexdigest()


class SourceCopies:
    """Copies of all files of some sources, in a folder that closing removes."""

    def __init__(self, sources: Sources, folder: Path) -> None:
        """Copy the files into `folder`, which is created.

        Raises:
            ChangedError: if a file was rewritten in place during every try.
            OSError: if the disk refuses.
        """
        self._folder = folder
        self._originals: dict[str, str] = {}
        self._done: dict[tuple[FileStamp, Path], str] = {}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            self.catalog, self.subjects = self._copy_sources(sources)
        except BaseException:
            self.close()
            raise
        self.rules = None if sources.rules is None else self.catalog.paths[-1]

    def map_problem(self, problem: Problem) -> Problem:
        """Return a problem in a copy as a problem in the original file."""
        file, message = problem.file, problem.message
        for copy, original in self._originals.items():
            if file == copy or file.startswith(f"{copy}/"):
                file = original + file.removeprefix(copy)
            message = message.replace(copy, original)
        return replace(problem, file=file, message=message)

    def close(self) -> None:
        """Remove the copies."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _copy_sources(self, sources: Sources) -> tuple[CopiedFiles, CopiedFiles]:
        groups = (sources.catalog_paths, sources.subject_paths)
        for attempt in range(_TRIES):
            copied = [self._copy_all(paths, str(place)) for place, paths in enumerate(groups)]
            if None in copied:
                continue
            catalog, subjects = (files for files in copied if files is not None)
            if attempt == _TRIES - 1 or stamp_files(groups[0] + groups[1]) == catalog.stamps + subjects.stamps:
                return catalog, subjects
        raise ChangedError

    def _copy_all(self, paths: Sequence[Path], group: str) -> CopiedFiles | None:
        """Copy the files of one kind; return none if one of them was written during that."""
        copies: list[_Copy] = []
        places: list[Path] = []
        whole: dict[str, Path] = {}
        for number, path in enumerate(paths):
            place = self._folder / group / str(number) / (path.name if path.name not in {"", ".."} else "folder")
            self._originals[str(place)] = str(path)
            places.append(place)
            is_folder = path.is_dir()
            files = files_of(path)
            _prepare(path, place, {file.name for file in files}, is_folder=is_folder)
            for file in files:
                to = place / file.name if is_folder else place
                same = whole.setdefault(os.path.realpath(file), to)
                if same != to:  # named twice: so is its copy
                    to.unlink(missing_ok=True)
                    to.symlink_to(same)
                copy = self._copy(file, to) if same == to else self._as(file, same)
                if copy is None:
                    return None
                copies.append(copy)
        return CopiedFiles(
            tuple(places),
            tuple(copy.stamp for copy in copies),
            tuple((copy.name, copy.digest) for copy in copies),
            tuple(copy.problem for copy in copies if copy.problem is not None),
        )

    def _as(self, file: Path, same: Path) -> _Copy:
        """Return the copy of a file that was copied under another name."""
        stamp = stamp_of(file)
        found = next((digest for (_, place), digest in self._done.items() if place == same), "")
        return _Copy(file.name, stamp, found)

    def _copy(self, file: Path, to: Path) -> _Copy | None:
        """Copy a file; return none if it was written during that."""
        try:
            descriptor = open_regular(file)
        except OSError as error:
            to.unlink(missing_ok=True)
            return _unreadable(file, error)
        with open(descriptor, "rb", buffering=0) as source:  # noqa: PTH123 - a descriptor, not a path
            stamp = _stamp(file, descriptor)
            known = self._done.get((stamp, to))
            if known is not None:
                return _Copy(file.name, stamp, known)
            if abs(time.time_ns() - stamp.mtime_ns) < _SETTLED_NS:
                time.sleep(_SETTLED_NS / 1e9)
                if _stamp(file, descriptor) != stamp:
                    return None
            digest = hashlib.sha256()
            with to.open("wb") as target:
                os.fchmod(target.fileno(), 0o600)
                while True:
                    try:
                        chunk = source.read(_CHUNK)
                    except OSError as error:
                        return _unreadable(file, error)
                    if not chunk:
                        break
                    digest.update(chunk)
                    _write(target.fileno(), chunk, to)
                size = os.fstat(target.fileno()).st_size
            if _stamp(file, descriptor) != stamp or size != stamp.size:
                return None
        found = digest.hexdigest()
        self._done = {key: value for key, value in self._done.items() if key[1] != to}
        self._done[stamp, to] = found
        return _Copy(file.name, stamp, found)


def _stamp(file: Path, descriptor: int) -> FileStamp:
    found = os.fstat(descriptor)
    return FileStamp(str(file), found.st_size, found.st_mtime_ns, found.st_ino)


def _unreadable(file: Path, error: OSError) -> _Copy:
    detail = f"the file cannot be read: {(error.strerror or str(error)).lower()}"
    return _Copy(file.name, stamp_of(file), problem=Problem(str(file), 0, 0, "unreadable-file", detail))


def _prepare(path: Path, place: Path, names: Collection[str], *, is_folder: bool) -> None:
    """Create the folder of a copy, without the copies from an earlier try of files that are gone.

    Folders in a folder are created empty, because readers report them.
    """
    if place.is_dir() != is_folder:
        shutil.rmtree(place, ignore_errors=True)
        place.unlink(missing_ok=True)
    (place if is_folder else place.parent).mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_folder:
        return
    for left in place.iterdir():
        if left.name not in names and not left.is_dir():
            left.unlink()
    with suppress(OSError):
        for inside in path.iterdir():
            if inside.is_dir() and not inside.name.startswith("."):
                (place / inside.name).mkdir(exist_ok=True)


def _write(descriptor: int, content: bytes, to: Path) -> None:
    left = memoryview(content)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError as error:
        error.filename = str(to.parent)
        raise
