"""What is said of a change, against what plain YAML says that changed, on all real pricings, one year after the other.

Nothing may be missing, and nothing may be there that did not change.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.properties.buyers import buyers, record
from tests.reference.pricings import YEARS, Pricing, Verdict, pricing, verdict
from tests.unit.catalog.pricing2yaml_decisions import held_value
from tests.unit.catalog.pricing2yaml_real import REASON, needs_files
from tiergate.bundle import Bundle
from tiergate.catalog.pricing2yaml import import_pricings
from tiergate.compiler import compile_catalog
from tiergate.engine import Engine
from tiergate.impact.touched import touched
from tiergate.model import Check, Rules, Subject, SubjectType

if TYPE_CHECKING:
    from pathlib import Path

    from tests.reference.pricings import Held
    from tiergate.model import Catalog, SubjectRecord

NOW = 1_800_000_000_000
QUANTITIES = (1, 2)

each_change = pytest.mark.parametrize(
    ("before", "after"), YEARS, ids=[f"{before.parent.name}-{before.stem}-{after.stem}" for before, after in YEARS]
)


class Change(NamedTuple):
    """What somebody had and has of a feature, and what that is to them."""

    before: Held
    after: Held
    verdict: Verdict


class Found:
    """One customer, whoever is asked for."""

    def __init__(self, record: SubjectRecord) -> None:
        self._record = record

    def find(self, subject: Subject) -> SubjectRecord:
        """The customer."""
        assert subject.id.startswith(self._record.customer.id)
        return self._record


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


def changes(old: Pricing, new: Pricing, holding: dict[str, int]) -> dict[str, Change]:
    """What is different for somebody who holds this, by feature."""
    found = {}
    for feature in old.features.keys() | new.features.keys():
        before, after = old.held(holding, feature), new.held(holding, feature)
        said = verdict(old, new, feature, before, after)
        if said is not Verdict.SAME:
            found[feature] = Change(before, after, said)
    return found


def declared_differently(old: Pricing, new: Pricing) -> set[str]:
    """Features of which the pricings say something else for everybody, or that only one of them has."""
    every = old.features.keys() | new.features.keys()
    return {feature for feature in every if old.features.get(feature) != new.features.get(feature)}


def gives(of: Pricing, item: str) -> set[str]:
    """The features about which an item says something, if only that they are off."""
    parts = (of.plans, of.add_ons, of.added)
    return {feature for part in parts for feature in part.get(item, {})}


@needs_files
def test_every_year_has_its_successor() -> None:
    """The tests below see 102 changes of 19 services."""
    assert len(YEARS) == 102, REASON
    assert len({before.parent for before, _ in YEARS}) == 19


@each_change
def test_customers_have_what_arithmetic_says(before: Path, after: Path) -> None:
    """Customers, and each of their subscriptions, hold by the engine what they are worked out to hold."""
    old, new = side(before), side(after)
    for number, buyer in enumerate(buyers(old.said, new.said, 6)):
        one = (old, new)[number % 2]
        items = {name: id_ for id_, name in (old.items | new.items).items()}
        features = {feature.name: feature for feature in (new.catalog.features | old.catalog.features).values()}
        engine = Engine(one.bundle, Found(record(buyer, items, features)))
        subjects = [Subject(buyer.id), *(Subject(it.id, SubjectType.SUBSCRIPTION) for it in buyer.bought)]
        for subject in subjects:
            only = subject.id if subject.type is SubjectType.SUBSCRIPTION else None
            for id_, name in one.features.items():
                decision = engine.decide(Check(subject, id_), NOW)
                assert held_value(decision) == buyer.held(one.said, name, only), (buyer, name)


@each_change
def test_what_is_touched_is_what_changed(before: Path, after: Path) -> None:
    """Just the features that are declared or given differently, and just the items by which somebody may notice."""
    old, new = side(before), side(after)
    features, items = names(old, new)
    found = touched(old.bundle, new.bundle, NOW)
    whole = declared_differently(old.said, new.said)
    by_item = {
        item: {feature for count in QUANTITIES for feature in changes(old.said, new.said, {item: count})}
        for item in {*items.values()}
    }
    assert {features[id_] for id_ in found.features} == whole.union(*by_item.values())
    assert found.items is not None
    noticed = {item for item, different in by_item.items() if different}
    noticed |= {item for item in by_item if not whole.isdisjoint(gives(old.said, item) | gives(new.said, item))}
    assert {items[id_] for id_ in found.items} == noticed
    assert not found.by_cedar
    assert not found.instants
