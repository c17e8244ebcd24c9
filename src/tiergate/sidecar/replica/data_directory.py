"""The data directory of a sidecar, and its layout.

    lock                    locked by the sidecar that uses the directory
    state.json              file mode: the active publication (`loaded_state`)
    bundles/<revision>/     file mode: a bundle, named by the hex digits of its revision
    subjects/<n>.sqlite     file mode: a replica
    sync/<n>.sqlite         sync: a replica, with its bundle
    sync/floor.json         sync: the rollback floor
    scratch/                file mode: temporary files of a load
    usage/                  file mode: the usage that is counted here (`sidecar.usage.journal_files`); never swept
    usage-leases/           sync: unreported usage, and leases (`sidecar.usage.holder_files`); never swept

A directory that cannot be written is still read: a temporary directory with the same state replaces it, from the start
or from the moment when a write fails.

`state.json` is replaced by a rename after everything that it names is on disk. Everything else belongs to a failed load
or to a past publication, and is swept.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec
import structlog

from tiergate.errors import SettingsError
from tiergate.model.canonical_json import canonical_json
from tiergate.process.atomic_files import replace_file
from tiergate.sidecar.replica.loaded_state import FORMAT, LoadedState
from tiergate.sidecar.replica.read_only_fallback import copy_to_temporary, write_error
from tiergate.sidecar.replica.replica_folder import ReplicaFolder

if TYPE_CHECKING:
    from collections.abc import Collection

    from tiergate.sidecar.replica.loaded_state import ReplicaFile

_STATE: Final = "state.json"

_log = structlog.get_logger(__name__)


class DataDirectory:
    """An open data directory. Close it to let another sidecar use it; a temporary one is then removed.

    `named` is the configured directory, `root` the one in use: another one if that cannot be written.
    """

    def __init__(self, root: Path, *, temporary: bool = False) -> None:
        self.root = self.named = root
        self._temporary = temporary
        self._lock = -1

    @classmethod
    def open(cls, root: Path | None) -> Self:
        """Create and lock `root`, or a private temporary directory if there is none.

        An existing directory that cannot be written is read, and a temporary one takes new data. Raises `SettingsError`
        if the directory cannot be created, or another sidecar uses it.
        """
        if root is not None and root.is_dir() and (refusal := write_error(root)) is not None:
            return cls._open_read_only(root.absolute(), refusal)
        try:
            path = Path(tempfile.mkdtemp(prefix="tiergate-")) if root is None else root.absolute()
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory = cls(path, temporary=root is None)
            directory._make_folders()
            directory._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError("data", f"folder `{root}` cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(directory._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(directory._lock)
            raise SettingsError("data", f"folder `{root}` is in use by another sidecar") from error
        return directory

    @classmethod
    def _open_read_only(cls, root: Path, refusal: OSError) -> Self:
        """Lock a directory as far as possible, and continue in a temporary one."""
        directory = cls(root)
        try:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                directory._lock = os.open(root / "lock", os.O_RDONLY | os.O_CLOEXEC)
                fcntl.flock(directory._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(directory._lock)
            raise SettingsError("data", f"folder `{root}` is in use by another sidecar") from error
        try:
            directory._use_temporary(refusal)
        except OSError as error:
            directory.close()
            raise SettingsError("data", f"folder `{root}` cannot be used: {refusal.strerror}") from error
        return directory

    def use_temporary_if_read_only(self) -> bool:
        """Continue in a temporary directory if this one cannot be written any more; return whether that is so."""
        refusal = write_error(self.root)
        if refusal is None:
            return False
        try:
            self._use_temporary(refusal)
        except OSError as error:
            _log.error("cannot create a temporary data folder", error=str(error))
            return False
        return True

    def _use_temporary(self, refusal: OSError) -> None:
        before, self.root = self.root, copy_to_temporary(self.root)
        self._make_folders()
        self._temporary = True
        _log.error(
            "cannot write the data folder; using a temporary one, which is deleted at the end",
            folder=str(before),
            error=refusal.strerror,
            temporary=str(self.root),
        )

    def _make_folders(self) -> None:
        for folder in (self.bundles, self.subjects, self.scratch):
            folder.mkdir(mode=0o700, exist_ok=True)

    @property
    def bundles(self) -> Path:
        """The folder of the bundles of file mode."""
        return self.root / "bundles"

    @property
    def subjects(self) -> Path:
        """The folder of the replicas of file mode."""
        return self.root / "subjects"

    @property
    def sync(self) -> Path:
        """The folder of the replicas of sync."""
        return self.root / "sync"

    @property
    def scratch(self) -> Path:
        """The folder of temporary files, such as those that SQLite sorts in."""
        return self.root / "scratch"

    def bundle(self, revision: str) -> Path:
        """Return the path of a bundle."""
        return self.bundles / revision.removeprefix("sha256:")

    def replica(self, file: ReplicaFile) -> Path:
        """Return the path of a replica of file mode."""
        return self.subjects / file.name

    def paths(self, state: LoadedState) -> tuple[Path, Path]:
        """Return the paths of the bundle and the replica of a publication of file mode."""
        return self.bundle(state.revision), self.replica(state.replica)

    def read(self) -> LoadedState | None:
        """Return the last active publication of file mode, if it is recorded and readable."""
        try:
            state = msgspec.json.decode((self.root / _STATE).read_bytes(), type=LoadedState)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return state if state.format == FORMAT else None

    def write(self, state: LoadedState) -> None:
        """Record the active publication of file mode, so that it survives a loss of power."""
        replace_file(self.root / _STATE, canonical_json(state))

    def sweep(self, kept: Collection[Path]) -> None:
        """Delete all bundles, replicas and temporary files of file mode except these. Not while a load is running.

        Files that cannot be deleted stay until the next time.
        """
        ReplicaFolder(self.subjects).sweep(kept)
        for folder in (self.bundles, self.scratch):
            with contextlib.suppress(OSError):
                for path in folder.iterdir():
                    if path not in kept:
                        _remove(path)

    def describe(self, error: Exception) -> str:
        """Return the text of an error. A system error without a file gets this directory: all writes go here."""
        if isinstance(error, OSError) and error.strerror:
            return f"`{error.filename or self.root}`: {error.strerror.lower()}"
        return str(error)

    def close(self) -> None:
        """Release the directory; remove it if it is temporary."""
        if self._temporary:
            shutil.rmtree(self.root, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
