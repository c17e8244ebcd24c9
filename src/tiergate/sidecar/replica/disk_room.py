"""What a data folder may still take, so that a replica that would not fit is not built.

Kubernetes evicts the whole pod when a volume grows beyond its limit, the application included, and all sidecars hold
the same data. So a new replica ends with an error before that, and the present one continues to decide.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tiergate.errors import ReplicaError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import TypeVar

    T = TypeVar("T")

_BLOCK: Final = 512
_CHECKED_EVERY: Final = 5_000


class NoRoomError(ReplicaError):
    """A replica would not fit into the data folder."""


class DiskRoom:
    """How much one database in a folder may take; measured when it is made."""

    def __init__(self, folder: Path, limit: int | None) -> None:
        """Measure. `limit`: of the whole folder, in bytes; none for no limit."""
        self._folder, self._limit = folder, limit
        self._left = None if limit is None else limit - folder_size(folder)

    def check(self, connection: sqlite3.Connection) -> None:
        """Raise `NoRoomError` if a database, written or not, takes more than is left."""
        if self._left is None:
            return
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        if pages * size > self._left:
            detail = f"a new replica beside the present data would take `{self._folder}` beyond `data-limit`"
            raise NoRoomError(f"{detail}, {self._limit} bytes")

    def checked(self, rows: Iterable[T], connection: sqlite3.Connection) -> Iterator[T]:
        """Yield `rows`, and check now and then while they are written."""
        for number, row in enumerate(rows, 1):
            if number % _CHECKED_EVERY == 0:
                self.check(connection)
            yield row


def folder_size(folder: Path) -> int:
    """Return the size of a folder on disk, in bytes. Links are not followed; hard links count once."""
    total = 0
    seen: set[tuple[int, int]] = set()
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                found = os.lstat(os.path.join(where, name))  # noqa: PTH118 - thousands of them
                if (found.st_dev, found.st_ino) not in seen:
                    seen.add((found.st_dev, found.st_ino))
                    total += found.st_blocks * _BLOCK
    return total
