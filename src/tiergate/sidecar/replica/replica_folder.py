"""A folder of replicas, `<n>.sqlite`: `subjects` in file mode, `sync` in sync. The greatest number is the newest."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

FLOOR_FILE: Final = "floor.json"
"""A file beside the replicas of sync (`sync.rollback_floor`), which is never swept."""


class ReplicaFolder:
    """A folder of numbered replicas."""

    def __init__(self, path: Path) -> None:
        """Create the folder if it is missing."""
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def latest(self) -> Path | None:
        """Return the newest replica."""
        replicas = [path for path in self.path.glob("*.sqlite") if path.stem.isdigit()]
        return max(replicas, key=lambda path: int(path.stem), default=None)

    def next(self) -> Path:
        """Return a path that no replica has, and no log of a former replica: it must never belong to another one."""
        stems = (path.name.partition(".")[0] for path in self.path.iterdir())
        return self.path / f"{max((int(stem) for stem in stems if stem.isdigit()), default=0) + 1}.sqlite"

    def sweep(self, kept: Collection[Path]) -> None:
        """Delete every replica except these, finished or not. Files that cannot be deleted stay until the next time."""
        names = {FLOOR_FILE, *(path.name for path in kept)}
        with contextlib.suppress(OSError):
            for path in self.path.iterdir():
                if path.name.removesuffix("-wal").removesuffix("-shm") not in names:
                    path.unlink()
