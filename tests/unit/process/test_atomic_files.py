"""Tests of `tiergate.process.atomic_files`."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NoReturn

import pytest

from tiergate.process.atomic_files import replace_file, sync_directory, sync_file, write_new_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_replaced_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    """The new content is there, no scratch file is left, and nobody else can read it."""
    path = tmp_path / "state"
    path.write_bytes(b"before")
    (tmp_path / ".state").write_bytes(b"left by a process that was killed")
    replace_file(path, b"after")
    assert path.read_bytes() == b"after"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [it.name for it in tmp_path.iterdir()] == ["state"]


def test_a_full_disk_leaves_the_file_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that fails leaves the previous content, no scratch file, and an error that names a file."""

    def full(_: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "state"
    path.write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is asserted
        replace_file(path, b"after")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_bytes() == b"before"
    assert [it.name for it in tmp_path.iterdir()] == ["state"]


def test_a_new_file_replaces_nothing(tmp_path: Path) -> None:
    """A file that exists stays as it is."""
    path = tmp_path / "key"
    write_new_file(path, b"first", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_new_file(path, b"second", 0o600)
    assert path.read_bytes() == b"first"


def test_files_and_directories_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both functions sync the file or the directory that they are given."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    path = tmp_path / "data"
    path.write_bytes(b"x")
    sync_file(path)
    sync_directory(tmp_path)
    assert synced == [path.stat().st_ino, tmp_path.stat().st_ino]
