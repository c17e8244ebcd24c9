"""The folder in which a sidecar keeps what it decides by, and the record of what was last in force.

    state.json              what is in force: publication, revision, replica, and the sources that they were made of
    bundles/<revision>/     a bundle, named by the hex digits of its revision
    subjects/<n>.sqlite     a replica, numbered in the order of their making
    lock                    held by the sidecar that uses the folder

A folder that cannot be written is read all the same: a temporary one stands in for it, with the same good state
(`aside`), from the start on or from when that turns out.

`state.json` is replaced by a rename once what it names is on disk, so that it always names something whole. Whatever
else lies here belongs to nobody: to a load that failed, or to a past publication.
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
from tiergate.model import Instant
from tiergate.model.canonical_json import canonical_json
from tiergate.process.atomic_files import replace_file
from tiergate.sidecar.replica.builder import ReplicaFile
from tiergate.sidecar.replica.file_source.source_files import FileStamp
from tiergate.sidecar.replica.read_only_fallback import copy_to_temporary, write_error

if TYPE_CHECKING:
    from collections.abc import Collection


FORMAT: Final = 1
"""The layout of `state.json`; another one is not read."""

_STATE: Final = "state.json"

_log = structlog.get_logger(__name__)


class LoadedFiles(msgspec.Struct, frozen=True):
    """Files that were loaded: their stamps when reading began, the digest of what was read, and who made of it what.

    `maker` is the digest of what Tiergate itself brings; `digest` depends on it too.
    """

    stamps: tuple[FileStamp, ...]
    digest: str
    maker: str


class LoadedState(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force, or is to be: a bundle and the replica that was validated against its index.

    `index_digest` is of that index. `published_at`: when this publication came into force.
    """

    format: int = FORMAT
    publication: int
    published_at: Instant
    revision: str
    index_digest: str
    replica: ReplicaFile
    catalog: LoadedFiles
    subjects: LoadedFiles


class DataDirectory:
    """An open data directory. Close it to let another sidecar use it; a temporary one is then removed.

    `named` is the folder that was asked for, `root` the one that is used: another one where that cannot be written.
    """

    def __init__(self, root: Path, *, temporary: bool = False) -> None:
        """Use `open` instead."""
        self.root = self.named = root
        self._temporary = temporary
        self._lock = -1

    @classmethod
    def open(cls, root: Path | None) -> Self:
        """Make and lock `root`, or a private temporary folder where none is given.

        One that is there and cannot be written is read; what is new goes to a temporary folder.

        Raises:
            SettingsError: the folder cannot be made, or another sidecar uses it.
        """
        temporary = root is None
        if root is not None and root.is_dir() and (refusal := write_error(root)) is not None:
            return cls._open_read_only(root.absolute(), refusal)
        try:
            path = Path(tempfile.mkdtemp(prefix="tiergate-")) if root is None else root.absolute()
            directory = cls(path, temporary=temporary)
            for folder in (path, directory.bundles, directory.subjects, directory.scratch):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        """Lock a folder as far as that can be done, and stand in for it.

        Raises:
            SettingsError: another sidecar uses it, or nothing else can be written either.
        """
        directory = cls(root)
        try:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                directory._lock = os.open(root / "lock", os.O_RDONLY | os.O_CLOEXEC)
                fcntl.flock(directory._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(directory._lock)
            raise SettingsError("data", f"folder `{root}` is in use by another sidecar") from error
        try:
            directory.stand_aside(refusal)
        except OSError as error:
            directory.close()
            raise SettingsError("data", f"folder `{root}` cannot be used: {refusal.strerror}") from error
        return directory

    def stand_aside_if_refused(self) -> bool:
        """Go on in a temporary folder where the present one cannot be written any more; say whether that is so."""
        refusal = write_error(self.root)
        if refusal is None:
            return False
        try:
            self.stand_aside(refusal)
        except OSError as error:
            _log.error("there is no place for a temporary folder", error=str(error))
            return False
        return True

    def stand_aside(self, refusal: OSError) -> None:
        """Go on in a temporary folder that has the same good state.

        Raises:
            OSError: there is no place for one.
        """
        before, self.root = self.root, copy_to_temporary(self.root)
        for folder in (self.bundles, self.subjects, self.scratch):
            folder.mkdir(mode=0o700, exist_ok=True)
        self._temporary = True
        _log.error(
            "the data folder cannot be written; going on in a temporary one, which is lost at the end",
            folder=str(before),
            error=refusal.strerror,
            temporary=str(self.root),
        )

    @property
    def bundles(self) -> Path:
        """The folder of the bundles."""
        return self.root / "bundles"

    @property
    def subjects(self) -> Path:
        """The folder of the replicas."""
        return self.root / "subjects"

    @property
    def scratch(self) -> Path:
        """A folder for what SQLite sorts on disk."""
        return self.root / "scratch"

    def bundle(self, revision: str) -> Path:
        """Where the bundle of a revision stands."""
        return self.bundles / revision.removeprefix("sha256:")

    def replica(self, file: ReplicaFile) -> Path:
        """Where a replica stands."""
        return self.subjects / file.name

    def paths(self, standing: LoadedState) -> tuple[Path, Path]:
        """Where the bundle and the replica of a publication stand."""
        return self.bundle(standing.revision), self.replica(standing.replica)

    def next_replica(self) -> Path:
        """A name that no replica has had as far as can be seen."""
        numbers = (int(path.stem) for path in self.subjects.glob("*.sqlite") if path.stem.isdigit())
        return self.subjects / f"{max(numbers, default=0) + 1}.sqlite"

    def read(self) -> LoadedState | None:
        """What was last in force, if that is on record and readable."""
        try:
            standing = msgspec.json.decode((self.root / _STATE).read_bytes(), type=LoadedState)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return standing if standing.format == FORMAT else None

    def write(self, standing: LoadedState) -> None:
        """Put on record what is in force, so that it survives a loss of power.

        Raises:
            OSError: the disk is full or otherwise refuses; the former record stays.
        """
        replace_file(self.root / _STATE, canonical_json(standing))

    def sweep(self, kept: Collection[Path]) -> None:
        """Remove all bundles and replicas, finished or not, but these. Not while a load writes here.

        What cannot be removed is left for the next time.
        """
        for folder in (self.bundles, self.subjects, self.scratch):
            with contextlib.suppress(OSError):
                for path in folder.iterdir():
                    if path not in kept:
                        _remove(path)

    def told(self, error: Exception) -> str:
        """An error in words. One of the system's that names no file names this folder: everything is written here."""
        if isinstance(error, OSError) and error.strerror:
            return f"`{error.filename or self.root}`: {error.strerror.lower()}"
        return str(error)

    def close(self) -> None:
        """Let go of the folder; remove it if it was a temporary one."""
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
