"""The rollback floor: a cursor before which no data becomes active again, even if the replica is lost.

It is written after the replica that it describes, and not at every position: it matters only if the replica, which has
the exact cursor, is lost. It has a checksum. If it is damaged, the replica beside it provides the floor: its own cursor
or, while it still catches up, the floor it was begun with. Only if both are lost does a sidecar begin like a new one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from tiergate.bundle import Cursor
from tiergate.errors import ReplicaError
from tiergate.process.atomic_files import replace_file
from tiergate.sidecar.replica.replica_folder import FLOOR_FILE

if TYPE_CHECKING:
    from pathlib import Path


class RollbackFloor(msgspec.Struct, frozen=True):
    """The store and the cursor that were active."""

    store: str
    cursor: Cursor


class _FloorFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A floor as it is written; `sha256`, in hex, of the JSON of the other fields. Earlier versions wrote none."""

    store: str
    cursor: Cursor
    sha256: str = ""


def read_floor(folder: Path) -> RollbackFloor | None:
    """Read the floor in a folder; none if there is none. Raises `ReplicaError` if it is damaged."""
    path = folder / FLOOR_FILE
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_FloorFile)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReplicaError(f"`{path}` cannot be read: {error}") from None
    floor = RollbackFloor(content.store, content.cursor)
    if content.sha256 and content.sha256 != _checksum(floor):
        raise ReplicaError(f"`{path}` is damaged: its checksum does not match")
    return floor


def write_floor(folder: Path, floor: RollbackFloor) -> None:
    """Write the floor, so that it survives a loss of power."""
    content = msgspec.json.encode(_FloorFile(floor.store, floor.cursor, _checksum(floor)))
    replace_file(folder / FLOOR_FILE, content)


def _checksum(floor: RollbackFloor) -> str:
    return hashlib.sha256(msgspec.json.encode(floor)).hexdigest()
