"""The files of a publication of file mode, opened: its bundle, its replica, and the engine that decides by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.bundle import MANIFEST, Bundle
from tiergate.errors import BundleError, ReplicaError, UnreadableError
from tiergate.sidecar.replica.reader import Replica

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.engine import CheckDecider, EngineOptions


class MonitoredBundle(Bundle):
    """A bundle that notes whether a file of it is damaged, or cannot be read from the disk."""

    damaged = False

    def content(self, path: str) -> bytes:
        """Read a file."""
        try:
            return super().content(path)
        except BundleError as error:
            self.damaged = self.damaged or not (isinstance(error, UnreadableError) and error.transient)
            raise


class ActiveFiles:
    """The files of one publication, opened, and their engine."""

    def __init__(self, bundle: Path, replica: Path, revision: str, publication: int, options: EngineOptions) -> None:
        """Open the bundle in a folder, which must have this revision, and a replica.

        Raises `BundleError` or `ReplicaError` if one of them cannot be used.
        """
        self.paths = (bundle, replica)
        self.bundle = MonitoredBundle.open(bundle)
        if self.bundle.revision != revision:
            raise BundleError(MANIFEST, f"is that of `{self.bundle.revision}`, not of `{revision}`")
        self.replica = Replica(replica)
        self.engine: CheckDecider = options.build(self.bundle, self.replica, publication)

    def check_size(self, size: int) -> None:
        """Check the size of the replica, in bytes; raises `ReplicaError` if it is another one."""
        path = self.paths[1]
        if path.stat().st_size != size:
            raise ReplicaError(f"replica `{path}` does not have `{size}` bytes")

    @property
    def damaged(self) -> bool:
        """Whether a file turned out to be damaged."""
        return self.bundle.damaged or self.replica.damaged

    def reset_damage(self) -> None:
        """Forget the damage, because everything on disk was verified since."""
        self.bundle.damaged = self.replica.damaged = False
