"""Read the parts of a Pricing2Yaml document: sections of named entries, single values, lists of names.

A missing or null part is empty, as in the format's specification. Skips `BROKEN` nodes: their problems are reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tiergate.catalog.reading.document import BROKEN, Listing, Mapping, Node, describe, shorten
from tiergate.catalog.reading.fields import Fields, find_suggestion, read_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from tiergate.catalog.reading.problem_report import TextReport

_Read = TypeVar("_Read")


def named_entries(fields: Fields, section: str, report: TextReport) -> Iterator[tuple[str, int, Node, int]]:
    """Yield the entries of a section: key, its place, value, its place. Reports a key that cannot be a name."""
    node = fields.entries.get(section)
    if not isinstance(node, Mapping):
        if node is not None and node is not BROKEN:
            fields.problem(section, "wrong-type", f"must be a mapping, not {describe(node)}")
        return
    for index, (key, value) in enumerate(node.entries.items()):
        key_place, value_place = node.places[2 * index], node.places[2 * index + 1]
        if read_line(key, key_place, report) is not None:
            yield key, key_place, value, value_place


def read_field(fields: Fields, key: str, reader: Callable[[Node], _Read], default: _Read) -> _Read:
    """Read the value of `key`; the default if it is missing, broken or, after a report, wrong."""
    node = fields.entries.get(key, BROKEN)
    if node is BROKEN:
        return default
    try:
        return reader(node)
    except ValueError as error:
        fields.problem(key, "unfit-value", str(error))
        return default


def read_names(
    fields: Fields, key: str, known: Collection[str] | None, what: str, report: TextReport, own: str | None = None
) -> tuple[str, ...]:
    """Return the names of a list, each once, that are all `known`; report unknown names, and `own`.

    `known` is `None` if it could not be read; then names are not checked. `what` names the kind in messages.
    """
    node = fields.entries.get(key)
    if not isinstance(node, Listing):
        if node is not None and node is not BROKEN:
            fields.problem(key, "wrong-type", f"must be a list, not {describe(node)}")
        return ()
    result: dict[str, None] = {}
    for entry, place in node.placed():
        if not isinstance(entry, str):
            if entry is not BROKEN:
                report.add(place, "wrong-type", f"must be the name of a {what}, not {describe(entry)}")
        elif known is not None and entry not in known:
            near = find_suggestion(entry, known, report)
            report.add(place, "unknown-reference", f"no {what} `{shorten(entry)}` in this pricing", near)
        elif entry == own:
            report.add(place, "self-reference", f"`{shorten(entry)}` names itself in `{key}`")
        else:
            result[entry] = None
    return tuple(result)
