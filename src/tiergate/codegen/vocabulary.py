"""What a catalog gives names to, as all languages write it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.codegen.names import identifiers, pascal
from tiergate.model import FeatureStatus, FeatureType, ItemKind, ItemStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.model import Catalog, Feature, Item

TITLES: Final = {
    ItemKind.PLAN: ("Plan", "a plan"),
    ItemKind.ADDON: ("AddOn", "an add-on"),
    ItemKind.CHARGE: ("Charge", "a charge"),
}
"""Kind of item → the name of the type of its ids, and what it is called in a sentence."""

ORDER: Final = (FeatureType.SWITCH, FeatureType.QUANTITY, FeatureType.RANGE, FeatureType.CUSTOM)


class Named(NamedTuple):
    """An id with what people are told about it, in one line each; `archived`: not to be used any more."""

    id: str
    says: str
    archived: bool = False


class LevelsOf(NamedTuple):
    """The levels of a custom feature, lowest first. `type_name`: the name of their type, such as `SupportLevel`."""

    feature: str
    type_name: str
    labels: tuple[str, ...]


class Vocabulary(NamedTuple):
    """The features of each type, by id; the levels of custom features; the items of each kind, by id."""

    features: dict[FeatureType, list[Named]]
    levels: list[LevelsOf]
    items: dict[ItemKind, list[Named]]
    metered: list[str]

    @property
    def all_features(self) -> list[Named]:
        """The features of all types, by id."""
        return sorted(named for some in self.features.values() for named in some)


def vocabulary_of(catalog: Catalog) -> Vocabulary:
    """Collect the names of a catalog, without items that are private to one customer."""
    features = [feature for _, feature in sorted(catalog.features.items())]
    customs = [feature for feature in features if feature.type is FeatureType.CUSTOM]
    types = identifiers((feature.id for feature in customs), lambda id_: f"{pascal(id_)}Level")
    return Vocabulary(
        {kind: [_feature(feature) for feature in features if feature.type is kind] for kind in ORDER},
        [LevelsOf(feature.id, types[feature.id], feature.labels) for feature in customs],
        {kind: _items(item for item in catalog.items.values() if item.kind is kind) for kind in ItemKind},
        [feature.id for feature in features if feature.metered is not None],
    )


def _items(items: Iterable[Item]) -> list[Named]:
    return sorted(
        Named(item.id, _line(item.name, item.description), item.status is ItemStatus.ARCHIVED)
        for item in items
        if not item.private_to
    )


def _feature(feature: Feature) -> Named:
    unit = f"in {feature.unit}" if feature.unit else ""
    digits = f"{feature.scale} decimal digits" if feature.scale > 1 else "1 decimal digit" if feature.scale else ""
    kind = ", ".join(part for part in (feature.type.value, unit, digits) if part)
    says = _line(feature.name, feature.description)
    return Named(feature.id, f"{says} ({kind})" if says else kind, feature.status is FeatureStatus.ARCHIVED)


def _line(name: str, description: str) -> str:
    return " ".join(": ".join(part for part in (name, description) if part).split())
