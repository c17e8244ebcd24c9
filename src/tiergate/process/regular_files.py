"""Opening files that somebody else names, without ever waiting for them.

A FIFO waits for a writer, and some devices for a hand; opening them would hold up whoever reads settings, keys and
catalogs. What is no regular file is refused, by a name that says what it is. A file on a file system that does not
answer can hold up whoever opens it all the same: that is for a thread that nobody waits for (`detached`).
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
        OSError: it cannot be opened, or is not a regular file; `strerror` says which, `filename` names it.
    """
    _expect_regular(path, os.stat(path).st_mode)  # noqa: PTH116 - before it is opened, which may do something to a device
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _expect_regular(path, os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_regular(path: Path, most: int) -> bytes:
    """Read at most `most` bytes of a regular file.

    Raises:
        OSError: as `open_regular`, or it cannot be read.
    """
    with open(open_regular(path), "rb") as file:
        return file.read(most)


def file_type_name(mode: int) -> str:
    """What a file that is not regular is, in words: `a FIFO`."""
    return next((kind for is_one, kind in _KINDS if is_one(mode)), "something else")


def _expect_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"it is {file_type_name(mode)}, not a file", str(path))
