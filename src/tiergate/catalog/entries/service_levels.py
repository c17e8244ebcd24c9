"""Read service levels: what is promised of a feature, and with other numbers by an item (design, section 11)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tiergate.catalog.entries.calendar_periods import read_calendar_period
from tiergate.catalog.entries.metering import read_time_zone
from tiergate.catalog.reading.fields import Fields, read_id, read_units
from tiergate.model import MILLIONTHS, ItemServiceLevel, ServiceLevel, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as ReadOnly

    from tiergate.catalog.reading.problem_report import Report
    from tiergate.model import Feature

MAX_LATENCY_MS: Final = 3_600_000
"""Longest latency that can be promised, in milliseconds: one hour."""

MAX_LEAST: Final = 1_000_000
"""Largest number of requests that a minute needs."""

PERCENT_DIGITS: Final = 4
"""Decimal digits of a percentage, so that one unit is a millionth of the whole."""

SERVICE_LEVEL_KEYS: Final = frozenset({"availability", "latency_ms", "window", "timezone", "spent_by", "minute"})
MINUTE_KEYS: Final = frozenset({"least", "degraded", "down"})


class SpentBy(StrEnum):
    """The statuses that can be the least bad one that spends the error budget."""

    DEGRADED = Status.DEGRADED.value
    PARTIAL = Status.PARTIAL.value
    DOWN = Status.DOWN.value


def read_service_level(fields: Fields, report: Report) -> ServiceLevel | None:
    """Read the key `service_level` of a feature; `None` if it is missing, or after a problem with its availability."""
    if "service_level" not in fields:
        return None
    inner = Fields.of(
        fields.entries["service_level"], fields.at("service_level"), report, SERVICE_LEVEL_KEYS, ("availability",)
    )
    return None if inner is None else _read(inner, report).promise(None)


def read_item_service_levels(fields: Fields, report: Report) -> tuple[dict[str, ItemServiceLevel], dict[str, int]]:
    """Read the key `service_levels` of an item: by feature id, sorted; and the places of the ids."""
    levels: dict[str, ItemServiceLevel] = {}
    places: dict[str, int] = {}
    listed = fields.mapping("service_levels")
    if listed is None:
        return levels, places
    for id_ in listed.entries:
        place = listed.key_place(id_)
        if read_id(id_, place, report) is None:
            continue
        inner = Fields.of(listed.entries[id_], listed.at(id_), report, SERVICE_LEVEL_KEYS)
        if inner is None:
            continue
        if not inner.entries:
            report.add(inner.place, "missing-key", "a service level needs at least one key, such as `availability`")
            continue
        levels[id_], places[id_] = _read(inner, report), place
    return {id_: levels[id_] for id_ in sorted(levels)}, places


def find_service_level_problems(
    levels: ReadOnly[str, ItemServiceLevel], features: ReadOnly[str, Feature | None]
) -> Iterator[tuple[str, str, str]]:
    """Yield the service levels of an item that name an unknown feature, or have no availability.

    Each as feature id, code and message. `features`: `None` for one that exists but could not be read.
    """
    for id_, own in levels.items():
        if id_ not in features:
            yield id_, "unknown-feature", f"no feature `{id_}`"
            continue
        feature = features[id_]
        if feature is not None and own.promise(feature.service_level) is None:
            message = f"the key `availability` is missing, and `{id_}` has no `service_level` that gives one"
            yield id_, "missing-key", message


def _read(fields: Fields, report: Report) -> ItemServiceLevel:
    window, every = None, None
    if "window" in fields:
        window, every = read_calendar_period(fields, "window", report) or (None, None)
    spent_by = fields.choice("spent_by", SpentBy)
    minute = _minute(fields, report)
    return ItemServiceLevel(
        availability=_availability(fields, report),
        latency_ms=fields.integer("latency_ms", 1, MAX_LATENCY_MS),
        window=window,
        every=every,
        timezone=read_time_zone(fields, report) if "timezone" in fields else None,
        spent_by=None if spent_by is None else Status(spent_by.value),
        least=None if minute is None else minute.integer("least", 1, MAX_LEAST),
        degraded=None if minute is None else minute.integer("degraded", 1, 100),
        down=None if minute is None else minute.integer("down", 1, 100),
    )


def _availability(fields: Fields, report: Report) -> int | None:
    """Return the part of the time in millionths."""
    if "availability" not in fields:
        return None
    millionths = read_units(fields.entries["availability"], fields.at("availability"), PERCENT_DIGITS, report)
    if millionths is None or millionths <= MILLIONTHS:
        return millionths
    fields.problem("availability", "bad-number", "must be at most 100 percent")
    return None


def _minute(fields: Fields, report: Report) -> Fields | None:
    if "minute" not in fields:
        return None
    inner = Fields.of(fields.entries["minute"], fields.at("minute"), report, MINUTE_KEYS)
    if inner is not None and not inner.entries:
        fields.problem("minute", "missing-key", "`minute` needs `least`, `degraded` or `down`")
    return inner
