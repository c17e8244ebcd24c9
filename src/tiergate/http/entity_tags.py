"""Entity tags and `If-None-Match` (RFC 9110, sections 8.8.3 and 13.1.2)."""

from __future__ import annotations


def matches(if_none_match: bytes, etag: bytes) -> bool:
    """Return whether a header `If-None-Match` names an entity tag: a list of tags, compared weakly, or `*`."""
    tags = [tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")]
    return etag in tags or tags == [b"*"]
