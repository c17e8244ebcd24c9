"""A temporary folder in the place of a data folder that cannot be written: with the same good state, as far as it goes.

A volume turns read-only after an I/O error of its disk, which is exactly when a start must work from what is on it.
What is immutable there is linked; what a writer needs to itself, the replica that follows a feed, is copied.
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
"""Errors of a folder that does not take anything any more, full ones apart: those are full for a while."""

_PROBE: Final = ".writable"

_log = structlog.get_logger(__name__)


def write_error(folder: Path) -> OSError | None:
    """Why nothing can be written to a folder; none where something can, be it that the disk is full."""
    probe = folder / _PROBE
    try:
        probe.unlink(missing_ok=True)
        write_new_file(probe, b"1")
        probe.unlink()
    except OSError as error:
        return error if error.errno in READ_ONLY else None
    return None


def copy_to_temporary(folder: Path) -> Path:
    """Make a temporary folder with what a data folder holds.

    Raises:
        OSError: there is no place for one.
    """
    made = Path(tempfile.mkdtemp(prefix="tiergate-"))
    with suppress(OSError):
        shutil.copyfile(folder / "state.json", made / "state.json")
    for name in ("bundles", "subjects"):
        (made / name).mkdir(mode=0o700)
        for path in _inside(folder / name):
            if not path.name.startswith("."):
                (made / name / path.name).symlink_to(path)
    _copy_replica(folder / "sync", made / "sync")
    return made


def _copy_replica(source: Path, target: Path) -> None:
    """Copy the newest replica of a feed with its log, and the floor. What does not fit is fetched from the store."""
    found = [path for path in _inside(source) if path.suffix == ".sqlite" and path.stem.isdigit()]
    target.mkdir(mode=0o700)
    with suppress(OSError):
        shutil.copyfile(source / "floor.json", target / "floor.json")
    if not found:
        return
    newest = max(found, key=lambda path: int(path.stem))
    copies: list[Path] = []
    try:
        for name in (f"{newest.name}-wal", newest.name):  # the one that gives it its name comes last
            if (source / name).exists():
                copies.append(target / name)
                shutil.copyfile(source / name, target / name)
                (target / name).chmod(0o600)
    except OSError as error:
        _log.error("cannot copy the replica to the temporary data folder", error=f"{error.filename}: {error.strerror}")
        for copy in copies:
            copy.unlink(missing_ok=True)


def _inside(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return ()
