"""Files that survive a loss of power: synced to disk, and replaced whole by a rename."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_OWNER_ONLY = 0o600


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that its owner alone can read, and replace the previous one by a rename once it is on disk.

    Raises:
        OSError: the disk is full or fails; the previous file stays. `filename` names a file.
    """
    unfinished = path.with_name(f".{path.name}")
    try:
        with suppress(FileNotFoundError):
            unfinished.unlink()
        write_new_file(unfinished, content, _OWNER_ONLY)
        unfinished.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        error.filename = error.filename or str(path)
        raise


def write_new_file(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Create a file and sync it to disk. `mode`: its permissions, less the umask.

    Raises:
        FileExistsError: something has this name.
        OSError: the disk is full or fails.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def sync_file(path: Path) -> None:
    """Sync a file that is complete to disk.

    Raises:
        OSError: there is no such file, or the disk fails.
    """
    _sync(path, os.O_RDWR)


def sync_directory(path: Path) -> None:
    """Sync the names in a directory to disk, as after a rename.

    Raises:
        OSError: there is no such directory, or the disk fails.
    """
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
