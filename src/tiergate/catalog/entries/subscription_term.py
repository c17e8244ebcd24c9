"""Read the term of a subscription: how often it renews, and the instant from which its boundaries count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.entries.calendar_periods import read_calendar_period
from tiergate.catalog.reading.fields import Fields
from tiergate.model import Term

if TYPE_CHECKING:
    from tiergate.catalog.reading.problem_report import Report
    from tiergate.model import Instant

_TERM_KEYS = frozenset({"every", "anchor"})


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
    every = read_calendar_period(inner, "every", report) if "every" in inner else None
    return None if every is None or anchor is None else Term(*every, anchor)
