"""Convert a pricing into features and items of the model.

- A BOOLEAN feature or limit becomes a switch.
- A TEXT one becomes a custom feature, its levels in the order of their first appearance: default, plans, add-ons.
- A NUMERIC one becomes a quantity with `combine: max`, with the smallest scale that its numbers need.
- A plan gives every feature and limit its own value, else the default. An empty text gives nothing.
- An add-on gives its own values; an extension is added, times its quantity; `.inf` is unlimited.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.catalog.pricing2yaml.identifiers import add_prefix, assign_ids, make_prefix
from tiergate.catalog.pricing2yaml.syntax import ValueType
from tiergate.catalog.reading.document import shorten
from tiergate.model import (
    MAX_SCALE,
    AddedAmount,
    Amount,
    Combine,
    Definition,
    Feature,
    FeatureType,
    Item,
    Level,
    Number,
    Rollout,
    Value,
    to_units,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.catalog.pricing2yaml.pricing import Pricing, SourceFeature, SourceItem, SourceValue, Stated

NO_LEVEL = "unspecified"
"""The level of a text that is always empty: a custom feature has at least one level, and no item gives this one."""

_FEATURE, _LIMIT, _PLAN, _ADD_ON = "feature", "limit", "plan", "addon"


@dataclass(frozen=True, slots=True)
class Converted:
    """The features and items of one pricing by id, and the place of each in its file."""

    features: dict[str, Feature]
    items: dict[str, Item]
    places: dict[tuple[str, str], int]
    """(`feature` or `item`, id) → place."""


class _Ids:
    """The ids of a pricing's keys."""

    def __init__(self, pricing: Pricing, *, prefix: bool) -> None:
        declared = [(_FEATURE, key) for key in pricing.features] + [(_LIMIT, key) for key in pricing.limits]
        sold = [(_PLAN, key) for key in pricing.plans] + [(_ADD_ON, key) for key in pricing.add_ons]
        self._ids = assign_ids(declared) | assign_ids(sold)
        self._prefix = make_prefix(pricing.service, pricing.version) if prefix else ""

    def __call__(self, kind: str, key: str) -> str:
        id_ = self._ids[kind, key]
        return add_prefix(self._prefix, id_) if self._prefix else id_

    def of(self, kind: str, keys: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(self(kind, key) for key in keys))


def convert(pricing: Pricing, *, prefix: bool) -> Converted:
    """Convert a pricing without problems; reports numbers that do not fit a quantity.

    With `prefix`, its service and version begin every id; both must be known.
    """
    ids = _Ids(pricing, prefix=prefix)
    features: dict[str, Feature] = {}
    places: dict[tuple[str, str], int] = {}
    for kind, declared in ((_FEATURE, pricing.features), (_LIMIT, pricing.limits)):
        for source in declared.values():
            feature = _feature(source, kind, ids, pricing)
            features[feature.id] = feature
            places["feature", feature.id] = source.place
    items: dict[str, Item] = {}
    for kind, sold in ((_PLAN, pricing.plans), (_ADD_ON, pricing.add_ons)):
        for source_item in sold.values():
            item = _item(source_item, kind, ids, features, pricing)
            items[item.id] = item
            places["item", item.id] = source_item.place
    return Converted(features, items, places)


def _feature(source: SourceFeature, kind: str, ids: _Ids, pricing: Pricing) -> Feature:
    common = Feature(
        id=ids(kind, source.key),
        type=FeatureType.SWITCH,
        name=source.key,
        description=source.description,
        linked=ids.of(_FEATURE, source.linked),
    )
    match source.value_type:
        case ValueType.BOOLEAN:
            return common
        case ValueType.TEXT:
            return replace(common, type=FeatureType.CUSTOM, labels=_labels(source, kind, pricing))
        case ValueType.NUMERIC:
            return replace(
                common,
                type=FeatureType.QUANTITY,
                unit=source.unit,
                scale=_scale(source, kind, pricing),
                combine=Combine.MAX,
                metered=source.metered,
            )


def _all_stated(source: SourceFeature, kind: str, pricing: Pricing) -> Iterator[Stated]:
    """Yield every value of the pricing for a feature or limit: default, plans, add-ons."""
    yield source.default
    for sold in (pricing.plans, pricing.add_ons):
        for item in sold.values():
            for section in (item.features,) if kind == _FEATURE else (item.limits, item.extensions):
                if source.key in section:
                    yield section[source.key]


def _labels(source: SourceFeature, kind: str, pricing: Pricing) -> tuple[str, ...]:
    stated = (stated.value for stated in _all_stated(source, kind, pricing))
    return tuple(dict.fromkeys(value.label for value in stated if isinstance(value, Level))) or (NO_LEVEL,)


def _scale(source: SourceFeature, kind: str, pricing: Pricing) -> int:
    """Return the most decimal digits that the numbers need; report every number that no scale fits."""
    stated = _all_stated(source, kind, pricing)
    numbers = [(entry.value, entry.place) for entry in stated if isinstance(entry.value, Number)]
    scale = max((digits for number, _ in numbers if (digits := _decimal_digits(number)) <= MAX_SCALE), default=0)
    for number, place in numbers:
        try:
            to_units(number, scale if _decimal_digits(number) <= scale else MAX_SCALE)
        except ValueError as error:
            pricing.report.add(place, "bad-number", f"`{shorten(str(number))}` {error}")
    return scale


def _decimal_digits(number: Number) -> int:
    """Return how many decimal digits a number needs: two for 1.25, none for 4.00."""
    _, digits, exponent = Decimal(number).as_tuple()
    written = "".join(map(str, digits))
    zeros = len(written) - len(written.rstrip("0"))
    return max(0, -(int(exponent) + zeros)) if zeros < len(written) else 0


def _item(source: SourceItem, kind: str, ids: _Ids, features: dict[str, Feature], pricing: Pricing) -> Item:
    given: dict[str, Value] = {}

    def give(feature_kind: str, key: str, value: SourceValue, *, extends: bool = False) -> None:
        feature = features[ids(feature_kind, key)]
        converted = _value(value, feature, extends=extends)
        if converted is not None:
            given[feature.id] = converted

    if kind == _PLAN:
        for key, feature in pricing.features.items():
            give(_FEATURE, key, source.features.get(key, feature.default).value)
        for key, limit in pricing.limits.items():
            give(_LIMIT, key, source.limits.get(key, limit.default).value)
    else:
        for key, stated in source.features.items():
            give(_FEATURE, key, stated.value)
        for key, stated in source.limits.items():
            give(_LIMIT, key, stated.value)
        for key, stated in source.extensions.items():
            give(_LIMIT, key, stated.value, extends=True)
    return Item(
        id=ids(kind, source.key),
        kind=source.kind,
        name=source.key,
        description=source.description,
        versions=(Definition(1, dict(sorted(given.items()))),),
        rollouts=(Rollout(1),),
        available_for=ids.of(_PLAN, source.available_for),
        depends_on=ids.of(_ADD_ON, source.depends_on),
        excludes=ids.of(_ADD_ON, source.excludes),
    )


def _value(value: SourceValue, feature: Feature, *, extends: bool) -> Value | None:
    if not isinstance(value, Number):
        return value
    try:
        units = to_units(value, feature.scale)
    except ValueError:
        return None  # reported with the scale
    return AddedAmount(units) if extends else Amount(units)
