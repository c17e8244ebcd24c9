"""Read the term of a subscription: how often it renews, and the instant from which its boundaries count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.reading.document import Mapping
from tiergate.catalog.reading.fields import Fields
from tiergate.model import CalendarUnit, Term

if TYPE_CHECKING:
    from tiergate.catalog.reading.problem_report import Report
    from tiergate.model import Instant

MAX_PERIODS = 10_000
"""Largest number of units between two renewals."""

_TERM_KEYS = frozenset({"every", "anchor"})
_EVERY_KEYS = frozenset({"every", "of"})


def read_term(fields: Fields, start: Instant | None, report: Report) -> Term | None:
    """Read the key `term` of a subscription that begins at `start`; `None` if it is missing or wrong.

    The default anchor is the start.
    """
    if "term" not in fields:
        return None
    inner = Fields.of(fields.entries["term"], fields.at("term"), report, _TERM_KEYS, ("every",))
    if inner is None:
        return None
    anchor = inner.instant("anchor") if "anchor" in inner else start
    if anchor is None and "anchor" not in inner and "start" not in fields:
        message = "the key `anchor` is missing: a term of a subscription without `start` needs it"
        report.add(inner.place, "missing-key", message)
    every = _every(inner, report) if "every" in inner else None
    return None if every is None or anchor is None else Term(*every, anchor)


def _every(fields: Fields, report: Report) -> tuple[CalendarUnit, int] | None:
    """Read `month`, or `{every: 3, of: month}`."""
    node = fields.entries["every"]
    if not isinstance(node, Mapping):
        unit = fields.choice("every", CalendarUnit)
        return None if unit is None else (unit, 1)
    inner = Fields.of(node, fields.at("every"), report, _EVERY_KEYS, ("every", "of"))
    if inner is None:
        return None
    count, unit = inner.integer("every", 1, MAX_PERIODS), inner.choice("of", CalendarUnit)
    return None if count is None or unit is None else (unit, count)
