"""Waiting until something changes that a run of tests was made of: its test files and all that these name.

Reports of the system make it quick. They are not relied upon for files that were read: those are looked at now and
then as well, since network file systems report nothing. New files are looked for once, when reports have begun to come;
from then on they are noticed by reports alone.

Leaves to others: reading and running (`runner`), telling (`reporters`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import watchfiles

if TYPE_CHECKING:
    from collections.abc import Iterable

INPUT_SUFFIXES: Final = (".yaml", ".yml", ".json", ".ndjson", ".cedar", ".cedarschema")
"""The endings of files that a run can be made of."""

_LOOK_MS: Final = 1000
_STEP_MS: Final = 50
_DEBOUNCE_MS: Final = 400

FileStamp = tuple[int, int, int]
"""A file as `stat` sees it: its time of change in nanoseconds, its size, its inode."""


def file_stamps(paths: Iterable[Path]) -> dict[str, FileStamp | None]:
    """The stamps of files, and of all inputs in folders and below them that are not hidden; none: it is not there."""
    return {file: _stamp(file) for path in paths for file in _files(Path(os.path.realpath(path)))}


class FileWatch:
    """What is watched, and how it was before the run: made before the files are read, so that nothing is missed."""

    def __init__(self, paths: Iterable[Path], outputs: Iterable[Path] = ()) -> None:
        """Look at everything below `paths`, files and folders; `outputs` are written by the run, and do not count."""
        self._outputs = frozenset(os.path.realpath(path) for path in outputs)
        self._paths: list[Path] = []
        self._roots: set[str] = set()
        self._stamps: dict[str, FileStamp | None] = {}
        self._add(paths)

    def include(self, paths: Iterable[Path]) -> None:
        """Look at these files and folders too, which the run has turned out to read."""
        self._add(paths)

    def wait(self) -> frozenset[str]:
        """Wait for a change, and give the files that it was in. An interrupt ends it, and is raised."""
        changed = self._look() | self._new()
        if changed:
            return changed
        has_begun = False
        folders = sorted({path if Path(path).is_dir() else str(Path(path).parent) for path in self._roots})
        for changes in watchfiles.watch(
            *(folder for folder in folders if Path(folder).is_dir()),
            watch_filter=self._matters,
            step=_STEP_MS,
            debounce=_DEBOUNCE_MS,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=True,
            ignore_permission_denied=True,
        ):
            changed = (
                frozenset(path for _, path in changes) | self._look() | (frozenset() if has_begun else self._new())
            )
            if changed:
                return changed
            has_begun = True
        raise KeyboardInterrupt  # the system's reports ended, which they do at an interrupt only

    def _add(self, paths: Iterable[Path]) -> None:
        named = list(paths)
        self._paths += named
        self._roots |= {os.path.realpath(path) for path in named}
        found = file_stamps(named)
        self._stamps = {file: stamp for file, stamp in found.items() if file not in self._outputs} | self._stamps

    def _look(self) -> frozenset[str]:
        """The files that were there before the run and are others now."""
        return frozenset(file for file, stamp in self._stamps.items() if _stamp(file) != stamp)

    def _new(self) -> frozenset[str]:
        """The files that have come since the run began."""
        return frozenset(file_stamps(self._paths).keys() - self._stamps.keys() - self._outputs)

    def _matters(self, _: watchfiles.Change, path: str) -> bool:
        if not path.endswith(INPUT_SUFFIXES) or os.path.realpath(path) in self._outputs:
            return False
        return any(path == root or _is_below(path, root) for root in self._roots)


def _files(root: Path) -> Iterable[str]:
    """The files that count in a folder and below it, hidden ones left out; a file is itself."""
    if not root.is_dir():
        return [str(root)]
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            str(Path(folder, name)) for name in names if name.endswith(INPUT_SUFFIXES) and not name.startswith(".")
        ]
    return found


def _is_below(path: str, root: str) -> bool:
    inside = os.path.relpath(path, root)
    return not inside.startswith("..") and not any(part.startswith(".") for part in Path(inside).parts)


def _stamp(file: str) -> FileStamp | None:
    try:
        result = Path(file).stat()
    except OSError:
        return None
    return result.st_mtime_ns, result.st_size, result.st_ino
