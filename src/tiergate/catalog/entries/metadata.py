"""Read fields for people and other systems: metadata and external ids. No policy reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.reading.document import BROKEN, shorten
from tiergate.catalog.reading.fields import read_id, read_line
from tiergate.naming import is_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.catalog.reading.document import Node
    from tiergate.catalog.reading.fields import Fields
    from tiergate.catalog.reading.problem_report import Report

MAX_METADATA = 50
"""Largest number of metadata entries of one object."""

MAX_METADATA_KEY = 100
"""Largest number of characters of a metadata key."""

MAX_METADATA_VALUE = 1_000
"""Largest number of characters of a metadata value."""

MAX_EXTERNAL_IDS = 50
"""Largest number of external ids of one customer or subscription."""

MAX_EXTERNAL_ID = 256
"""Largest number of characters of an external id."""


def read_metadata(fields: Fields, report: Report) -> dict[str, str]:
    """Read the key `metadata`: text by key, sorted by key; empty if it is missing."""

    def key(text: str, place: int) -> bool:
        return read_line(text, place, report, MAX_METADATA_KEY) is not None

    def value(node: Node, place: int) -> str | None:
        return read_line(node, place, report, MAX_METADATA_VALUE, prose=True)

    return _texts(fields, "metadata", MAX_METADATA, key, value)


def read_external_ids(fields: Fields, report: Report) -> dict[str, str]:
    """Read the key `external_ids`: system → id there, sorted by system; empty if it is missing."""

    def key(text: str, place: int) -> bool:
        return is_id(text) or read_id(text, place, report) is not None

    def value(node: Node, place: int) -> str | None:
        text = read_line(node, place, report, MAX_EXTERNAL_ID)
        if text is not None and text != text.strip():
            report.add(place, "bad-id", f"the id `{shorten(text)}` must not begin or end with white space")
            return None
        return text

    return _texts(fields, "external_ids", MAX_EXTERNAL_IDS, key, value)


def read_attributes(fields: Fields, report: Report) -> dict[str, str]:
    """Read the key `attributes`: text by id, sorted; empty if it is missing."""

    def key(text: str, place: int) -> bool:
        return is_id(text) or read_id(text, place, report) is not None

    def value(node: Node, place: int) -> str | None:
        return read_line(node, place, report)

    return _texts(fields, "attributes", None, key, value)


def _texts(
    fields: Fields,
    name: str,
    most: int | None,
    key: Callable[[str, int], bool],
    value: Callable[[Node, int], str | None],
) -> dict[str, str]:
    inner = fields.mapping(name) if name in fields else None
    if inner is None:
        return {}
    if most is not None and len(inner.entries) > most:
        fields.problem(name, "too-many", f"must have at most {most} entries, not {len(inner.entries):,}")
        return {}
    result: dict[str, str] = {}
    for text, node in inner.entries.items():
        if key(text, inner.key_place(text)):
            read = None if node is BROKEN else value(node, inner.at(text))
            if read is not None:
                result[text] = read
    return dict(sorted(result.items()))
