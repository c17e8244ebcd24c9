"""Read a period of calendar time: `month`, or `{every: 3, of: month}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.reading.document import Mapping
from tiergate.catalog.reading.fields import Fields
from tiergate.model import CalendarUnit

if TYPE_CHECKING:
    from tiergate.catalog.reading.problem_report import Report

MAX_PERIODS = 10_000
"""Largest number of units in a period."""

_KEYS = frozenset({"every", "of"})


def read_calendar_period(
    fields: Fields, key: str, report: Report, *, also: str = ""
) -> tuple[CalendarUnit, int] | None:
    """Read the period under `key`; `None` after a problem. `also`: a further word, which the caller has handled."""
    node = fields.entries[key]
    if not isinstance(node, Mapping):
        unit = fields.choice(key, CalendarUnit, also=also)
        return None if unit is None else (unit, 1)
    inner = Fields.of(node, fields.at(key), report, _KEYS, ("every", "of"))
    if inner is None:
        return None
    count, unit = inner.integer("every", 1, MAX_PERIODS), inner.choice("of", CalendarUnit)
    return None if count is None or unit is None else (unit, count)
