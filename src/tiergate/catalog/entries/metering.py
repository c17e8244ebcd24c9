"""Read how the usage of a quantity is counted, and what it draws on (design, section 10).

`draws` names another feature, whose scale its cost has: it is read when all features are known.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from tiergate.catalog.entries.calendar_periods import read_calendar_period
from tiergate.catalog.entries.thresholds import read_thresholds
from tiergate.catalog.reading.document import Broken, Mapping, Node, describe, shorten
from tiergate.catalog.reading.fields import Fields, find_suggestion, read_any_number, read_units
from tiergate.model import (
    DEFAULT_LATE_MS,
    CalendarUnit,
    Draws,
    Feature,
    FeatureType,
    LimitKind,
    Metered,
    OfflineUse,
    SpendOrder,
    WindowAnchor,
    format_duration,
    parse_duration,
)
from tiergate.naming import is_id

if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Mapping as ReadOnly

    from tiergate.catalog.reading.problem_report import Report

UTC = "UTC"
"""The default time zone."""

NEVER = "never"
"""The word in `metered: {reset: …}` for usage that never resets."""

MAX_LATE_MS = 90 * 24 * 3600 * 1000
"""Longest time after the end of its window in which usage is accepted, in milliseconds: 90 days."""

METERED_KEYS = frozenset(
    {"reset", "anchor", "timezone", "limit", "overage_max", "rollover", "late", "spend", "offline", "thresholds"}
)
DRAWS_KEYS = frozenset({"from", "cost"})
WINDOW_KEYS = ("anchor", "timezone", "rollover", "late")
"""The keys of `metered` that need usage to reset."""

_NO_PLACES = ("Factory", "localtime")


def read_metered(fields: Fields, scale: int, report: Report) -> Metered | None:
    """Read the key `metered` of a feature; `None` if it is missing."""
    if "metered" not in fields:
        return None
    inner = Fields.of(fields.entries["metered"], fields.at("metered"), report, METERED_KEYS, ("reset",))
    if inner is None:
        return Metered()
    reset, every = _reset(inner, report)
    return Metered(
        reset,
        every,
        inner.choice("anchor", WindowAnchor) or WindowAnchor.CALENDAR,
        read_time_zone(inner, report),
        *read_limit(inner, scale, report),
        _rollover(inner, scale, report),
        _late(inner),
        inner.choice("spend", SpendOrder) or SpendOrder.ALLOWANCE_FIRST,
        inner.choice("offline", OfflineUse),
        read_thresholds(inner, scale, report),
    )


def _reset(fields: Fields, report: Report) -> tuple[CalendarUnit | None, int]:
    """Return the unit and number of the period, and report keys that need one."""
    if "reset" not in fields:
        return None, 1
    if fields.entries["reset"] == NEVER:
        for key in WINDOW_KEYS:
            if key in fields:
                message = f"usage that never resets has no `{key}`: leave it out, or let it reset"
                report.add(fields.key_place(key), "key-conflict", message)
        return None, 1
    return read_calendar_period(fields, "reset", report, also=NEVER) or (None, 1)


def read_limit(fields: Fields, scale: int, report: Report) -> tuple[LimitKind, int | None]:
    """Read the keys `limit` and `overage_max`, which needs a soft limit and is in units; a missing limit is hard."""
    limit = fields.choice("limit", LimitKind)
    if "overage_max" not in fields:
        return limit or LimitKind.HARD, None
    if limit is LimitKind.HARD or "limit" not in fields:
        message = "a hard limit has no `overage_max`: write `limit: soft` beside it"
        report.add(fields.key_place("overage_max"), "key-conflict", message)
        return LimitKind.HARD, None
    return LimitKind.SOFT, fields.units("overage_max", scale, least=1)


def read_time_zone(fields: Fields, report: Report) -> str:
    """Read the key `timezone`, a name of the IANA time zone database; UTC if it is missing or wrong."""
    name = fields.line("timezone")
    if not name or name == UTC or name in time_zones():
        return name or UTC
    near = _zone_of_city(name) or find_suggestion(name, time_zones(), report)
    message = f"no time zone `{shorten(name)}` in the IANA time zone database"
    fields.problem("timezone", "unknown-time-zone", message, near)
    return UTC


@lru_cache(maxsize=1)
def time_zones() -> frozenset[str]:
    """Return the names of the IANA time zone database, of this system or of the package `tzdata`."""
    return frozenset(available_timezones().difference(_NO_PLACES))


def _zone_of_city(name: str) -> str | None:
    """Return the zone of a city or with other capitals: `Europe/Berlin` for `berlin`, `UTC` for `utc`."""
    wanted = name.strip().replace(" ", "_").casefold()
    for folded in (str.casefold, lambda zone: zone.casefold().rpartition("/")[2]):
        matches = sorted(zone for zone in time_zones() if folded(zone) == wanted)
        if matches:
            return matches[0]
    return None


def _rollover(fields: Fields, scale: int, report: Report) -> int:
    if "rollover" not in fields:
        return 0
    inner = Fields.of(fields.entries["rollover"], fields.at("rollover"), report, frozenset({"max"}), ("max",))
    return (None if inner is None else inner.units("max", scale, least=1)) or 0


def _late(fields: Fields) -> int:
    if "late" not in fields:
        return DEFAULT_LATE_MS
    node = fields.entries["late"]
    if not isinstance(node, str):
        if not isinstance(node, Broken):
            message = f"must be a number of minutes, hours or days, such as `3 days`, not {describe(node)}"
            fields.problem("late", "wrong-type", message)
        return DEFAULT_LATE_MS
    try:
        late = parse_duration(node)
    except ValueError as error:
        fields.problem("late", "bad-duration", f"`{shorten(node)}` {error}")
        return DEFAULT_LATE_MS
    if late > MAX_LATE_MS:
        most = format_duration(MAX_LATE_MS)
        fields.problem("late", "bad-duration", f"`{shorten(node)}` must be from 0 minutes to {most}")
        return DEFAULT_LATE_MS
    return late


def check_draws_key(fields: Fields, report: Report) -> None:
    """Check the form of the key `draws` of a feature, as far as the feature alone decides it."""
    if "draws" not in fields:
        return
    if "metered" not in fields:
        message = "what draws on another feature needs counted usage: add `metered`"
        report.add(fields.key_place("draws"), "draws-not-metered", message)
    inner = Fields.of(fields.entries["draws"], fields.at("draws"), report, DRAWS_KEYS, ("from", "cost"))
    if inner is not None:
        inner.id("from")
        if "cost" in inner:
            read_any_number(inner.entries["cost"], inner.at("cost"), report)


def read_draws(
    feature: Feature,
    node: Node,
    known: ReadOnly[str, Feature | None],
    drawing: Collection[str],
    report: Report,
    *,
    complete: bool = True,
) -> Draws | None:
    """Read the key `draws` of a feature when all are known; `None` if it is missing or wrong.

    `known`: id → feature, `None` for one that could not be read. `drawing`: the ids of features that have `draws`.
    `complete`: no feature can be missing because a file could not be read. Problems of its form were reported before.
    """
    inner = _draws_entries(node)
    source = None if inner is None else inner.entries.get("from")
    if inner is None or not isinstance(source, str) or not is_id(source):
        return None
    at = inner.value_place("from")
    if source == feature.id:
        report.add(at, "self-reference", f"`{source}` draws on itself")
        return None
    if source not in known:
        if complete:
            report.add(at, "unknown-feature", f"no feature `{source}`", find_suggestion(source, known, report))
        return None
    problem = _unfit_source(source, known[source], drawing)
    if problem:
        report.add(at, "unfit-source", problem)
        return None
    cost = inner.entries.get("cost")
    found = known[source]
    if found is None or isinstance(cost, bool) or not isinstance(cost, int | Decimal):
        return None
    units = read_units(cost, inner.value_place("cost"), found.scale, report, least=1)
    return None if units is None else Draws(source, units, found.scale)


def has_draws(node: Node) -> bool:
    """Return whether the entry of a feature has the key `draws`."""
    return isinstance(node, Mapping) and "draws" in node.entries


def _draws_entries(node: Node) -> Mapping | None:
    inner = node.entries.get("draws") if isinstance(node, Mapping) else None
    return inner if isinstance(inner, Mapping) else None


def _unfit_source(id_: str, source: Feature | None, drawing: Collection[str]) -> str:
    """Return why nothing can draw on a feature; empty if it can, or if the feature could not be read."""
    if source is None:
        return ""
    if source.type is not FeatureType.QUANTITY:
        return f"`{id_}` is a {source.type.value}: only a metered quantity can be drawn on"
    if id_ in drawing:
        return f"`{id_}` draws on a feature itself: name the feature that it draws on"
    if source.metered is None:
        return f"the usage of `{id_}` is not counted: add `metered` to it"
    return ""
