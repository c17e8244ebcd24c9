"""Read the value of one feature: entitlements of items, and values of overrides.

An entitlement must match its feature's type, levels, minimum, maximum and scale; an override's value only its type,
labels and scale (design, word "level", semantics 4 and 5).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from tiergate.catalog.entries.metering import read_limit
from tiergate.catalog.reading.document import Broken, Mapping, Node, describe, shorten
from tiergate.catalog.reading.fields import Fields, find_suggestion, read_units
from tiergate.model import (
    MAX_EDGE_UNITS,
    UNLIMITED,
    AddedAmount,
    Amount,
    Feature,
    FeatureType,
    Level,
    LimitKind,
    MeteredAmount,
    OverrideMode,
    Per,
    Switch,
    Unlimited,
    Value,
    format_units,
)

if TYPE_CHECKING:
    from tiergate.catalog.reading.problem_report import Report

_SHOWN_LEVELS = 12
_LIMIT_KEYS = frozenset({"limit", "overage_max"})
_NUMBER_TYPES = (FeatureType.QUANTITY, FeatureType.RANGE)


def read_entitlement(node: Node, place: int, feature: Feature, report: Report) -> Value | None:
    """Read the value that an item gives for `feature`; `None` after a problem."""
    if isinstance(node, Mapping) and feature.type in _NUMBER_TYPES:
        return _number_mapping(node, place, feature, report)
    value = _read_value(node, place, feature, report)
    if value is None or feature.type not in _NUMBER_TYPES:
        return value
    return value if _fits(value, place, feature, report) else None


def is_plainly_valid(value: Value, feature: Feature) -> bool:
    """Return whether `read_entitlement` surely accepts the written form of a value that an item gives for `feature`.

    Quick, and exact where it says yes; no leaves it open, as for a number with `per`.
    """
    match value:
        case MeteredAmount():
            return False
        case Switch(on):
            return feature.type is FeatureType.SWITCH and on.__class__ is bool
        case Level(label):
            return feature.type is FeatureType.CUSTOM and label in feature.labels and label.isascii()
        case Unlimited():
            return feature.type in _NUMBER_TYPES and _misfit(value, feature) is None
        case Amount(units, None):
            is_number = feature.type in _NUMBER_TYPES and 0 <= units <= MAX_EDGE_UNITS
            return is_number and _misfit(value, feature) is None
        case _:
            return False


def read_override_value(
    node: Node, place: int, feature: Feature, report: Report, mode: OverrideMode = OverrideMode.REPLACE
) -> Value | None:
    """Read the value of an override; `None` after a problem. Levels of numbers and ranges do not bind it."""
    if mode is OverrideMode.ADD:
        return _added(node, place, feature, report)
    if isinstance(node, Mapping) and feature.type in _NUMBER_TYPES:
        says_limit = feature.type is FeatureType.QUANTITY and not _LIMIT_KEYS.isdisjoint(node.entries)
        if says_limit and mode is OverrideMode.REPLACE:
            return _override_amount(node, place, feature, report)
        message = "the value of an override is a number or `unlimited`: `add` and `per` are not allowed"
        if says_limit:
            message = f"an override of mode `{mode.value}` keeps the kind of limit: `replace` can give another one"
        report.add(place, "wrong-type", message)
        return None
    return _read_value(node, place, feature, report)


def _read_value(node: Node, place: int, feature: Feature, report: Report) -> Value | None:
    match feature.type:
        case FeatureType.SWITCH:
            return _switch(node, place, feature, report)
        case FeatureType.CUSTOM:
            return _level(node, place, feature, report)
        case FeatureType.QUANTITY | FeatureType.RANGE:
            return _number(node, place, feature, report)


def _added(node: Node, place: int, feature: Feature, report: Report) -> Amount | None:
    """Return the positive number by which an override raises a quantity or range."""
    if feature.type is FeatureType.SWITCH or feature.type is FeatureType.CUSTOM:
        called = "a switch" if feature.type is FeatureType.SWITCH else "a custom feature"
        message = f"`{feature.id}` is {called}: an override of mode `add` raises a quantity or a range"
        report.add(place, "mode-not-for-type", message)
        return None
    if isinstance(node, Mapping) or (isinstance(node, str) and node == "unlimited"):
        message = f"an override of mode `add` needs a positive number, not {describe(node)}"
        hint = ": give `unlimited` with mode `at_least`" if isinstance(node, str) else ""
        report.add(place, "unfit-value", message + hint)
        return None
    value = _number(node, place, feature, report)
    if isinstance(value, Amount) and value.units == 0:
        report.add(place, "unfit-value", "an override of mode `add` needs a positive number: 0 raises nothing")
        return None
    return value if isinstance(value, Amount) else None


def _switch(node: Node, place: int, feature: Feature, report: Report) -> Switch | None:
    if isinstance(node, bool):
        return Switch(node)
    if not isinstance(node, Broken):
        message = f"`{feature.id}` is a switch: it must be `true` or `false`, not {describe(node)}"
        report.add(place, "unfit-value", message)
    return None


def _level(node: Node, place: int, feature: Feature, report: Report) -> Level | None:
    if isinstance(node, Broken):
        return None
    if not isinstance(node, str):
        hint = ": put it in quotes" if isinstance(node, bool | int | Decimal) else ""
        message = f"`{feature.id}` must be one of its levels, which are text, not {describe(node)}{hint}"
        report.add(place, "unfit-value", message)
        return None
    label = feature.label_of(node)
    if label is None:
        near = find_suggestion(node, feature.labels, report)
        levels = "" if near else ": it has " + _listed([f"`{shorten(label)}`" for label in feature.labels])
        report.add(place, "unknown-level", f"`{feature.id}` has no level `{shorten(node)}`{levels}", near)
        return None
    return Level(label)


def _number(node: Node, place: int, feature: Feature, report: Report) -> Value | None:
    if node == "unlimited":
        return UNLIMITED
    if isinstance(node, bool | str | None) or not isinstance(node, int | Decimal):
        if not isinstance(node, Broken):
            message = f"`{feature.id}` must be a number or `unlimited`, not {describe(node)}"
            report.add(place, "unfit-value", message)
        return None
    units = read_units(node, place, feature.scale, report)
    return None if units is None else Amount(units)


def _number_mapping(node: Mapping, place: int, feature: Feature, report: Report) -> Value | None:
    if "add" in node.entries and "value" in node.entries:
        report.add(node.key_place("add"), "key-conflict", "`add` cannot be combined with `value`: use one of them")
        return None
    key = "add" if "add" in node.entries else "value"
    known = _LIMIT_KEYS if feature.type is FeatureType.QUANTITY else frozenset[str]()
    fields = Fields.of(node, place, report, known | {key, "per"}, [key])
    if fields is None or key not in fields:
        return None
    per = fields.choice("per", Per)
    value, before = _inner_number(fields, key, feature, report), report.count
    limit = _limit(fields, feature, report)
    if value is None or report.count > before:
        return None
    if key == "add":
        return AddedAmount(value.units, per) if isinstance(value, Amount) else None
    if not _fits(value, fields.at(key), feature, report):
        return None
    if not isinstance(value, Amount):
        return value
    return Amount(value.units, per) if limit is None else MeteredAmount(value.units, per, *limit)


def _inner_number(fields: Fields, key: str, feature: Feature, report: Report) -> Value | None:
    """Read the number under `value` or `add`."""
    inner = fields.entries[key]
    if inner == "unlimited" and isinstance(inner, str):
        if key == "add":
            fields.problem(key, "unfit-value", "`unlimited` cannot be added: give it as the value")
            return None
        if "per" in fields:
            message = "`unlimited` is the same per unit and per subscription: leave `per` out"
            fields.problem("per", "unfit-value", message)
            return None
    if isinstance(inner, Mapping):
        fields.problem(key, "unfit-value", f"`{feature.id}` must be a number here, not a mapping")
        return None
    return _number(inner, fields.at(key), feature, report)


def _limit(fields: Fields, feature: Feature, report: Report) -> tuple[LimitKind, int | None] | None:
    """Read what happens above a number, if the value says it: the kind of limit, and the units above a soft one."""
    said = [key for key in ("limit", "overage_max") if key in fields]
    if not said or feature.type is not FeatureType.QUANTITY:
        return None
    if "add" in fields:
        message = f"`{said[0]}` cannot be combined with `add`: give it beside `value`"
    elif feature.metered is None:
        message = f"the usage of `{feature.id}` is not counted: add `metered` to it, or leave `{said[0]}` out"
        report.add(fields.key_place(said[0]), "limit-not-metered", message)
        return None
    elif fields.entries.get("value") == "unlimited":
        message = f"there is nothing above `unlimited`: leave `{said[0]}` out"
    else:
        return read_limit(fields, feature.scale, report)
    report.add(fields.key_place(said[0]), "key-conflict", message)
    return None


def _override_amount(node: Mapping, place: int, feature: Feature, report: Report) -> Value | None:
    """Read the value of an override that says what happens above it: `{value: 100, limit: soft}`."""
    before = report.count
    fields = Fields.of(node, place, report, _LIMIT_KEYS | {"value"}, ("value",))
    limit = None if fields is None or "value" not in fields else _limit(fields, feature, report)
    if fields is None or limit is None or report.count > before:
        return None
    units = read_units(fields.entries["value"], fields.at("value"), feature.scale, report)
    return None if units is None else MeteredAmount(units, None, *limit)


def _fits(value: Value, place: int, feature: Feature, report: Report) -> bool:
    """Return whether a definition may give this value directly; report it if not."""
    misfit = _misfit(value, feature)
    if misfit is not None:
        report.add(place, *misfit)
    return misfit is None


def _misfit(value: Value, feature: Feature) -> tuple[str, str] | None:
    """Return why a definition may not give this value directly: code and message; `None` if it may."""
    if not isinstance(value, Amount):
        if feature.maximum is not None:
            most = format_units(feature.maximum, feature.scale)
            return "unfit-value", f"`unlimited` is above the maximum of `{feature.id}`, which is {most}"
        return None if feature.unlimited_level else _no_level("unlimited", feature)
    units = value.units
    if feature.numbers is not None and units not in feature.numbers:
        return _no_level(format_units(units, feature.scale), feature)
    if feature.minimum is not None and units < feature.minimum:
        shown, least = (format_units(it, feature.scale) for it in (units, feature.minimum))
        return "unfit-value", f"`{shown}` is below the minimum of `{feature.id}`, which is {least}"
    if feature.maximum is not None and units > feature.maximum:
        shown, most = (format_units(it, feature.scale) for it in (units, feature.maximum))
        return "unfit-value", f"`{shown}` is above the maximum of `{feature.id}`, which is {most}"
    return None


def _no_level(shown: str, feature: Feature) -> tuple[str, str]:
    levels = [format_units(units, feature.scale) for units in feature.numbers or ()]
    if feature.unlimited_level:
        levels.append("`unlimited`")
    return "unknown-level", f"`{shown}` is not a level of `{feature.id}`: it has {_listed(levels)}"


def _listed(words: list[str]) -> str:
    shown = ", ".join(words[:_SHOWN_LEVELS])
    more = len(words) - _SHOWN_LEVELS
    return f"{shown} and {more} more" if more > 0 else shown
