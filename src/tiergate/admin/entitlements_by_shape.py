"""What customers without exceptions have of each feature, found once for all who hold the same.

A shape is what the live subscriptions of a customer hold: versions with their quantities, by subscription. Where there
is no override and no suspension, the entitlements are a function of the shape and the catalog alone (`engine.facts`),
apart from features that are suspended for everybody. So they are resolved once for a shape, as if for nobody, and kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.engine.active_items import ActiveItems, ActiveSubscription, ActiveVersion
from tiergate.engine.facts import TotalOverflowError, held_definitions, resolve_facts
from tiergate.impact.preview.subject_effects import value_from_facts
from tiergate.model import BEGINNING, FOREVER, Customer, FeatureType, Subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from tiergate.impact.subject_change.change_effects import CatalogDefinitions
    from tiergate.model import Feature, Instant, Number

    Entitlement: TypeAlias = bool | Number | str | None
    """A number or `"unlimited"`, a level, `true` or `false`; for what is not held: 0, `false`, or no level (`None`)."""

Shape = tuple[tuple[ActiveVersion, ...], ...]

_MOST_VALUES: Final = 100_000
"""Entitlements kept of one catalog, about 100 bytes each."""

_MOST_DIFFERENCES: Final = 20_000
"""Differences of two shapes kept of one catalog, about 300 bytes each."""

_NOBODY: Final = Customer("")


def shape_of(items: ActiveItems) -> Shape | None:
    """Return the shape of what a customer holds; none if there is an exception from it, at whatever time."""
    return tuple([it.versions for it in items.subscriptions]) if items.is_plain else None


class EntitlementsByShape:
    """The entitlements of the shapes of one catalog. Safe to use from several threads."""

    def __init__(self, source: CatalogDefinitions) -> None:
        """Resolve nothing yet."""
        self.source = source
        features = max(1, len(source.index.features))
        self._kept = lru_cache(max(64, _MOST_VALUES // features))(self._resolve)
        self._compared = lru_cache(max(16, _MOST_DIFFERENCES // features))(self._compare)

    def changes(self, before: Shape, after: Shape, at: Instant) -> list[dict[str, object]]:
        """Return the features whose entitlement differs at an instant, with both.

        What is suspended for everybody then is 0 on both sides, and does not differ.
        """
        return [
            change
            for feature, change in self._compared(before, after)
            if not any(suspension.start <= at < suspension.until for suspension in feature.suspensions)
        ]

    def _compare(self, before: Shape, after: Shape) -> Sequence[tuple[Feature, dict[str, object]]]:
        old, new = self._kept(before), self._kept(after)
        features = self.source.index.features
        differing = [features[id_] for id_ in sorted({id_ for id_, _ in old.items() ^ new.items()})]
        return [
            (it, {"feature": it.id, "before": old.get(it.id, nothing(it)), "after": new.get(it.id, nothing(it))})
            for it in differing
        ]

    def _resolve(self, shape: Shape) -> Mapping[str, Entitlement]:
        """Return what a shape has of each feature, as if none was suspended; without what it does not have."""
        subscriptions = tuple(ActiveSubscription("", versions, (), ()) for versions in shape)
        refs = tuple(sorted({version.ref for versions in shape for version in versions}))
        items = ActiveItems(_NOBODY, (), subscriptions, refs, BEGINNING, FOREVER, is_plain=True)
        held, known = held_definitions(items, self.source), self.source.index.features
        features = {id_: known[id_] for _, _, values in held for id_ in values if id_ in known}
        found: dict[str, Entitlement] = {}
        for id_, feature in features.items():
            try:
                facts = resolve_facts(replace(feature, suspensions=()), items, _SUBJECT, self.source, BEGINNING, held)
            except TotalOverflowError:
                found[id_] = None
                continue
            value = value_from_facts(facts) if facts.active else nothing(feature)
            if value != nothing(feature):
                found[id_] = value
        return found


_SUBJECT: Final = Subject(_NOBODY.id)


def nothing(feature: Feature) -> Entitlement:
    """Return the entitlement of those who do not hold a feature."""
    match feature.type:
        case FeatureType.SWITCH:
            return False
        case FeatureType.CUSTOM:
            return None
        case _:
            return 0
