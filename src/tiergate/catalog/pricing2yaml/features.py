"""Read the features and usage limits of a pricing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tiergate.catalog.entries.calendar_periods import MAX_PERIODS
from tiergate.catalog.pricing2yaml.pricing import SourceFeature, SourceValue, Stated
from tiergate.catalog.pricing2yaml.scalars import (
    read_label,
    read_number,
    read_prose,
    read_reset,
    read_switch,
    read_unit,
)
from tiergate.catalog.pricing2yaml.sections import read_field, read_names
from tiergate.catalog.pricing2yaml.syntax import (
    FEATURE_KEYS,
    LIMIT_KEYS,
    PERIOD_KEYS,
    PERIOD_LENGTHS,
    RESETS,
    LimitType,
    ValueType,
)
from tiergate.catalog.reading.document import BROKEN, Node, describe
from tiergate.catalog.reading.fields import Fields
from tiergate.model import CalendarUnit, Metered

if TYPE_CHECKING:
    from collections.abc import Collection

    from tiergate.catalog.reading.problem_report import TextReport

_COUNT = re.compile(r"[1-9][0-9]{0,8}")


def read_value(value_type: ValueType, node: Node) -> SourceValue:
    """Read a value of a feature or limit of this type.

    Raises:
        ValueError: if it does not fit; the message is for the author.
    """
    match value_type:
        case ValueType.BOOLEAN:
            return read_switch(node)
        case ValueType.NUMERIC:
            return read_number(node)
        case ValueType.TEXT:
            return read_label(node)


def read_feature(
    key: str, place: int, node: Node, at: int, tags: Collection[str] | None, report: TextReport
) -> SourceFeature | None:
    """Read a feature at the place `at`; `None` if its type or default is wrong."""
    fields = Fields.of(node, at, report, FEATURE_KEYS, ("valueType", "defaultValue"))
    if fields is None:
        return None
    tag = fields.entries.get("tag")
    if tags is not None and tag is not None and tag is not BROKEN and tag not in tags:
        fields.problem("tag", "unknown-reference", f"{describe(tag)} is not among the `tags` of this pricing")
    value_type, default = _value_type(fields), None
    if value_type is not None:
        default = _default(fields, value_type)
    description = read_field(fields, "description", read_prose, "")
    if value_type is None or default is None:
        return None
    return SourceFeature(key, place, value_type, default, description)


def read_limit(
    key: str, place: int, node: Node, at: int, features: Collection[str] | None, report: TextReport
) -> SourceFeature | None:
    """Read a usage limit at the place `at`; `None` if its type or default is wrong."""
    fields = Fields.of(node, at, report, LIMIT_KEYS, ("type", "valueType", "defaultValue"))
    if fields is None:
        return None
    value_type, default = _value_type(fields), None
    if value_type is not None:
        default = _default(fields, value_type)
    limit_type = fields.choice("type", LimitType)
    unit = read_field(fields, "unit", read_unit, "")
    metered = None
    if limit_type is LimitType.RENEWABLE:
        metered = Metered(*_reset(fields, unit, report))
    elif limit_type is LimitType.NON_RENEWABLE and read_field(fields, "trackable", _is_trackable, default=False):
        metered = Metered()
    linked = read_names(fields, "linkedFeatures", features, "feature", report)
    description = read_field(fields, "description", read_prose, "")
    if value_type is None or default is None:
        return None
    return SourceFeature(key, place, value_type, default, description, unit, metered, linked)


def _value_type(fields: Fields) -> ValueType | None:
    return fields.choice("valueType", ValueType)


def _default(fields: Fields, value_type: ValueType) -> Stated | None:
    if "defaultValue" not in fields:
        return None
    place = fields.at("defaultValue")
    return read_field(fields, "defaultValue", lambda node: Stated(read_value(value_type, node), place), None)


def _is_trackable(node: Node) -> bool:
    return node is not None and read_switch(node).on


def _reset(fields: Fields, unit: str, report: TextReport) -> tuple[CalendarUnit, int]:
    """Return how often a renewable limit resets: its `period`, else the period in its unit."""
    node = fields.entries.get("period")
    if node is None or node is BROKEN:
        return read_reset(unit), 1
    period = Fields.of(node, fields.at("period"), report, PERIOD_KEYS, ("unit",))
    if period is None or "unit" not in period:
        return CalendarUnit.MONTH, 1
    count, word = read_field(period, "value", _count, 1), read_field(period, "unit", _unit, "")
    if not word:
        return CalendarUnit.MONTH, 1
    reset = _calendar_period(count, word)
    if reset is None:
        message = f"usage can reset every 1 to {MAX_PERIODS:,} hours, days, weeks, months or years only"
        fields.problem("period", "unfit-period", message)
    return reset or (CalendarUnit.MONTH, 1)


def _calendar_period(count: int, word: str) -> tuple[CalendarUnit, int] | None:
    """Return the calendar unit of a period, and how many of it; `None` if there is none that fits."""
    length = count * PERIOD_LENGTHS[word]
    if (count, word) == (12, "MONTH"):
        return CalendarUnit.YEAR, 1
    if length in RESETS:
        return RESETS[length], 1
    if word in {"SEC", "MIN"}:
        count, rest = divmod(length, PERIOD_LENGTHS["HOUR"])
        if rest or not count:
            return None
        word = "HOUR"
    return (CalendarUnit(word.lower()), count) if count <= MAX_PERIODS else None


def _count(node: Node) -> int:
    if not isinstance(node, str) or not _COUNT.fullmatch(node):
        raise ValueError(f"must be a whole number from 1, not {describe(node)}")
    return int(node)


def _unit(node: Node) -> str:
    if not isinstance(node, str) or node not in PERIOD_LENGTHS:
        words = ", ".join(f"`{word}`" for word in PERIOD_LENGTHS)
        raise ValueError(f"must be one of {words}, not {describe(node)}")
    return node
