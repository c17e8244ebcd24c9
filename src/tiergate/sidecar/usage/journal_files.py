"""The files of a journal: found and read at the start, then written by one thread.

    usage/00000007.journal    a segment (`journal_format`)
    usage/00000007.snapshot   the state before that segment; older segments are no longer needed

`recover` reads them; it changes nothing but what a crash left unfinished. `JournalWriter` always begins a segment of
its own, whose header says how much of the one before counts.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.errors import JournalError
from tiergate.process.atomic_files import sync_directory
from tiergate.sidecar.usage.journal_format import (
    GROUP_HEADER,
    SEGMENT_HEADER,
    SegmentHeader,
    read_header,
    read_segment,
    read_snapshot,
    snapshot_parts,
    write_group,
    write_header,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a disk that has no room, or of a limit on the size of files."""

_NAME: Final = re.compile(r"([0-9]{8,20})\.(journal|snapshot)")
_ALLOCATED_AHEAD: Final = 256 * 1024
_SNAPSHOT_BUFFER: Final = 256 * 1024


class Recovery(NamedTuple):
    """Where a journal ends: what its next segment continues, and the bytes of its files.

    `replayed`: the bytes of the segments that were read, which a snapshot would make unnecessary.
    """

    journal_id: bytes
    next_number: int
    next_group: int
    previous_length: int
    size: int
    replayed: int


def recover(folder: Path, apply: Callable[[bytes], None]) -> Recovery:
    """Read a journal: pass every record to `apply`, those of the newest snapshot first, in their order.

    Raises:
        JournalError: if a file that was complete is damaged or missing, or cannot be read.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _recover(folder, apply)
    except OSError as error:
        raise JournalError(str(error.filename or folder), f"cannot be read: {error.strerror}") from error


def _recover(folder: Path, apply: Callable[[bytes], None]) -> Recovery:
    segments, snapshots = _find(folder)
    journal_id: bytes | None = None
    first = 1
    if snapshots:
        path = segment_path(folder, first := max(snapshots), "snapshot")
        number, journal_id, records = read_snapshot(path.read_bytes(), str(path))
        if number != first:
            raise JournalError(str(path), f"is the snapshot {number} under another name")
        for record in records:
            apply(record)
    _sweep(folder, segments, snapshots, first)
    numbers = sorted(number for number in segments if number >= first)
    headers = _headers(folder, numbers, first, snapshot=bool(snapshots))
    next_group, end, replayed = 1, 0, 0
    for place, header in enumerate(headers):
        path = segment_path(folder, header.number)
        following = headers[place + 1] if place + 1 < len(headers) else None
        if journal_id is not None and header.journal_id != journal_id:
            raise JournalError(str(path), "belongs to another journal")
        journal_id = header.journal_id
        length = None if following is None else following.previous_length
        content = read_segment(path.read_bytes(), header, str(path), length)
        if following is not None and following.first_group != content.next_group:
            raise JournalError(str(path), f"ends with group {content.next_group - 1}, and the next one begins later")
        for record in content.records:
            apply(record)
        next_group, end = content.next_group, content.end
        replayed += content.end
    last = headers[-1].number if headers else first - 1
    return Recovery(journal_id or os.urandom(16), last + 1, next_group, end, folder_size(folder), replayed)


def _headers(folder: Path, numbers: list[int], first: int, *, snapshot: bool) -> list[SegmentHeader]:
    """Return the headers of segments that follow each other; one at the end that was never complete is removed."""
    headers: list[SegmentHeader] = []
    for place, number in enumerate(numbers):
        path = segment_path(folder, number)
        with path.open("rb") as file:
            header = read_header(file.read(SEGMENT_HEADER), str(path))
        if number != first + place:
            raise JournalError(str(segment_path(folder, first + place)), "is missing")
        if header is None and place == len(numbers) - 1:
            path.unlink()
        elif header is None or header.number != number:
            raise JournalError(str(path), "has a damaged header")
        else:
            headers.append(header)
    if snapshot and not headers:
        raise JournalError(str(segment_path(folder, first)), "is missing")
    return headers


def _find(folder: Path) -> tuple[set[int], set[int]]:
    found: dict[str, set[int]] = {"journal": set(), "snapshot": set()}
    for entry in folder.iterdir():
        match = _NAME.fullmatch(entry.name)
        if match is not None:
            found[match[2]].add(int(match[1]))
        elif entry.name.startswith(".") and entry.suffix == ".snapshot":
            entry.unlink(missing_ok=True)  # a snapshot that was never complete
    return found["journal"], found["snapshot"]


def _sweep(folder: Path, segments: Iterable[int], snapshots: Iterable[int], first: int) -> None:
    """Remove what the snapshot with the number `first` made unnecessary. What cannot be removed stays."""
    for kind, numbers in (("journal", segments), ("snapshot", snapshots)):
        for number in numbers:
            if number < first:
                with suppress(OSError):
                    segment_path(folder, number, kind).unlink(missing_ok=True)


def segment_path(folder: Path, number: int, kind: str = "journal") -> Path:
    """Return the path of a segment, or of the snapshot before it."""
    return folder / f"{number:08}.{kind}"


def folder_size(folder: Path) -> int:
    """Return the bytes of all files of a journal."""
    total = 0
    with suppress(OSError):
        for entry in folder.iterdir():
            with suppress(OSError):
                total += entry.stat().st_size
    return total


class JournalWriter:
    """Appends groups to a journal. For one thread at a time.

    `budget`: the most bytes of all files. `segment`: the bytes after which a new segment begins.
    """

    def __init__(self, folder: Path, recovery: Recovery, *, budget: int, segment: int) -> None:
        self._folder = folder
        self.budget = budget
        self._segment = segment
        self._header = SegmentHeader(
            recovery.next_number - 1, recovery.next_group, recovery.previous_length, recovery.journal_id
        )
        self._descriptor = -1
        self._end = recovery.previous_length
        self._allocated = 0
        self._group = recovery.next_group
        self.size = recovery.size
        """The bytes of all files."""

    @property
    def number(self) -> int:
        """The number of the segment that is written."""
        return self._header.number

    def write(self, records: bytes) -> None:
        """Make a group durable. `records`: each with its length before it.

        Raises:
            JournalError: the disk is full or fails, or the budget is used up. Nothing of the group is in the journal.
        """
        try:
            if self._descriptor < 0:
                self._begin_segment()
            self._append(write_group(self._header, self._group, records))
        except OSError as error:
            self._repair()
            raise self.error(error) from error
        self._end += GROUP_HEADER + len(records)
        self._group += 1
        if self._end >= self._segment:
            with suppress(OSError):  # the next group tries again
                self._begin_segment()

    def rotate(self) -> int:
        """Begin a new segment, and return its number. Raises as `write`."""
        try:
            self._begin_segment()
        except OSError as error:
            raise self.error(error) from error
        return self._header.number

    def write_snapshot(self, number: int, records: Iterable[bytes]) -> None:
        """Replace everything before a segment by a snapshot of the state before it. Raises as `write`.

        It may run in another thread than `write`.
        """
        path = segment_path(self._folder, number, "snapshot")
        unfinished = path.with_name(f".{path.name}")
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb", buffering=_SNAPSHOT_BUFFER) as file:  # noqa: PTH123 - a descriptor
                file.writelines(snapshot_parts(number, self._header.journal_id, records))
                file.flush()
                os.fsync(descriptor)
            unfinished.replace(path)
            sync_directory(self._folder)
            segments, snapshots = _find(self._folder)
            _sweep(self._folder, segments, snapshots, number)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise self.error(error) from error
        finally:
            self.size = folder_size(self._folder)

    def close(self) -> None:
        """Give back what was allocated ahead, and close the segment."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            os.close(self._descriptor)
            self._descriptor = -1

    def error(self, error: OSError) -> JournalError:
        """Return an error of the system as one of the journal."""
        return JournalError(str(self._folder), (error.strerror or str(error)).lower(), full=error.errno in FULL)

    def _append(self, group: bytes) -> None:
        end = self._end + len(group)
        if end > self._allocated:
            self._allocate(-(-end // _ALLOCATED_AHEAD) * _ALLOCATED_AHEAD)
        _write_at(self._descriptor, group, self._end)
        os.fdatasync(self._descriptor)

    def _allocate(self, end: int) -> None:
        """Fill the segment with zeros up to `end`: later syncs need not change its length."""
        self._expect_budget(end - self._allocated)
        _write_at(self._descriptor, bytes(end - self._allocated), self._allocated)
        self.size += end - self._allocated
        self._allocated = end

    def _expect_budget(self, more: int) -> None:
        if self.size + more > self.budget:
            raise OSError(errno.EDQUOT, f"the disk budget of {self.budget} bytes is used up")

    def _begin_segment(self) -> None:
        """Begin the next segment.

        If that fails with the file created, nothing more goes to the present segment: the file may survive, and its
        header says where the present segment ends.
        """
        self._expect_budget(_ALLOCATED_AHEAD)
        header = SegmentHeader(self._header.number + 1, self._group, self._end, self._header.journal_id)
        path = segment_path(self._folder, header.number)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_at(descriptor, write_header(header), 0)
            _write_at(descriptor, bytes(_ALLOCATED_AHEAD - SEGMENT_HEADER), SEGMENT_HEADER)
            os.fsync(descriptor)
            sync_directory(self._folder)
        except OSError:
            os.close(descriptor)
            self.close()
            self._allocated = self._end
            with suppress(OSError):
                path.unlink()
            raise
        self.size += _ALLOCATED_AHEAD - max(0, self._allocated - self._end)
        self.close()
        self._header, self._descriptor = header, descriptor
        self._end, self._allocated = SEGMENT_HEADER, _ALLOCATED_AHEAD

    def _repair(self) -> None:
        """Remove what a failed write may have left; if that fails too, continue in a new segment."""
        if self._descriptor < 0:
            return
        try:
            os.ftruncate(self._descriptor, self._end)
            os.fdatasync(self._descriptor)
        except OSError:
            os.close(self._descriptor)
            self._descriptor = -1
        self._allocated = self._end
        self.size = folder_size(self._folder)


def _write_at(descriptor: int, content: bytes, place: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, place)
        view, place = view[written:], place + written
