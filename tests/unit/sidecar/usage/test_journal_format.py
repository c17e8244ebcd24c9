"""Tests for the bytes of a journal."""

from __future__ import annotations

import pytest

from tiergate.errors import JournalError
from tiergate.sidecar.usage.journal_format import (
    SegmentHeader,
    pack_length,
    read_header,
    read_segment,
    read_snapshot,
    snapshot_parts,
    write_group,
    write_header,
)

HEADER = SegmentHeader(3, 7, 120, b"0123456789abcdef")
GROUPS = ([b"one", b"two"], [b""], [b"\xf7TGg" * 10, b"four"])


def records(group: list[bytes]) -> bytes:
    """Return the records of a group, each with its length before it."""
    return b"".join(pack_length(len(record)) + record for record in group)


def segment() -> tuple[bytes, list[int]]:
    """Return a segment of the groups, and where each begins and the last ends."""
    content = write_header(HEADER)
    places = [len(content)]
    for number, group in enumerate(GROUPS, HEADER.first_group):
        content += write_group(HEADER, number, records(group))
        places.append(len(content))
    return content, places


class TestHeader:
    def test_reads_what_was_written(self) -> None:
        """What is written is what is read."""
        assert read_header(write_header(HEADER) + b"more", "x") == HEADER

    def test_a_changed_byte_is_noticed(self) -> None:
        """A header is valid as a whole or not at all."""
        content = write_header(HEADER)
        for place in range(len(content)):
            changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
            assert read_header(changed, "x") is None
            assert read_header(content[:place], "x") is None


class TestSegment:
    def test_reads_every_record_and_ignores_allocated_space(self) -> None:
        """Zeros are space for later groups."""
        content, places = segment()
        found = read_segment(content + bytes(500), HEADER, "x", None)
        assert found.records == [record for group in GROUPS for record in group]
        assert (found.end, found.next_group) == (places[-1], 10)

    def test_the_last_group_may_be_torn_at_every_byte(self) -> None:
        """What a crash left of the last group is not read."""
        content, places = segment()
        for end in range(places[-2], places[-1]):
            for rest in (b"", bytes(300)):
                found = read_segment(content[:end] + rest, HEADER, "x", None)
                assert (len(found.records), found.end) == (3, places[-2])

    def test_a_damaged_group_before_others_is_an_error(self) -> None:
        """What was acknowledged is never cut silently."""
        content, places = segment()
        for place in range(places[0], places[-2]):
            changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
            with pytest.raises(JournalError):
                read_segment(changed, HEADER, "x", None)

    def test_a_segment_that_others_follow_must_be_whole(self) -> None:
        """The next one says how much of it counts."""
        content, places = segment()
        assert len(read_segment(content + b"torn", HEADER, "x", places[-1]).records) == 5
        with pytest.raises(JournalError):
            read_segment(content[:-1], HEADER, "x", places[-1])

    def test_groups_of_another_segment_are_not_read(self) -> None:
        """A checksum is valid in its own segment only."""
        content, _ = segment()
        other = HEADER._replace(number=4)
        assert read_segment(content, other, "x", None).records == []


class TestSnapshot:
    def test_reads_what_was_written(self) -> None:
        """What is written is what is read."""
        content = b"".join(snapshot_parts(5, HEADER.journal_id, [b"a", b"", b"ccc"]))
        number, journal_id, found = read_snapshot(content, "x")
        assert (number, journal_id, list(found)) == (5, HEADER.journal_id, [b"a", b"", b"ccc"])

    def test_any_damage_is_an_error(self) -> None:
        """A snapshot was complete before it got its name."""
        content = b"".join(snapshot_parts(5, HEADER.journal_id, [b"a", b"bb"]))
        for place in range(len(content)):
            for changed in (content[:place], content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]):
                with pytest.raises(JournalError):
                    list(read_snapshot(changed, "x")[2])
