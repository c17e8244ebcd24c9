"""The files that file mode reads: when they changed, and where a change would show.

A *stamp* is what `stat` says of a file; equal stamps mean that a file was not touched, as far as `stat` can tell.
Folders count with the files in them that are not hidden.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MISSING: Final = -1
"""The size of a file that does not exist or cannot be looked at."""

_MOST_LINKS: Final = 40


class FileStamp(msgspec.Struct, frozen=True, array_like=True):
    """A file as `stat` sees it, links followed: its path as given, size, time of change in nanoseconds, and inode."""

    path: str
    size: int
    mtime_ns: int
    inode: int


class Sources(msgspec.Struct, frozen=True):
    """Where a catalog, the users' rules and the subjects stand. Paths are absolute."""

    catalog: tuple[str, ...]
    subjects: tuple[str, ...]
    rules: str | None = None

    @property
    def catalog_paths(self) -> tuple[Path, ...]:
        """Everything that a bundle is made of."""
        return tuple(Path(path) for path in (*self.catalog, *((self.rules,) if self.rules else ())))

    @property
    def subject_paths(self) -> tuple[Path, ...]:
        """Everything that a replica is made of, beside the catalog's index."""
        return tuple(Path(path) for path in self.subjects)


def stamp_files(paths: Iterable[Path]) -> tuple[FileStamp, ...]:
    """Stamp every file that `paths` name or, where they are folders, hold. What cannot be read is `MISSING`."""
    return tuple(stamp_of(file) for path in paths for file in files_of(path))


def files_of(path: Path) -> list[Path]:
    """The file that a path names, be it there or not, or the files in a folder that are not hidden, sorted."""
    try:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
    except OSError:
        inside = [path]
    return [file for file in inside if file == path or not (file.name.startswith(".") or file.is_dir())]


def stamp_of(path: Path) -> FileStamp:
    """Stamp one file."""
    try:
        found = path.stat()
    except OSError:
        return FileStamp(str(path), MISSING, 0, 0)
    return FileStamp(str(path), found.st_size, found.st_mtime_ns, found.st_ino)


class Watched(NamedTuple):
    """An entry of a folder in which a change would show; without a name, all of its entries."""

    folder: Path
    name: str | None


def entries_to_watch(paths: Iterable[Path]) -> frozenset[Watched]:
    """The entries of existing folders in which a change of `paths`, or of a link on the way to them, shows.

    A file is replaced by a rename in its folder, or by a link on its path being replaced in *its* folder: that is how
    Kubernetes updates a mounted ConfigMap (`catalog.yaml` is a link to `..data/catalog.yaml`, `..data` a link that is
    exchanged). Where something does not exist yet, its appearing in the nearest folder that does is awaited.
    """
    return frozenset(entry for path in paths for entry in _entries(Path(os.path.abspath(path))))  # noqa: PTH100 - links are followed one by one


def _entries(path: Path) -> Iterator[Watched]:
    """Walk from the root to `path` as the kernel does, naming each entry that decides where the walk goes."""
    here = Path(path.anchor)
    left = list(path.parts[1:])
    links = 0
    while left:
        part = left.pop(0)
        step = here / part
        try:
            target = step.readlink()
        except OSError:  # not a link, or not there
            if not step.exists():
                yield Watched(here, part)
                return
            here = here.parent if part == ".." else step
            continue
        yield Watched(here, part)
        links += 1
        if links > _MOST_LINKS:
            return
        if target.is_absolute():
            here = Path(target.anchor)
        left = [*(target.parts[1:] if target.is_absolute() else target.parts), *left]
    yield Watched(here, None) if here.is_dir() else Watched(here.parent, here.name)
