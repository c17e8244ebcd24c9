"""Wait until an input of a test run changes: its test files and all files that these name.

The system's notifications make it fast. Files that were read are also polled, since network file systems send no
notifications. New files are searched once, when notifications have started; then only notifications find them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import watchfiles

if TYPE_CHECKING:
    from collections.abc import Iterable

INPUT_SUFFIXES: Final = (".yaml", ".yml", ".json", ".ndjson", ".cedar", ".cedarschema")
"""The suffixes of files that a run can read."""

_LOOK_MS: Final = 1000
_STEP_MS: Final = 50
_DEBOUNCE_MS: Final = 400

FileStamp = tuple[int, int, int]
"""A file's `stat`: modification time in nanoseconds, size, inode."""


def file_stamps(paths: Iterable[Path]) -> dict[str, FileStamp | None]:
    """Return the stamps of files, and of all inputs below folders that are not hidden; `None`: no such file."""
    return {file: _stamp(file) for path in paths for file in _files(Path(os.path.realpath(path)))}


class FileWatch:
    """The watched files, with their state before the run: create it before reading, so that nothing is missed."""

    def __init__(self, paths: Iterable[Path], outputs: Iterable[Path] = ()) -> None:
        """Read the state of everything below `paths`; `outputs`, which the run writes, are ignored."""
        self._outputs = frozenset(os.path.realpath(path) for path in outputs)
        self._paths: list[Path] = []
        self._roots: set[str] = set()
        self._stamps: dict[str, FileStamp | None] = {}
        self._add(paths)

    def include(self, paths: Iterable[Path]) -> None:
        """Also watch these files and folders, which the run has read."""
        self._add(paths)

    def wait(self) -> frozenset[str]:
        """Wait for a change, and return the changed files. An interrupt ends it, and is raised."""
        changed = self._changed_files() | self._new_files()
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
                frozenset(path for _, path in changes)
                | self._changed_files()
                | (frozenset() if has_begun else self._new_files())
            )
            if changed:
                return changed
            has_begun = True
        raise KeyboardInterrupt  # the system's reports ended, which they do at an interrupt only

    def _add(self, paths: Iterable[Path]) -> None:
        named = list(paths)
        self._paths += named
        self._roots |= {os.path.realpath(path) for path in named}
        current = file_stamps(named)
        self._stamps = {file: stamp for file, stamp in current.items() if file not in self._outputs} | self._stamps

    def _changed_files(self) -> frozenset[str]:
        """Return the files that have changed since before the run."""
        return frozenset(file for file, stamp in self._stamps.items() if _stamp(file) != stamp)

    def _new_files(self) -> frozenset[str]:
        """Return the files created since the run started."""
        return frozenset(file_stamps(self._paths).keys() - self._stamps.keys() - self._outputs)

    def _matters(self, _: watchfiles.Change, path: str) -> bool:
        if not path.endswith(INPUT_SUFFIXES) or os.path.realpath(path) in self._outputs:
            return False
        return any(path == root or _is_below(path, root) for root in self._roots)


def _files(root: Path) -> Iterable[str]:
    """Return the inputs below a folder, without hidden ones; a file is itself."""
    if not root.is_dir():
        return [str(root)]
    files = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [
            str(Path(folder, name)) for name in names if name.endswith(INPUT_SUFFIXES) and not name.startswith(".")
        ]
    return files


def _is_below(path: str, root: str) -> bool:
    inside = os.path.relpath(path, root)
    return not inside.startswith("..") and not any(part.startswith(".") for part in Path(inside).parts)


def _stamp(file: str) -> FileStamp | None:
    try:
        result = Path(file).stat()
    except OSError:
        return None
    return result.st_mtime_ns, result.st_size, result.st_ino
