"""Tests for the journal: what was acknowledged is read again, and what was not is not counted."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.event_loop import in_loop
from tiergate.errors import JournalError
from tiergate.sidecar.usage import journal_files
from tiergate.sidecar.usage.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path


def ignore(_: bytes) -> None:
    """Read nothing."""


def names(folder: Path) -> list[str]:
    """Return the names of the files of a journal, sorted."""
    return sorted(path.name for path in folder.iterdir())


def read(folder: Path) -> list[bytes]:
    """Return the records of a journal, without writing to it."""
    found: list[bytes] = []
    Journal.open(folder, found.append).close()
    return found


async def wait_for_snapshot(journal: Journal) -> None:
    """Wait until a snapshot that was begun has ended."""
    while journal._is_snapshotting:  # noqa: ASYNC110 - a thread ends it
        await asyncio.sleep(0.001)


@in_loop
async def test_records_are_read_in_their_order_over_restarts(tmp_path: Path) -> None:
    """A start reads what all starts before it wrote."""
    expected: list[bytes] = []
    for start in range(4):
        found: list[bytes] = []
        journal = Journal.open(tmp_path, found.append)
        assert found == expected
        journal.start()
        new = [b"%d-%d" % (start, number) for number in range(20)]
        await asyncio.gather(*(journal.commit(record) for record in new))
        expected += new
        journal.close()
    assert read(tmp_path) == expected


@in_loop
async def test_records_that_wait_share_a_group(tmp_path: Path) -> None:
    """One sync for all that arrive in one turn, and for all that arrive during it."""
    journal = Journal.open(tmp_path, ignore)
    journal.start()
    await asyncio.gather(*(journal.commit(b"x") for _ in range(100)))
    assert journal.counts.groups == 1
    journal.close()


@in_loop
async def test_callers_that_come_back_share_each_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two halves that took turns with a slow disk would have 20 groups."""
    sync = os.fdatasync

    def slow_sync(descriptor: int) -> None:
        time.sleep(0.03)
        sync(descriptor)

    monkeypatch.setattr("tiergate.sidecar.usage.journal_files.os.fdatasync", slow_sync)
    monkeypatch.setattr("tiergate.sidecar.usage.journal._GATHER_MOST", 1.0)
    journal = Journal.open(tmp_path, ignore)
    journal.start()

    async def caller() -> None:
        for _ in range(10):
            await journal.commit(b"x")

    first = [asyncio.create_task(caller()) for _ in range(4)]
    while journal._writing is None:  # noqa: ASYNC110 - until the first half is on its way to the disk
        await asyncio.sleep(0)
    await asyncio.gather(*first, *(caller() for _ in range(4)))
    assert journal.counts.records == 80
    assert journal.counts.groups <= 15
    journal.close()


@in_loop
async def test_an_acknowledged_record_survives_without_an_end(tmp_path: Path) -> None:
    """Nothing depends on an orderly end of the process."""
    journal = Journal.open(tmp_path / "journal", ignore)
    journal.start()
    for number in range(5):
        await journal.commit(b"%d" % number)
        shutil.copytree(tmp_path / "journal", tmp_path / f"crash{number}")
        assert read(tmp_path / f"crash{number}") == [b"%d" % it for it in range(number + 1)]
    journal.close()


@in_loop
async def test_the_last_segment_may_end_at_every_byte(tmp_path: Path) -> None:
    """A torn end is cut, and the journal goes on behind it."""
    journal = Journal.open(tmp_path / "journal", ignore)
    journal.start()
    lengths = []
    for number in range(3):
        await journal.commit(b"%d" % number * 9)
        lengths.append(journal._writer._end)
    journal.close()
    (path,) = (tmp_path / "journal").iterdir()
    content = path.read_bytes()
    for end in range(len(content)):
        folder = tmp_path / "torn"
        folder.mkdir()
        (folder / path.name).write_bytes(content[:end])
        whole = sum(length <= end for length in lengths)
        found: list[bytes] = []
        torn = Journal.open(folder, found.append)
        assert len(found) == whole
        if end % 5 == 0:
            torn.start()
            await torn.commit(b"next")
            torn.close()
            assert read(folder)[whole:] == [b"next"]
        shutil.rmtree(folder)


@in_loop
async def test_segments_follow_each_other(tmp_path: Path) -> None:
    """A journal is one sequence of records over its files."""
    journal = Journal.open(tmp_path, ignore, segment=1_000)
    journal.start()
    expected = [b"%04d" % number * 30 for number in range(60)]
    for record in expected:
        await journal.commit(record)
    journal.close()
    assert len(names(tmp_path)) > 5
    assert read(tmp_path) == expected


@in_loop
async def test_a_missing_segment_is_an_error(tmp_path: Path) -> None:
    """The records of the others are not read without it."""
    journal = Journal.open(tmp_path, ignore, segment=500)
    journal.start()
    for _ in range(10):
        await journal.commit(b"x" * 300)
    journal.close()
    (tmp_path / names(tmp_path)[1]).unlink()
    with pytest.raises(JournalError, match="is missing"):
        read(tmp_path)


class TestSnapshots:
    @in_loop
    async def test_a_snapshot_replaces_what_was_before(self, tmp_path: Path) -> None:
        """What was appended before it is in it, and what comes later follows it."""
        journal = Journal.open(tmp_path, ignore)
        journal.start()
        for number in range(10):
            await journal.commit(b"old%d" % number)
        pending = [asyncio.ensure_future(journal.commit(b"before"))]
        await asyncio.sleep(0)
        assert journal.begin_snapshot([b"state", b"of all"])
        pending.append(asyncio.ensure_future(journal.commit(b"after")))
        await asyncio.gather(*pending)
        await wait_for_snapshot(journal)
        await journal.commit(b"later")
        journal.close()
        assert read(tmp_path) == [b"state", b"of all", b"after", b"later"]
        assert [name.partition(".")[2] for name in names(tmp_path)] == ["journal", "snapshot"]

    @in_loop
    async def test_without_a_snapshot_the_segments_stay(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A snapshot that cannot be written changes nothing."""
        journal = Journal.open(tmp_path, ignore)
        journal.start()
        await journal.commit(b"one")
        monkeypatch.setattr(journal_files, "snapshot_parts", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        assert journal.begin_snapshot([b"state"])
        await journal.commit(b"two")
        await wait_for_snapshot(journal)
        journal.close()
        assert read(tmp_path) == [b"one", b"two"]

    @in_loop
    async def test_an_unfinished_snapshot_is_removed(self, tmp_path: Path) -> None:
        """It never got its name."""
        (tmp_path / ".00000003.snapshot").write_bytes(b"half")
        assert read(tmp_path) == []
        assert names(tmp_path) == []


class TestFailures:
    @in_loop
    async def test_a_full_budget_is_reported_and_nothing_is_written(self, tmp_path: Path) -> None:
        """The next record that fits is written."""
        journal = Journal.open(tmp_path, ignore, budget=600_000)
        journal.start()
        await journal.commit(b"first")
        with pytest.raises(JournalError) as failure:
            await journal.commit(b"x" * 600_000)
        assert failure.value.full
        assert journal.failed is failure.value
        await journal.commit(b"second")
        assert journal.pending == 0
        journal.close()
        assert read(tmp_path) == [b"first", b"second"]

    @in_loop
    async def test_all_that_wait_fail_newest_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever was appended behind a failed record fails too, so that changes can be taken back in order."""
        journal = Journal.open(tmp_path, ignore)
        journal.start()
        await journal.commit(b"kept")
        failed: list[int] = []
        finished = asyncio.Event()

        def broken(_: int) -> None:
            raise OSError(5, "Input/output error")

        def note(number: int, error: JournalError | None) -> None:
            if error is not None:
                failed.append(number)
            if number == 0:
                finished.set()

        monkeypatch.setattr(os, "fdatasync", broken)
        for number in range(3):
            journal.append(b"lost", functools.partial(note, number))
        await asyncio.sleep(0)
        journal.begin_snapshot([b"never"])
        journal.append(b"lost", lambda error: note(3, error))
        await finished.wait()
        assert failed == [3, 2, 1, 0]
        monkeypatch.undo()
        await journal.commit(b"after")
        journal.close()
        assert read(tmp_path) == [b"kept", b"after"]

    @in_loop
    async def test_a_segment_that_could_not_begin_loses_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A header that may have reached the disk ends the segment before it."""
        journal = Journal.open(tmp_path, ignore, segment=500)
        journal.start()
        await journal.commit(b"one")

        def broken(_: Path) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(journal_files, "sync_directory", broken)
        await journal.commit(b"x" * 600)  # on disk; only the next segment fails
        with pytest.raises(JournalError):
            await journal.commit(b"lost")
        monkeypatch.undo()
        await journal.commit(b"two")
        journal.close()
        assert read(tmp_path) == [b"one", b"x" * 600, b"two"]

    @in_loop
    async def test_random_failures_lose_and_add_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was acknowledged, in this order, is what a start reads, whenever the disk fails."""
        chance = random.Random(7)
        expected: list[bytes] = []
        pwrite, fdatasync = os.pwrite, os.fdatasync

        def fail_sometimes() -> None:
            if chance.random() < 0.07:
                raise OSError(chance.choice([5, 28]), "fails")

        def write(descriptor: int, content: bytes, place: int) -> int:
            fail_sometimes()
            part = content[: chance.randrange(1, len(content) + 1)] if len(content) < 10_000 else content
            return pwrite(descriptor, part, place)

        def sync(descriptor: int) -> None:
            fail_sometimes()
            fdatasync(descriptor)

        monkeypatch.setattr(os, "pwrite", write)
        monkeypatch.setattr(os, "fdatasync", sync)
        for start in range(20):
            found: list[bytes] = []
            journal = Journal.open(tmp_path, found.append, segment=2_000)
            assert found == expected
            journal.start()
            for number in range(40):
                record = b"%d-%d" % (start, number) * chance.randrange(1, 30)
                try:
                    await journal.commit(record)
                except JournalError:
                    continue
                expected.append(record)
            journal.close()
        assert read(tmp_path) == expected
        assert 200 < len(expected) < 800
