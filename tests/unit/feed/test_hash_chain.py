"""The chain of hashes over the lines of a feed."""

from __future__ import annotations

from tiergate.feed.hash_chain import chain_start, extend_by_line, extend_chain, line_digest


def test_a_chain_of_lines_is_that_of_their_hashes() -> None:
    """The store extends it by hashes in hex, sidecars by lines and raw bytes."""
    by_hash, by_line = chain_start("shop"), bytes.fromhex(chain_start("shop"))
    for line in (b"", b'{"position":1}', b"\x00\xff"):
        by_hash, by_line = extend_chain(by_hash, line_digest(line)), extend_by_line(by_line, line)
        assert by_line.hex() == by_hash
