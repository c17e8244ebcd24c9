"""Read one feature of a catalog file.

`read_feature` reads all but `draws`, which `resolve_draws` reads when all features are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.catalog.entries.metering import check_draws_key, read_draws, read_metered
from tiergate.catalog.entries.service_levels import read_service_level
from tiergate.catalog.reading.document import Mapping, Node, describe, shorten
from tiergate.catalog.reading.fields import Fields, find_suggestion, read_line, read_units
from tiergate.model import (
    BEGINNING,
    FOREVER,
    MAX_SCALE,
    Batch,
    Caps,
    Combine,
    Feature,
    FeatureStatus,
    FeatureType,
    Suspension,
    format_units,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Mapping as ReadOnly

    from tiergate.catalog.reading.problem_report import Report
    from tiergate.model import Instant

_COMMON_KEYS = frozenset(
    {"id", "name", "description", "type", "status", "tags", "linked", "suspensions", "service_level"}
)
TYPE_KEYS: dict[FeatureType, frozenset[str]] = {
    FeatureType.SWITCH: _COMMON_KEYS,
    FeatureType.QUANTITY: _COMMON_KEYS
    | {"unit", "scale", "levels", "combine", "across", "batch", "caps", "metered", "draws"},
    FeatureType.RANGE: _COMMON_KEYS | {"unit", "scale", "combine", "across", "min", "max"},
    FeatureType.CUSTOM: _COMMON_KEYS | {"levels"},
}
"""The allowed keys of a feature, by type."""

FEATURE_KEYS = frozenset().union(*TYPE_KEYS.values())
"""The keys that are allowed for at least one type."""

_SUSPENSION_KEYS = frozenset({"from", "until", "reason"})
_BATCH_KEYS = frozenset({"minimum", "increment"})
_CAPS_KEYS = frozenset({"total", "per_user"})
_CALLED = {FeatureType.SWITCH: "a switch", FeatureType.CUSTOM: "a custom feature"}


def default_combine(type_: FeatureType) -> Combine:
    """Return the value of `combine` for a file that omits it.

    For files only: in a bundle or a database, the default is `sum` for every type.
    """
    return Combine.MAX if type_ is FeatureType.RANGE else Combine.SUM


@dataclass(frozen=True, slots=True)
class FeatureText:
    """A parsed feature, and whether it is valid enough to check entitlements against it."""

    feature: Feature
    is_checkable: bool


def read_feature(node: Node, place: int, report: Report) -> FeatureText | None:
    """Read a feature; `None` if its id or type is unknown."""
    fields = Fields.of(node, place, report, FEATURE_KEYS, ("id", "type"))
    if fields is None:
        return None
    id_, type_ = fields.id("id"), fields.choice("type", FeatureType)
    if type_ is not None:
        _reject_foreign_keys(fields, type_, report)
    before = report.count
    scale = fields.integer("scale", 0, MAX_SCALE) or 0
    minimum, maximum = _range(fields, scale)
    labels = _labels(fields, report) if type_ is FeatureType.CUSTOM else ()
    numbers, unlimited_level = _numbers(fields, scale, report) if type_ is FeatureType.QUANTITY else (None, True)
    is_checkable = report.count == before
    metered = read_metered(fields, scale, report)
    check_draws_key(fields, report)
    caps = _caps(fields, scale, report)
    feature = Feature(
        id=id_ or "",
        type=type_ or FeatureType.SWITCH,
        name=fields.line("name"),
        description=fields.prose("description"),
        status=fields.choice("status", FeatureStatus) or FeatureStatus.ACTIVE,
        unit=fields.line("unit"),
        scale=scale,
        tags=fields.tags("tags"),
        labels=labels,
        numbers=numbers,
        unlimited_level=unlimited_level,
        combine=fields.choice("combine", Combine) or default_combine(type_ or FeatureType.SWITCH),
        minimum=minimum,
        maximum=maximum,
        batch=_batch(fields, scale, report),
        caps=caps,
        metered=metered,
        linked=fields.sorted_ids("linked"),
        suspensions=_suspensions(fields, report),
        across=fields.choice("across", Combine) or Combine.SUM,
        service_level=read_service_level(fields, report),
    )
    return None if id_ is None or type_ is None else FeatureText(feature, is_checkable)


def check_linked(
    feature: Feature, node: Node, place: int, known: Collection[str], report: Report, *, complete: bool = True
) -> None:
    """Report ids in `linked` that are the feature's own or, in a complete catalog, unknown."""
    if not feature.linked or not isinstance(node, Mapping):
        return
    for linked, at in Fields(node, place, report).ids("linked"):
        if linked == feature.id:
            report.add(at, "self-reference", f"`{linked}` names itself in `linked`")
        elif linked not in known and complete:
            report.add(at, "unknown-feature", f"no feature `{linked}`", find_suggestion(linked, known, report))


def resolve_draws(
    feature: Feature,
    node: Node,
    known: ReadOnly[str, Feature | None],
    drawing: Collection[str],
    report: Report,
    *,
    complete: bool = True,
) -> Feature:
    """Return the feature with what it draws on, if it has the key `draws`; the arguments are those of `read_draws`."""
    if feature.type is not FeatureType.QUANTITY or feature.metered is None:
        return feature
    draws = read_draws(feature, node, known, drawing, report, complete=complete)
    return feature if draws is None else replace(feature, draws=draws)


def _reject_foreign_keys(fields: Fields, type_: FeatureType, report: Report) -> None:
    for key in fields.entries:
        if key in FEATURE_KEYS and key not in TYPE_KEYS[type_]:
            called = _CALLED.get(type_, f"a {type_.value}")
            report.add(fields.key_place(key), "key-not-for-type", f"{called} has no `{key}`")
    if type_ is FeatureType.CUSTOM and "levels" not in fields:
        report.add(fields.place, "missing-key", "the key `levels` is missing: a custom feature has levels")


def _range(fields: Fields, scale: int) -> tuple[int | None, int | None]:
    minimum, maximum = fields.units("min", scale), fields.units("max", scale)
    if minimum is not None and maximum is not None and minimum > maximum:
        least, most = format_units(minimum, scale), format_units(maximum, scale)
        fields.problem("max", "empty-range", f"the maximum {most} is below the minimum {least}")
    return minimum, maximum


def _labels(fields: Fields, report: Report) -> tuple[str, ...]:
    result: dict[str, None] = {}
    for node, place in fields.entries_of("levels"):
        label = read_line(node, place, report)
        if label in result:
            report.add(place, "duplicate-entry", f"duplicate level `{shorten(label)}`")
        elif label is not None:
            result[label] = None
    _reject_empty_levels(fields)
    return tuple(result)


def _numbers(fields: Fields, scale: int, report: Report) -> tuple[tuple[int, ...] | None, bool]:
    """Return the levels of a quantity, ascending, and whether `unlimited` is the top one; without the key, any."""
    if "levels" not in fields:
        return None, True
    result: list[int] = []
    unlimited = False
    for node, place in fields.entries_of("levels"):
        if unlimited:
            report.add(
                place, "levels-order", "`unlimited` must be the last level: levels go from the lowest to the highest"
            )
        elif node == "unlimited":
            unlimited = True
        elif isinstance(node, str):
            report.add(place, "wrong-type", f"a level is a number or `unlimited`, not {describe(node)}")
        else:
            _add_level(node, place, scale, result, report)
    _reject_empty_levels(fields)
    return tuple(result), unlimited


def _add_level(node: Node, place: int, scale: int, found: list[int], report: Report) -> None:
    units = read_units(node, place, scale, report)
    if units is None:
        return
    if found and units <= found[-1]:
        shown, last = format_units(units, scale), format_units(found[-1], scale)
        report.add(place, "levels-order", f"{shown} after {last}: levels go from the lowest to the highest")
    else:
        found.append(units)


def _reject_empty_levels(fields: Fields) -> None:
    if fields.is_empty_list("levels"):
        fields.problem("levels", "empty-list", "`levels` must not be empty")


def _batch(fields: Fields, scale: int, report: Report) -> Batch:
    inner = _inner(fields, "batch", _BATCH_KEYS, report)
    if inner is None:
        return Batch()
    return Batch(inner.units("minimum", scale, least=1), inner.units("increment", scale, least=1))


def _caps(fields: Fields, scale: int, report: Report) -> Caps:
    inner = _inner(fields, "caps", _CAPS_KEYS, report)
    if inner is None:
        return Caps()
    if "total" in inner and "metered" not in fields:
        inner.problem("total", "cap-not-metered", "a total cap needs counted usage: add `metered`")
    return Caps(inner.units("total", scale, least=1), inner.units("per_user", scale, least=1))


def _inner(fields: Fields, key: str, known: frozenset[str], report: Report) -> Fields | None:
    """Return the fields of an inner mapping, which must have at least one of the known keys."""
    if key not in fields:
        return None
    inner = Fields.of(fields.entries[key], fields.at(key), report, known)
    if inner is not None and not inner.entries:
        either = " or ".join(f"`{word}`" for word in sorted(known))
        fields.problem(key, "missing-key", f"`{key}` needs {either}")
    return inner


def _suspensions(fields: Fields, report: Report) -> tuple[Suspension, ...]:
    result = []
    for node, place in fields.entries_of("suspensions"):
        inner = Fields.of(node, place, report, _SUSPENSION_KEYS)
        if inner is not None:
            start, until = read_period(inner)
            result.append(Suspension("", start, until, inner.prose("reason")))
    return tuple(sorted(result, key=lambda suspension: (suspension.start, suspension.until, suspension.reason)))


def read_period(fields: Fields, *, may_be_empty: bool = False) -> tuple[Instant, Instant]:
    """Read `from` and `until` of a mapping; the defaults are the beginning and the end of time."""
    start, until = fields.instant("from"), fields.instant("until")
    if start is not None and until is not None and (until < start or (until == start and not may_be_empty)):
        later = "not be earlier than" if may_be_empty else "be later than"
        fields.problem("until", "empty-period", f"`until` must {later} `from`")
    return (BEGINNING if start is None else start), (FOREVER if until is None else until)
