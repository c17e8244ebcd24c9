"""Read the thresholds of a metered feature: percentages of the limit, such as `80%`, and amounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.reading.document import Broken, describe, shorten
from tiergate.catalog.reading.fields import read_units
from tiergate.model import MAX_THRESHOLDS, Threshold, parse_percent, sorted_thresholds

if TYPE_CHECKING:
    from tiergate.catalog.reading.document import Node
    from tiergate.catalog.reading.fields import Fields
    from tiergate.catalog.reading.problem_report import Report


def read_thresholds(fields: Fields, scale: int, report: Report) -> tuple[Threshold, ...]:
    """Read the key `thresholds`, in the order of the levels; none if it is missing."""
    if "thresholds" not in fields:
        return ()
    found: list[Threshold] = []
    for node, place in fields.entries_of("thresholds"):
        threshold = _threshold(node, place, scale, report)
        if threshold is None:
            continue
        if threshold in found:
            report.add(place, "duplicate", "names a threshold twice")
            continue
        found.append(threshold)
    if len(found) > MAX_THRESHOLDS:
        message = f"a feature has at most {MAX_THRESHOLDS} thresholds, not {len(found)}"
        fields.problem("thresholds", "too-many", message)
    return sorted_thresholds(found[:MAX_THRESHOLDS])


def _threshold(node: Node, place: int, scale: int, report: Report) -> Threshold | None:
    if isinstance(node, str):
        try:
            return Threshold(percent=parse_percent(node))
        except ValueError as error:
            report.add(place, "bad-threshold", f"`{shorten(node)}` {error}")
            return None
    if isinstance(node, bool) or (not isinstance(node, Broken) and describe(node) in {"a list", "a mapping", "null"}):
        report.add(place, "wrong-type", f"must be a percentage such as `80%` or a number, not {describe(node)}")
        return None
    units = read_units(node, place, scale, report, least=1)
    return None if units is None else Threshold(units=units)
