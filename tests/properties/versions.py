"""Two years of a real pricing as two versions of one catalog: what both years sell, of what both say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from tests.reference.pricings import Pricing
from tiergate.model import Catalog, Definition, Rollout

if TYPE_CHECKING:
    from tests.properties.years import Side
    from tests.reference.pricings import Declared
    from tiergate.model import Item

V = TypeVar("V")


def common(old: Pricing, new: Pricing) -> tuple[Pricing, Pricing]:
    """What both years sell, of what both years say the same for everybody; add-ons need what they needed before."""
    features = {name: declared for name, declared in old.features.items() if new.features.get(name) == declared}

    def of(one: Pricing, other: Pricing) -> Pricing:
        return Pricing(
            {name: kept(given, features) for name, given in one.plans.items() if name in other.plans},
            {name: kept(given, features) for name, given in one.add_ons.items() if name in other.add_ons},
            {name: kept(given, features) for name, given in one.added.items() if name in other.added},
            features,
            needs,
        )

    both = {*old.items} & {*new.items}
    needs = {
        name: frozenset(left for group in groups if (left := group & both))
        for name, groups in old.needs.items()
        if name in both
    }
    return of(old, new), of(new, old)


def kept(given: dict[str, V], features: dict[str, Declared]) -> dict[str, V]:
    """What is given of some features."""
    return {name: value for name, value in given.items() if name in features}


def versions(old: Pricing, new: Pricing) -> Pricing:
    """Both years as one: `PRO@1` and `PRO@2`, each of which is the item that others need."""
    sides = ((1, old), (2, new))
    return Pricing(
        {f"{name}@{number}": given for number, of in sides for name, given in of.plans.items()},
        {f"{name}@{number}": given for number, of in sides for name, given in of.add_ons.items()},
        {f"{name}@{number}": given for number, of in sides for name, given in of.added.items()},
        old.features,
        {
            f"{name}@{number}": frozenset(
                frozenset(f"{it}@{each}" for it in group for each in (1, 2)) for group in groups
            )
            for number, of in sides
            for name, groups in of.needs.items()
        },
    )


def catalogs(old: Side, new: Side, features: set[str], items: set[str], rollout: Rollout) -> tuple[Catalog, Catalog]:
    """A catalog of first versions, and one with the second ones too, by this rollout."""
    kept_features = {id_: it for id_, it in old.catalog.features.items() if it.name in features}
    later = {it.name: it for it in new.catalog.items.values()}

    def definition(item: Item, number: int) -> Definition:
        given = item.versions[0].entitlements
        return Definition(number, {id_: value for id_, value in given.items() if id_ in kept_features})

    kept_items = {id_ for id_, it in old.catalog.items.items() if it.name in items}
    before, after = {}, {}
    for id_, item in old.catalog.items.items():
        if id_ not in kept_items:
            continue
        one = msgspec.structs.replace(
            item,
            available_for=tuple(it for it in item.available_for if it in kept_items),
            depends_on=tuple(it for it in item.depends_on if it in kept_items),
            excludes=(),
            versions=(definition(item, 1),),
        )
        before[id_] = one
        both = (definition(item, 1), definition(later[item.name], 2))
        after[id_] = msgspec.structs.replace(one, versions=both, rollouts=(Rollout(1), rollout))
    features_ = {id_: msgspec.structs.replace(it, linked=()) for id_, it in kept_features.items()}
    return Catalog(features_, before), Catalog(features_, after)
