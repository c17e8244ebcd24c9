"""The chain of hashes over the lines of a feed. Hashes are SHA-256 in lower-case hex.

    chain(0) = sha256("tiergate-feed" + NUL + store id)
    chain(n) = sha256(chain(n-1) + sha256(line n)), over the 32 raw bytes of each hash

A signed head holds the chain at its position, so it covers every line up to there. A line proves nothing by itself.
"""

from __future__ import annotations

import hashlib

_sha256 = hashlib.sha256


def chain_start(store: str) -> str:
    """Return the chain at position 0. It depends on the store's id, so that no two feeds are alike."""
    return hashlib.sha256(b"tiergate-feed\0" + store.encode()).hexdigest()


def line_digest(line: bytes) -> str:
    """Return the hash of a line."""
    return hashlib.sha256(line).hexdigest()


def extend_by_line(chain: bytes, line: bytes) -> bytes:
    """Return the raw bytes of the chain after one more line, given those of the chain before it."""
    return _sha256(chain + _sha256(line).digest()).digest()


def extend_chain(chain: str, digest: str) -> str:
    """Return the chain after one more line, given the hash of that line."""
    return hashlib.sha256(bytes.fromhex(chain) + bytes.fromhex(digest)).hexdigest()
