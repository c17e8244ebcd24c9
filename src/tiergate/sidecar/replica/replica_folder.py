"""Where the replicas of sync lie in the data directory, and the record of how far anything was ever in force.

    sync/<n>.sqlite   a replica, whole from the moment that it has this name; the greatest number counts
    sync/floor.json   the store, and a cursor before which nothing is put in force again, though the replica be lost

The floor is written after what it tells of, and for positions alone not at each one: it matters only where the replica
that says it exactly is lost. It has a checksum. One that is damaged is none, and what the replica beside it proves is
the floor: its own cursor or, while it is still catching up, the floor that it was begun with. Only where both are lost
at once does a sidecar begin as a new one does.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.bundle import Cursor
from tiergate.errors import ReplicaError
from tiergate.process.atomic_files import replace_file

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_FLOOR: Final = "floor.json"


class RollbackFloor(msgspec.Struct, frozen=True):
    """What was in force: of this store, up to this cursor."""

    store: str
    cursor: Cursor


class _Checked(msgspec.Struct, frozen=True, omit_defaults=True):
    """A floor as it is written; `sha256`, in hex, of the JSON of the rest. Files of earlier versions have none."""

    store: str
    cursor: Cursor
    sha256: str = ""


class ReplicaFolder:
    """The folder `sync` of a data directory."""

    def __init__(self, root: Path) -> None:
        """Make it.

        Raises:
            OSError: it cannot be made.
        """
        self._path = root / "sync"
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def latest(self) -> Path | None:
        """The newest replica."""
        numbers = self._numbers()
        return self._path / f"{max(numbers)}.sqlite" if numbers else None

    def next(self) -> Path:
        """The name of the next one."""
        return self._path / f"{max(self._used(), default=0) + 1}.sqlite"

    def sweep(self, kept: Collection[Path]) -> None:
        """Remove every replica but these, finished or not. What cannot be removed is left for the next time."""
        names = {path.name for path in kept}
        with contextlib.suppress(OSError):
            for path in self._path.iterdir():
                base = path.name.removesuffix("-wal").removesuffix("-shm")
                if base not in names and path.name != _FLOOR:
                    path.unlink()

    def read_floor(self) -> RollbackFloor | None:
        """The floor, if there is one.

        Raises:
            ReplicaError: it is damaged, or cannot be read.
        """
        path = self._path / _FLOOR
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_Checked)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ReplicaError(f"`{path}` cannot be read: {error}") from None
        floor = RollbackFloor(found.store, found.cursor)
        if found.sha256 and found.sha256 != _checksum(floor):
            raise ReplicaError(f"`{path}` is damaged: its checksum is another one")
        return floor

    def write_floor(self, floor: RollbackFloor) -> None:
        """Put a floor on record, so that it survives a loss of power.

        Raises:
            OSError: the disk is full or otherwise refuses; the former one stays.
        """
        content = msgspec.json.encode(_Checked(floor.store, floor.cursor, _checksum(floor)))
        replace_file(self._path / _FLOOR, content)

    def _numbers(self) -> list[int]:
        return [int(path.stem) for path in self._path.glob("*.sqlite") if path.stem.isdigit()]

    def _used(self) -> list[int]:
        """Numbers of replicas, and of what one may have left behind: its log must never come to belong to another."""
        names = (path.name.partition(".")[0] for path in self._path.iterdir())
        return [int(name) for name in names if name.isdigit()]


def _checksum(floor: RollbackFloor) -> str:
    return hashlib.sha256(msgspec.json.encode(floor)).hexdigest()
