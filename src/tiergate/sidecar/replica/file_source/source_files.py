"""The files that file mode reads: their stamps, and the folder entries to watch for changes.

A *stamp* is the result of `stat`. Equal stamps mean that a file was not changed, as far as `stat` shows. A folder
stands for the files in it that are not hidden.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tiergate.sidecar.replica.loaded_state import FileStamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MISSING: Final = -1
"""The size in the stamp of a file that does not exist or cannot be read."""

_MOST_LINKS: Final = 40


class Sources(msgspec.Struct, frozen=True):
    """The paths of a catalog, the users' rules and the subjects. Paths are absolute."""

    catalog: tuple[str, ...]
    subjects: tuple[str, ...]
    rules: str | None = None

    @property
    def catalog_paths(self) -> tuple[Path, ...]:
        """The files that a bundle is built of."""
        return tuple(Path(path) for path in (*self.catalog, *((self.rules,) if self.rules else ())))

    @property
    def subject_paths(self) -> tuple[Path, ...]:
        """The files that a replica is built of, besides the catalog's index."""
        return tuple(Path(path) for path in self.subjects)


def stamp_files(paths: Iterable[Path]) -> tuple[FileStamp, ...]:
    """Stamp every file in `paths` and in folders among them. A file that cannot be read is `MISSING`."""
    return tuple(stamp_of(file) for path in paths for file in files_of(path))


def files_of(path: Path) -> list[Path]:
    """Return the file at a path, even if it does not exist, or the files in a folder that are not hidden, sorted."""
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
    """An entry of a folder to watch; without a name, all of its entries."""

    folder: Path
    name: str | None


def entries_to_watch(paths: Iterable[Path]) -> frozenset[Watched]:
    """Return the entries of existing folders that change when one of `paths`, or a link on the way to it, changes.

    A file is replaced by a rename in its folder, or by a rename of a link on its path: Kubernetes updates a mounted
    ConfigMap so (`catalog.yaml` is a link to `..data/catalog.yaml`, and `..data` is a link that is replaced). If a part
    of a path does not exist, the entry is in the nearest folder that does.
    """
    return frozenset(entry for path in paths for entry in _entries(Path(os.path.abspath(path))))  # noqa: PTH100 - links are followed one by one


def _entries(path: Path) -> Iterator[Watched]:
    """Walk from the root to `path` like the kernel, and yield each entry that decides about the way."""
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
