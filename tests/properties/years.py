"""Real pricings, one year after the other, as plain YAML says and as imported; what a change does to customers."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.reference.pricings import YEARS, Pricing, Verdict, pricing, verdict
from tiergate.bundle import Bundle
from tiergate.catalog.pricing2yaml import import_pricings
from tiergate.compiler import compile_catalog
from tiergate.impact.preview.preview import KnownUsage
from tiergate.impact.preview.subject_effects import UNLIMITED, SubjectEffect
from tiergate.model import FeatureType, OverrideMode, Rules, Subject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.properties.buyers import Buyer
    from tests.reference.pricings import Held
    from tiergate.model import Catalog, Feature, Instant

NOW = 1_800_000_000_000
KEPT = "kept"
"""What would be taken, and is not because of an exception: told as what would be held without it."""
MOST_BYTES = 12_000


def newest(path: Path) -> Path:
    """The last pricing of a service."""
    return max(path.parent.glob("*.yml"))


def is_quick(before: Path, after: Path) -> bool:
    """Whether it takes a second or two to decide every case of a change: the last one of a small pricing."""
    return after == newest(before) and after.stat().st_size < MOST_BYTES


def is_last(_: Path, after: Path) -> bool:
    """Whether it is the last change of a service."""
    return after == newest(after)


def _parametrize(is_in_short: Callable[[Path, Path], bool]) -> pytest.MarkDecorator:
    """All changes, of which `make test` tests some, and `make test-slow` the others."""
    return pytest.mark.parametrize(
        ("before", "after"),
        [pytest.param(*change, marks=() if is_in_short(*change) else pytest.mark.slow) for change in YEARS],
        ids=[f"{before.parent.name}-{before.stem}-{after.stem}" for before, after in YEARS],
    )


each_change = _parametrize(is_last)
each_change_in_depth = _parametrize(is_quick)
"""Some seconds each: of small services only."""


class Side:
    """A year: what plain YAML says, and what comes of importing and compiling it."""

    def __init__(self, path: Path) -> None:
        self.said: Pricing = pricing(path)
        self.catalog: Catalog = import_pricings([path])
        self.bundle = Bundle.from_files(compile_catalog(self.catalog, Rules()))
        self.features = {id_: feature.name for id_, feature in self.catalog.features.items()}
        self.items = {id_: item.name for id_, item in self.catalog.items.items()}


@cache
def side(path: Path) -> Side:
    """A year, made once."""
    return Side(path)


def names(old: Side, new: Side) -> tuple[dict[str, str], dict[str, str]]:
    """The names of both years' features and items, by their ids: these say whether it is the same one."""
    features, items = old.features | new.features, old.items | new.items
    assert len({*features.values()}) == len(features)
    assert len({*items.values()}) == len(items)
    return features, items


class Used:
    """What buyers have used, themselves and by each of their subscriptions."""

    def __init__(self, buyers: list[Buyer], features: dict[str, str]) -> None:
        self._used = {buyer.id: buyer.used for buyer in buyers}
        self._used |= {it.id: buyer.used for buyer in buyers for it in buyer.bought}
        self._features = features

    def known(self, subject: Subject, feature: str, at: Instant) -> KnownUsage | None:
        """What a subject has used of a feature, at any instant."""
        del at
        found = self._used[subject.id].get(self._features[feature])
        return None if found is None else KnownUsage(Decimal(found.numerator) / Decimal(found.denominator))


class Effected(NamedTuple):
    """An effect on somebody, in plain terms."""

    subject: str
    feature: str
    verdict: str
    before: Held
    after: Held
    above: bool


_TAKING = {Verdict.LOSES, Verdict.LESS, Verdict.OTHER}


def expected_effects(old: Pricing, new: Pricing, buyer: Buyer, later: Buyer | None = None) -> set[Effected]:
    """All effects on a customer, and on each subscription that counts of those who have several.

    `later`: the customer who has something else then.
    """
    becomes = later or buyer
    subjects: list[tuple[str, str | None]] = [(buyer.id, None)]
    if len(buyer.bought) > 1:
        subjects += [(it.id, it.id) for it in buyer.bought if it.live]
    found = set()
    for subject, only in subjects:
        for feature in old.features.keys() | new.features.keys():
            before, after = buyer.held(old, feature, only), becomes.held(new, feature, only)
            said = verdict(old, new, feature, before, after)
            used = buyer.used.get(feature, 0)
            takes = said in _TAKING
            above = takes and used > (after if isinstance(after, Fraction | float) else 0)
            exempt = buyer.exempt.get(feature)
            if exempt is not None and exempt.mode is not OverrideMode.DISABLED and not takes:
                had, has = buyer.bare().held(old, feature, only), becomes.bare().held(new, feature, only)
                if verdict(old, new, feature, had, has) in _TAKING:
                    found.add(Effected(subject, feature, KEPT, had, has, above=False))
            if said is not Verdict.SAME:
                found.add(Effected(subject, feature, said.value, before, after, above))
    return found


def told_value(value: object, feature: Feature | None) -> Held:
    """A value as an effect tells it, in plain terms."""
    if feature is None or not value:
        return None
    if value == UNLIMITED:
        return math.inf
    return Fraction(str(value)) if feature.type is FeatureType.QUANTITY else value  # type: ignore[return-value]


def effected(one: SubjectEffect, old: Catalog, new: Catalog) -> Effected:
    """An effect as it was told, in plain terms."""
    was, becomes = old.features.get(one.feature), new.features.get(one.feature)
    named = was or becomes
    assert named is not None
    return Effected(
        one.subject.id,
        named.name,
        one.effect.value,
        told_value(one.before.value, was),
        told_value(one.after.value, becomes),
        one.above,
    )
