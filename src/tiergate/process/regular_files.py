"""Open files that users name, without blocking.

Opening a FIFO waits for a writer, and some devices wait too; so only regular files are opened. A file system that hangs
still blocks: use `detached_threads` for it.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path) -> int:
    """Open a regular file for reading, links followed, and return its descriptor.

    Raises:
        OSError: it cannot be opened, or is not a regular file (`strerror`); `filename` is its path.
    """
    _expect_regular(path, os.stat(path).st_mode)  # noqa: PTH116 - before it is opened, which may do something to a device
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _expect_regular(path, os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Read at most `max_bytes` of a regular file.

    Raises:
        OSError: as `open_regular`, or it cannot be read.
    """
    with open(open_regular(path), "rb") as file:
        return file.read(max_bytes)


def file_type_name(mode: int) -> str:
    """Return the name of a type of file that is not regular, such as `a FIFO`."""
    return next((kind for has_type, kind in _KINDS if has_type(mode)), "something else")


def _expect_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"it is {file_type_name(mode)}, not a file", str(path))
