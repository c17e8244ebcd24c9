from __future__ import annotations

import gzip
import hashlib

import pytest

from tests.signing import record, write_snapshot_page
from tiergate.bundle import PageEntry, read_snapshot_page
from tiergate.bundle import snapshot_pages as module
from tiergate.errors import TrustError

RECORDS = [record(name) for name in ("acme", "beta", "corp")]


def listed(content: bytes, count: int) -> PageEntry:
    """The entry of a page that a store signed, whatever is in it."""
    return PageEntry(hashlib.sha256(content).hexdigest(), len(content), count)


def test_records_survive_being_written_and_read() -> None:
    """In their order."""
    assert read_snapshot_page(*write_snapshot_page(RECORDS)) == RECORDS


def test_a_page_may_be_empty() -> None:
    """A store without customers."""
    assert read_snapshot_page(*write_snapshot_page([])) == []


def test_equal_records_are_an_equal_page() -> None:
    """So that it is stored and fetched once."""
    assert write_snapshot_page(RECORDS) == write_snapshot_page(list(RECORDS))


def test_a_page_is_gzip_of_lines() -> None:
    """Anybody can read it."""
    assert len(gzip.decompress(write_snapshot_page(RECORDS)[0]).splitlines()) == 3


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", gzip.compress(b"{}"), gzip.compress(b"[]\n") * 2, gzip.compress(b"[")],
    ids=["nothing", "no gzip", "no record", "two pages", "half a record"],
)
def test_what_is_no_page_is_refused(content: bytes) -> None:
    """Though somebody signed for it."""
    with pytest.raises(TrustError, match="malformed"):
        read_snapshot_page(content, listed(content, 1))


def test_a_page_does_not_unpack_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bound nothing is unpacked."""
    monkeypatch.setattr(module, "_MAX_DECOMPRESSED_BYTES", 1000)
    content = gzip.compress(b"\n" * 1_000_000)
    with pytest.raises(TrustError, match="too_large"):
        read_snapshot_page(content, listed(content, 0))
