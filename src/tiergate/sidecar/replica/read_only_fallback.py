"""Replacing a data folder that cannot be written by a temporary one with the same state, as far as possible.

A volume becomes read-only after an I/O error of its disk, which is exactly when a start must work from its data.
Immutable data is linked; the replica of sync, which has a writer, is copied.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from tiergate.process.atomic_files import write_new_file

if TYPE_CHECKING:
    from collections.abc import Iterable

READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})
"""Errors of a folder that cannot be written any more. A full disk is not one: it is full for a while."""

_PROBE: Final = ".writable"

_log = structlog.get_logger(__name__)


def write_error(folder: Path) -> OSError | None:
    """Return why a folder cannot be written; none if it can, or if only the disk is full."""
    probe = folder / _PROBE
    try:
        probe.unlink(missing_ok=True)
        write_new_file(probe, b"1")
        probe.unlink()
    except OSError as error:
        return error if error.errno in READ_ONLY else None
    return None


def copy_to_temporary(folder: Path) -> Path:
    """Create a temporary folder with the content of a data folder."""
    target_folder = Path(tempfile.mkdtemp(prefix="tiergate-"))
    with suppress(OSError):
        shutil.copyfile(folder / "state.json", target_folder / "state.json")
    for name in ("bundles", "subjects"):
        (target_folder / name).mkdir(mode=0o700)
        for path in _list(folder / name):
            if not path.name.startswith("."):
                (target_folder / name / path.name).symlink_to(path)
    _copy_replica(folder / "sync", target_folder / "sync")
    return target_folder


def _copy_replica(source: Path, target: Path) -> None:
    """Copy the newest replica of sync with its log, and the floor. If it does not fit, the store has it."""
    found = [path for path in _list(source) if path.suffix == ".sqlite" and path.stem.isdigit()]
    target.mkdir(mode=0o700)
    with suppress(OSError):
        shutil.copyfile(source / "floor.json", target / "floor.json")
    if not found:
        return
    newest = max(found, key=lambda path: int(path.stem))
    copies: list[Path] = []
    try:
        for name in (f"{newest.name}-wal", newest.name):  # the replica comes last: without it, the log is ignored
            if (source / name).exists():
                copies.append(target / name)
                shutil.copyfile(source / name, target / name)
                (target / name).chmod(0o600)
    except OSError as error:
        _log.error("cannot copy the replica to the temporary data folder", error=f"{error.filename}: {error.strerror}")
        for copy in copies:
            copy.unlink(missing_ok=True)


def _list(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return ()
