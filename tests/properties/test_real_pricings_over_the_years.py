"""What is said of a change, against what plain YAML says that changed, on all real pricings, one year after the other.

Nothing may be missing, and nothing may be there that did not change.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from tests.properties.buyers import buyers, record
from tests.properties.years import (
    KEPT,
    NOW,
    Used,
    each_change,
    each_change_in_depth,
    effected,
    expected_effects,
    names,
    side,
    told_value,
)
from tests.reference.pricings import YEARS, Pricing, Verdict, kind_of, verdict
from tests.unit.catalog.pricing2yaml_decisions import held_value
from tests.unit.catalog.pricing2yaml_real import REASON, needs_files, plain, section
from tiergate.engine import Evaluator
from tiergate.impact.diff.representative_subjects import HolderGroup
from tiergate.impact.diff.semantic_diff import compare_bundles
from tiergate.impact.preview.affected_scope import find_affected_scope
from tiergate.impact.preview.preview import preview_impact
from tiergate.impact.preview.subject_effects import Effect, SubjectEffect
from tiergate.model import Check, Subject, SubjectType

if TYPE_CHECKING:
    from pathlib import Path

    from tests.reference.pricings import Held, Holding
    from tests.unit.catalog.pricing2yaml_real import Plain
    from tiergate.impact import single_subject_engine
    from tiergate.impact.diff.counterexample import Counterexample
    from tiergate.model import Feature, SubjectRecord


QUANTITIES = (1, 2)


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


def changes(old: Pricing, new: Pricing, *holdings: Holding) -> dict[str, Change]:
    """What is different for somebody who holds this, by feature."""
    found = {}
    for feature in old.features.keys() | new.features.keys():
        before, after = old.held(holdings, feature), new.held(holdings, feature)
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


def rebased(old: Pricing, new: Pricing) -> set[str]:
    """Items of which another set of others decides whether they count: what they need is other, or that is so."""
    every = {*old.items, *new.items}
    both = {*old.items} & {*new.items}
    found = {item for item in both if old.needs_of(item) != new.needs_of(item)}
    moved = (every - both) | found
    while True:
        needed = {item: frozenset().union(*old.needs_of(item), *new.needs_of(item)) for item in every}
        more = {item for item, others in needed.items() if not others.isdisjoint(moved)}
        if more <= found:
            return found
        found |= more
        moved |= more


def ways(old: Pricing, new: Pricing, item: str) -> set[frozenset[str]]:
    """All that may be held beside an item so that it counts in one year at least."""
    return old.ways(item) | new.ways(item) or {frozenset()}


@needs_files
def test_every_year_has_its_successor() -> None:
    """The tests below see 102 changes of 19 services."""
    assert len(YEARS) == 102, REASON
    assert len({before.parent for before, _ in YEARS}) == 19


@each_change
def test_customers_have_what_arithmetic_says(before: Path, after: Path) -> None:
    """Customers, and each of their subscriptions, hold by the engine what they are worked out to hold."""
    old, new = side(before), side(after)
    for number, buyer in enumerate(buyers(old.said, new.said, 4)):
        one = (old, new)[number % 2]
        items = {name: id_ for id_, name in (old.items | new.items).items()}
        features = {feature.name: feature for feature in (new.catalog.features | old.catalog.features).values()}
        engine = Evaluator(one.bundle, Found(record(buyer, items, features)))
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
    found = find_affected_scope(old.bundle, new.bundle, NOW)
    whole = declared_differently(old.said, new.said)
    alone = old.said.without_needs(), new.said.without_needs()
    by_item = {
        item: {feature for count in QUANTITIES for feature in changes(*alone, {item: count})}
        for item in {*items.values()}
    }
    for item in rebased(old.said, new.said):
        by_item[item] |= gives(old.said, item) | gives(new.said, item)
    assert {features[id_] for id_ in found.features} == whole.union(*by_item.values())
    assert found.items is not None
    noticed = {item for item, different in by_item.items() if different}
    noticed |= {item for item in by_item if not whole.isdisjoint(gives(old.said, item) | gives(new.said, item))}
    assert {items[id_] for id_ in found.items} == noticed
    assert not found.by_cedar
    assert not found.instants


@each_change_in_depth
def test_whom_it_touches_and_how(before: Path, after: Path) -> None:
    """Each customer and subscription gains, loses, gets less or more of just what arithmetic says, and stands above."""
    old, new = side(before), side(after)
    names_of_features, names_of_items = names(old, new)
    items = {name: id_ for id_, name in names_of_items.items()}
    features = {feature.name: feature for feature in (new.catalog.features | old.catalog.features).values()}
    drawn = buyers(old.said, new.said, 24)
    told: list[SubjectEffect] = []
    impact = preview_impact(
        old.bundle,
        new.bundle,
        [record(buyer, items, features) for buyer in drawn],
        now=NOW,
        usage=Used(drawn, names_of_features),
        each=told.append,
    )
    assert {it.since for it in told} <= {NOW}
    found = [effected(it, old.catalog, new.catalog) for it in told]
    by_buyer = {buyer.id: expected_effects(old.said, new.said, buyer) for buyer in drawn}
    expected = {it for effects in by_buyer.values() for it in effects}
    assert set(found) == expected
    assert len(found) == len(expected)
    assert impact.examined == len(drawn)
    assert impact.touched == sum(any(it.verdict != KEPT for it in effects) for effects in by_buyer.values())
    assert impact.above == sum(any(it.above for it in effects) for effects in by_buyer.values())
    takes = sum(any(it.verdict in {"loses", "less", "other"} for it in effects) for effects in by_buyer.values())
    assert impact.reduces == takes
    for effect in Effect:
        count = sum(any(it.verdict == effect for it in effects) for effects in by_buyer.values())
        assert impact.customers[effect] == count


class Differing(NamedTuple):
    """What a holder of one item, and of what it needs to count, comes to get of one feature, in plain terms."""

    item: str
    feature: str
    bearing: str
    pinned: bool
    kind: str
    before: Held
    after: Held
    beside: frozenset[str]


def expected_differences(old: Pricing, new: Pricing) -> set[Differing]:
    """All of them, for each item held once, for two units of it, and held once in each of two subscriptions.

    By itself, or, where what it needs makes it count in one year only, with that, in every way. What both years sell is
    version 1 in both: who is pinned to it is told of too, in all ways only where it gives something else.
    """
    found = set()
    needing = rebased(old, new)
    for item in {*old.items, *new.items}:
        one, other = (old, new) if item in needing else (old.without_needs(), new.without_needs())
        says_more = given(old, item) != given(new, item)
        for beside in ways(old, new, item) if item in needing else {frozenset[str]()}:
            for bearing, count, times in (("one", 1, 1), ("two", 2, 1), ("twice", 1, 2)):
                subscriptions = [{item: count} | dict.fromkeys(beside, 1)] * times
                is_told_pinned = item in old.items and item in new.items and (says_more or bearing == "one")
                for feature in gives(old, item) | gives(new, item):
                    before, after = one.held(subscriptions, feature), other.held(subscriptions, feature)
                    if before != after:
                        kind = kind_of(old, new, feature, before, after).value
                        for pinned in (False, True) if is_told_pinned else (False,):
                            found.add(Differing(item, feature, bearing, pinned, kind, before, after, beside))
    return found


def given(of: Pricing, item: str) -> list[object]:
    """All that an item says."""
    return [part.get(item) for part in (of.plans, of.add_ons, of.added)]


def in_plain(held: single_subject_engine.EntitlementValue, feature: Feature | None) -> Held:
    """What a difference says is held, in plain terms."""
    return math.inf if held.unlimited else told_value(held.value, feature)


def is_granted(of: Pricing, feature: str, held: Held, asked: Counterexample) -> bool:
    """Say whether somebody who holds this is granted what was asked."""
    if held is None or (asked.level is not None and not isinstance(held, str)):
        return False
    if isinstance(held, str):
        order = of.features[feature].levels
        return asked.level is None or asked.level in order[: order.index(held) + 1]
    if of.features[feature].type != "NUMERIC":
        return asked.amount is asked.used is None
    amount, used = (Fraction(str(it or 0)) for it in (1 if asked.amount is None else asked.amount, asked.used))
    step = 10 ** of.features[feature].digits
    return (amount * step).denominator == (used * step).denominator == 1 and used + amount <= held


def can_turn(old: Pricing, new: Pricing, difference: Differing) -> bool:
    """Say whether some check that means something in both years is granted in only one of them."""
    before, after = difference.before, difference.after
    if before is None or after is None:
        return True
    was, becomes = old.features[difference.feature], new.features[difference.feature]
    if was.type != becomes.type:
        return False
    if not isinstance(before, str) or not isinstance(after, str):
        return True
    return any(
        (was.levels.index(level) <= was.levels.index(before))
        != (becomes.levels.index(level) <= becomes.levels.index(after))
        for level in {*was.levels} & {*becomes.levels}
    )


def has_other_notes(before: Path, after: Path, differing: set[str]) -> set[tuple[str, str]]:
    """Features and items of both years of which the pricings say something else that decides nothing.

    `differing`: items whose holders get something else, which is told of with what they need.
    """
    was, becomes = plain(before), plain(after)
    found = set()
    for part, kind in (("features", "feature"), ("usageLimits", "feature"), ("plans", "item"), ("addOns", "item")):
        one, other = section(was, part), section(becomes, part)
        found |= {
            (kind, key)
            for key in one.keys() & other.keys()
            if remarks(was, one[key], told=key in differing) != remarks(becomes, other[key], told=key in differing)
        }
    return found


def remarks(source: Plain, body: Plain | None, *, told: bool) -> list[object]:
    """What is said of a feature or item beside what it gives; and beside what it needs, where that is `told`."""
    said = body or {}
    lists = [sorted(said.get(key) or ()) for key in ("linkedFeatures", "excludes")]
    if told:
        return [said.get("description") or "", *lists]
    is_add_on = said in section(source, "addOns").values()
    return [
        said.get("description") or "",
        *lists,
        sorted(said.get("dependsOn") or ()),
        sorted(said.get("availableFor") or section(source, "plans")) if is_add_on else [],
    ]


@each_change_in_depth
def test_what_it_means(before: Path, after: Path) -> None:
    """Just the differences that plain YAML has, each shown by a check of which arithmetic says the same."""
    old, new = side(before), side(after)
    features, items = names(old, new)
    found = compare_bundles(old.bundle, new.bundle, NOW)
    told = [
        Differing(
            items[it.item],
            features[it.feature],
            it.bearing.value,
            it.audience == HolderGroup(pin=1),
            it.kind.value,
            in_plain(it.before, old.catalog.features.get(it.feature)),
            in_plain(it.after, new.catalog.features.get(it.feature)),
            frozenset(items[other] for other in it.beside),
        )
        for it in found.differences
    ]
    expected = expected_differences(old.said, new.said)
    assert set(told) == expected
    assert len(told) == len(expected)
    for difference, plainly in zip(found.differences, told, strict=True):
        assert (difference.since, difference.until) == (None, None)
        assert difference.audience in {None, HolderGroup(pin=1)}
        shown = difference.shown_by
        could = is_granted(old.said, plainly.feature, plainly.before, shown)
        can = is_granted(new.said, plainly.feature, plainly.after, shown)
        assert (shown.reason_before == "granted", shown.reason_after == "granted") == (could, can)
        assert (could is not can) == can_turn(old.said, new.said, plainly), (plainly, shown)
    only = {(items[it.id], it.change) for it in found.items}
    assert only == {(it, "removed") for it in {*old.said.items} - {*new.said.items}} | {
        (it, "added") for it in {*new.said.items} - {*old.said.items}
    }
    declared = {(features[it.id], it.change) for it in found.features}
    was, becomes = old.said.features, new.said.features
    assert declared == {
        (it, "added" if it not in was else "removed" if it not in becomes else "changed")
        for it in declared_differently(old.said, new.said)
    }
    assert not found.turns
    assert not found.unproved
    noted = {(it.kind, features[it.id] if it.kind == "feature" else items[it.id]) for it in found.notes}
    assert noted == has_other_notes(before, after, {it.item for it in expected})
    assert found.is_same == (not expected and not only and not declared)
    # What nobody can hold otherwise need not be decided; all the rest must be.
    assert found.cases >= len(declared_differently(old.said, new.said) | {it.feature for it in expected})
