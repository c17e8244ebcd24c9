"""Heads of requests that are read differently from what they say: absolute targets, and upgrades that are ignored."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_UPGRADING: Final = frozenset({b"connection", b"upgrade", b"http2-settings"})
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#@]+)/", re.IGNORECASE)


def host_of_target(url: bytes) -> bytes | None:
    """Return the host of a target `http://host/path`, which replaces the header's (RFC 9112, section 3.2.2)."""
    match = _ABSOLUTE.match(url)
    return None if match is None else match[1]


def head_without_upgrade(method: bytes, url: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a request's head without its upgrade. `headers`: with names in lower case."""
    headers = list(headers)
    kept = [(name, value) for name, value in headers if name not in _UPGRADING]
    if any(b"close" in value.lower() for name, value in headers if name == b"connection"):
        kept.append((b"connection", b"close"))
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    lines += [b"%b: %b" % pair for pair in kept]
    return b"\r\n".join((*lines, b"", b""))
