from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tiergate.errors import SettingsError
from tiergate.sidecar.replica.data_directory import DataDirectory
from tiergate.sidecar.replica.disk_health import DiskMonitor
from tiergate.sidecar.replica.loaded_state import FileStamp, LoadedFiles, LoadedState, ReplicaFile
from tiergate.sidecar.replica.replica_folder import ReplicaFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = LoadedFiles((FileStamp("/c.yaml", 1, 2, 3),), "digest", "maker")
STANDING = LoadedState(
    publication=7,
    published_at=1000,
    revision="sha256:" + "ab" * 32,
    index_digest="index",
    replica=ReplicaFile("4.sqlite", 10, "cd" * 32, 1, 2, 3, 4),
    catalog=FILES,
    subjects=FILES,
)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DataDirectory]:
    """An open data directory."""
    opened = DataDirectory.open(tmp_path / "data")
    yield opened
    opened.close()


def test_a_data_directory_is_made_for_its_owner_alone(directory: DataDirectory) -> None:
    """Who the customers are is nobody else's business."""
    assert stat.S_IMODE(directory.root.stat().st_mode) == 0o700


def test_two_sidecars_cannot_share_one(directory: DataDirectory) -> None:
    """Each would take the other's files away."""
    with pytest.raises(SettingsError, match="in use"):
        DataDirectory.open(directory.root)


def test_a_closed_one_can_be_opened_again(tmp_path: Path) -> None:
    """A restart finds what was kept."""
    first = DataDirectory.open(tmp_path)
    first.write(STANDING)
    first.close()
    second = DataDirectory.open(tmp_path)
    assert second.read() == STANDING
    second.close()


def test_one_that_cannot_be_made_is_a_setting_at_fault(tmp_path: Path) -> None:
    """The operator named it."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="setting `data`"):
        DataDirectory.open(tmp_path / "file" / "data")


def test_a_temporary_one_goes_with_its_process() -> None:
    """Nothing is left behind."""
    opened = DataDirectory.open(None)
    assert opened.root.is_dir()
    opened.close()
    assert not opened.root.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b"\xff"])
def test_an_unreadable_record_counts_as_none(directory: DataDirectory, content: bytes) -> None:
    """What was in force is then loaded anew."""
    (directory.root / "state.json").write_bytes(content)
    assert directory.read() is None


def test_the_record_of_another_format_counts_as_none(directory: DataDirectory) -> None:
    """A later version wrote it."""
    directory.write(replace(STANDING, format=99))
    assert directory.read() is None


def test_a_record_is_replaced_whole(directory: DataDirectory) -> None:
    """Nothing unfinished stays beside it."""
    directory.write(STANDING)
    directory.write(replace(STANDING, publication=8))
    found = directory.read()
    assert found is not None
    assert found.publication == 8
    assert [path.name for path in directory.root.iterdir() if path.is_file()].count("state.json") == 1
    assert not (directory.root / ".state.json").exists()


def test_bundles_are_named_by_revision_and_replicas_by_number(directory: DataDirectory) -> None:
    """One finds by hand what is in force."""
    assert directory.paths(STANDING) == (directory.root / "bundles" / ("ab" * 32), directory.root / "subjects/4.sqlite")


def test_replicas_are_numbered_on(directory: DataDirectory) -> None:
    """A new one never takes the place of one that may be open."""
    assert ReplicaFolder(directory.subjects).next().name == "1.sqlite"
    for name in ("2.sqlite", "10.sqlite", "other.sqlite"):
        (directory.subjects / name).touch()
    assert ReplicaFolder(directory.subjects).next().name == "11.sqlite"


def test_sweeping_removes_everything_else(directory: DataDirectory) -> None:
    """Past publications, and what a load that failed has left."""
    for name in ("kept", "past", ".torn.x"):
        (directory.bundles / name).mkdir()
        (directory.bundles / name / "manifest.json").touch()
    for name in ("1.sqlite", "2.sqlite", ".3.sqlite.part"):
        (directory.subjects / name).touch()
    (directory.scratch / "etilqs_x").touch()
    directory.write(STANDING)
    directory.sweep({directory.bundles / "kept", directory.subjects / "2.sqlite"})
    assert [path.name for path in directory.bundles.iterdir()] == ["kept"]
    assert [path.name for path in directory.subjects.iterdir()] == ["2.sqlite"]
    assert list(directory.scratch.iterdir()) == []
    assert directory.read() == STANDING


def test_a_data_watch_says_what_a_folder_holds(directory: DataDirectory) -> None:
    """In bytes on disk, and whether it can be written."""
    (directory.subjects / "1.sqlite").write_bytes(b"x" * 100_000)

    async def scenario() -> None:
        watch = DiskMonitor(directory, 2**30)
        running = asyncio.create_task(watch.run())
        while watch.report is None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
        running.cancel()
        assert watch.report.folder == directory.root
        assert 100_000 <= watch.report.used < 200_000
        assert watch.report.free > 0
        assert watch.report.writable
        assert watch.report.limit == 2**30
        assert watch.report.stand_in is None

    asyncio.run(scenario())
    assert {path.name for path in directory.root.iterdir()} == {"bundles", "lock", "scratch", "subjects"}
