"""Decide every case on both sides: all representative subjects, features, boundaries and instants.

Catalog values are decided without rules, so that no rule can hide a change; rules are compared over all possible checks
(`rule_equivalence`). Parts that are equal on both sides are skipped. Keeps the cases that the sides decide differently;
`semantic_diff` groups them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

from tiergate.catalog import feature_data
from tiergate.catalog.writing.value_changes import compare_values
from tiergate.impact.diff.boundary_checks import LEAST_CHECK, boundary_checks
from tiergate.impact.diff.counterexample import DifferingCase
from tiergate.impact.diff.representative_subjects import (
    MAX_COMBINATIONS,
    HoldingPattern,
    item_combinations,
    subjects_with_item,
    subjects_without_items,
)
from tiergate.impact.diff.rule_equivalence import RuleComparer, RuleComparison
from tiergate.impact.item_availability import requirement_changes, requirements
from tiergate.impact.rule_set import RuleSet
from tiergate.impact.single_subject_engine import BundleWithoutRules, SingleSubjectEngine
from tiergate.model import LAST_INSTANT, FeatureType, ItemStatus
from tiergate.naming import version_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tiergate.catalog.writing.value_changes import ValueChange
    from tiergate.engine import BundleSource
    from tiergate.impact.diff.counterexample import Counterexample
    from tiergate.impact.diff.representative_subjects import HolderGroup, RepresentativeSubject
    from tiergate.impact.rule_set import Rule
    from tiergate.impact.single_subject_engine import CheckParameters, ComparedDecision
    from tiergate.model import CatalogIndex, Feature, IndexedItem, Instant

_UNHEARD = frozenset({"name", "description", "linked", "min"})
"""Fields of a feature that decide nothing: they are for people, or restrict definitions."""

_HELD = frozenset({HoldingPattern.ONE, HoldingPattern.TWO, HoldingPattern.TWICE})
_TIMES = frozenset({"now", "weekday"})


class FeaturePair:
    """A feature on both sides, and its rules."""

    def __init__(self, id_: str, baseline: Feature | None, candidate: Feature | None, rules: list[Rule]) -> None:
        self.id = id_
        self.baseline, self.candidate = baseline, candidate
        self.sides = [it for it in (baseline, candidate) if it is not None]
        self.rules = [rule for rule in rules if any(rule.concerns(side) for side in self.sides)]
        self.ruling = RuleComparison()
        self.changed = tuple(self._changed())
        self.unheard: tuple[ValueChange, ...] = ()
        self.scale = self.sides[0].scale
        if baseline is not None and candidate is not None:
            heard = {detail.path for detail in self.changed}
            self.unheard = tuple(
                it for it in compare_values(feature_data(baseline), feature_data(candidate)) if it.path not in heard
            )

    def _changed(self) -> Iterator[ValueChange]:
        """Yield the changed fields that may decide."""
        if self.baseline is None or self.candidate is None:
            return
        for detail in compare_values(feature_data(self.baseline), feature_data(self.candidate)):
            first = detail.path.partition("/")[0]
            if first in _UNHEARD or (first == "tags" and not self.rules):
                continue
            if (
                first == "levels"
                and self.baseline.type is self.candidate.type
                and self.baseline.type is not FeatureType.CUSTOM
            ):
                continue
            yield detail

    def instants(self) -> set[Instant]:
        """Return the instants at which a suspension starts or ends."""
        return {
            end
            for side in self.sides
            for suspension in side.suspensions
            for end in (suspension.start, suspension.until)
        }


class ExhaustiveDiff:
    """Both sides, and the differing cases so far."""

    def __init__(
        self, baseline: BundleSource, candidate: BundleSource, now: Instant, progress: Callable[[int], None] | None
    ) -> None:
        self.baseline, self.candidate, self.now = baseline, candidate, now
        self._alone = (
            SingleSubjectEngine(BundleWithoutRules(baseline, alone=True)),
            SingleSubjectEngine(BundleWithoutRules(candidate, alone=True)),
        )
        self._based = (
            SingleSubjectEngine(BundleWithoutRules(baseline)),
            SingleSubjectEngine(BundleWithoutRules(candidate)),
        )
        self.sides = self._alone
        self.progress = progress
        self.cases = 0
        self.books = RuleSet.of(baseline), RuleSet.of(candidate)
        ids = baseline.index.items.keys() | candidate.index.items.keys()
        self.rebased = requirement_changes(baseline.index, candidate.index, now)
        self.changed_items = self._changed_items(ids)
        self.rulings = RuleComparer(baseline, candidate, self.books, self._moved_items(ids), now)
        rules = [rule for book in self.books for rule in book.rules]
        features = baseline.index.features, candidate.index.features
        self.topics = {
            id_: FeaturePair(id_, features[0].get(id_), features[1].get(id_), rules)
            for id_ in sorted(features[0].keys() | features[1].keys())
        }
        self.held: defaultdict[tuple[str, str, HoldingPattern, tuple[str, ...], HolderGroup], list[DifferingCase]] = (
            defaultdict(list)
        )
        self.turned: defaultdict[str, list[DifferingCase]] = defaultdict(list)
        self.besides: defaultdict[str, list[DifferingCase]] = defaultdict(list)
        self.hidden: set[str] = set()
        self.doubtful: set[tuple[str, str]] = set()
        self.crowded = {
            it
            for it in self.rebased
            if len(item_combinations(it, (baseline.index, candidate.index))) > MAX_COMBINATIONS
        }

    def items(self, id_: str) -> list[tuple[BundleSource, IndexedItem]]:
        """Return an item on each side that has it, with the side."""
        pairs = ((side, side.index.items.get(id_)) for side in (self.baseline, self.candidate))
        return [(side, item) for side, item in pairs if item is not None]

    def _moved_items(self, ids: Iterable[str]) -> set[str]:
        """Return the items that a subject may hold on one side only, or in another version."""
        return {id_ for id_ in ids if self._counts_otherwise(id_)} | self.rebased

    def _counts_otherwise(self, id_: str) -> bool:
        items = [item for _, item in self.items(id_)]
        return len(items) == 1 or _membership(items[0]) != _membership(items[1])

    def beside(self, id_: str) -> tuple[CatalogIndex, ...]:
        """Return the sides on which an item needs others; none if it shows alone what it grants."""
        return (self.baseline.index, self.candidate.index) if id_ in self.rebased else ()

    def _changed_items(self, ids: Iterable[str]) -> dict[str, set[str] | None]:
        """Return the changed items: the features whose values change, or `None` for all."""
        changed: dict[str, set[str] | None] = dict.fromkeys(self._moved_items(ids))
        for id_ in ids:
            if id_ in changed:
                continue
            (baseline, before), (candidate, _) = self.items(id_)
            features: set[str] = set()
            for version in before.versions:
                ref = version_ref(before.kind, id_, version)
                had, has = baseline.definition(ref), candidate.definition(ref)
                if had != has:
                    features |= {name for name in had.keys() | has.keys() if had.get(name) != has.get(name)}
            if features:
                changed[id_] = features
        return changed

    def evidence(self, topic: FeaturePair, case: DifferingCase) -> Counterexample:
        """Return a case as a counterexample."""
        ids = {item.item for subscription in case.bearer.record.subscriptions for item in subscription.items}
        items = [item for id_ in sorted(ids) for _, item in self.items(id_)]
        timed = len(self.instants(topic, items)) > 1 or any(rule.policy.reads_context(_TIMES) for rule in topic.rules)
        return case.counterexample(topic.scale, timed=timed)

    # ── Deciding ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def decide(self) -> None:
        """Decide every case that can differ on both sides."""
        for topic in self.topics.values():
            if topic.baseline != topic.candidate:
                self._beside_items(topic)
        for id_ in sorted(self.baseline.index.items.keys() | self.candidate.index.items.keys()):
            self._item(id_)
        for topic in self.topics.values():
            if topic.baseline is not None and topic.candidate is not None and topic.rules:
                self._rule(topic, topic.baseline, topic.candidate)

    def _rule(self, topic: FeaturePair, baseline: Feature, candidate: Feature) -> None:
        topic.ruling = self.rulings.compare(baseline, candidate)
        self.turned[topic.id] += topic.ruling.counterexamples
        self.cases += self.rulings.decided
        self.rulings.decided = 0
        shown = [it for it in self.besides.get(topic.id, ()) if self._is_shown(topic, it)]
        if self.besides.get(topic.id) and not shown:
            self.hidden.add(topic.id)
        self.besides[topic.id] = shown
        for key, listed in self.held.items():
            if key[1] == topic.id:
                self.held[key] = [self._with_rules(topic, it) for it in listed]

    def _with_rules(self, topic: FeaturePair, case: DifferingCase) -> DifferingCase:
        """Decide a case again, with rules."""
        for side in self.rulings.sides:
            side.receive(case.bearer.record)
        before, after = (
            side.decide(case.subject, topic.id, case.parameters, case.at, ruled=True) for side in self.rulings.sides
        )
        return case._replace(before=before, after=after)

    def _is_shown(self, topic: FeaturePair, case: DifferingCase) -> bool:
        decided = self._with_rules(topic, case)
        return decided.before.decided != decided.after.decided

    def _beside_items(self, topic: FeaturePair) -> None:
        instants = self.instants(topic, ())
        for bearer in subjects_without_items(topic.sides):
            # Who holds nothing is asked for more only where the feature is another.
            bare = bearer.bearing is not HoldingPattern.OVERRIDE and not topic.changed
            self._receive(bearer)
            self._cases(bearer, topic, instants, bare=bare)

    def _item(self, id_: str) -> None:
        items = self.items(id_)
        definitions = [
            {version: side.definition(version_ref(item.kind, id_, version)) for version in item.versions}
            for side, item in items
        ]
        pins = set(definitions[0]).intersection(*definitions[1:])
        features = self.changed_items.get(id_, set())
        given: dict[str, bool] = {}
        for name in {name for side in definitions for entitlements in side.values() for name in entitlements}:
            topic = self.topics[name]
            if topic.baseline == topic.candidate and features is not None and name not in features:
                continue
            given[name] = any(definitions[0][pin].get(name) != definitions[-1][pin].get(name) for pin in pins)
        if not given:
            return
        listed = [item for _, item in items]
        self.sides = self._based if id_ in self.rebased else self._alone
        for bearer in subjects_with_item(listed, values_differ=any(given.values()), sides=self.beside(id_)):
            self._receive(bearer)
            for name in sorted(given):
                topic = self.topics[name]
                self._cases(bearer, topic, self.instants(topic, listed, bearer.audience.added))

    def instants(self, topic: FeaturePair, items: Iterable[IndexedItem], added: Instant | None = None) -> list[Instant]:
        """Return when to decide: `now` and each later change, but not before an item was added."""
        result = topic.instants() | {rollout.start for item in self._all(items) for rollout in item.rollouts}
        first = self.now if added is None else max(self.now, added)
        return sorted({first, *(entry for entry in result if first < entry < LAST_INSTANT)})

    def _all(self, items: Iterable[IndexedItem]) -> Iterator[IndexedItem]:
        """Yield the given items, and those that they require."""
        for item in items:
            yield item
            sides = self.beside(item.id)
            beside = {it for group in item_combinations(item.id, sides) for it in group} if sides else set()
            yield from (side.items[it] for side in sides for it in sorted(beside) if it in side.items)

    def _receive(self, bearer: RepresentativeSubject) -> None:
        for side in self.sides:
            side.receive(bearer.record)

    def _cases(
        self, bearer: RepresentativeSubject, topic: FeaturePair, instants: list[Instant], *, bare: bool = False
    ) -> None:
        """Decide all cases of a subject and a feature. `bare`: only the least check."""
        for at in instants:
            least = self._case(bearer, topic, LEAST_CHECK, at)
            for parameters in () if bare else boundary_checks(topic.sides, (it.held for it in least)):
                self._case(bearer, topic, parameters, at)
        if self.progress is not None:
            self.progress(self.cases)

    def _case(
        self, bearer: RepresentativeSubject, topic: FeaturePair, parameters: CheckParameters, at: Instant
    ) -> tuple[ComparedDecision, ComparedDecision]:
        before, after = (
            side.decide(bearer.subject, topic.id, parameters, at, ruled=bool(topic.rules)) for side in self.sides
        )
        self.cases += 1
        if before.decided != after.decided:
            self._differ(DifferingCase(bearer, bearer.subject, at, parameters, before, after), topic)
        elif before.facts != after.facts and _reads_difference(topic.rules, before.facts, after.facts):
            self.doubtful.add((topic.id, bearer.item))
        return before, after

    def _differ(self, case: DifferingCase, topic: FeaturePair) -> None:
        bearer = case.bearer
        says_held = {case.before.mistake, case.after.mistake} <= {"", "feature"}
        if says_held and not case.before.held.is_equal(case.after.held) and bearer.item and bearer.bearing in _HELD:
            self.held[bearer.item, topic.id, bearer.bearing, bearer.beside, bearer.audience].append(case)
        elif topic.changed or len(topic.sides) == 1:
            self.besides[topic.id].append(case)
        else:
            self.turned[topic.id].append(case)


def _membership(item: IndexedItem) -> tuple[object, ...]:
    """Return the fields that decide who has an item, and in which version."""
    return item.kind, item.versions, item.rollouts, requirements(item), item.status is ItemStatus.DRAFT


def _reads_difference(rules: Iterable[Rule], before: str, after: str) -> bool:
    """Return whether a rule reads one of the facts that differ."""
    had, has = json.loads(before or "{}"), json.loads(after or "{}")
    names = {name for name in had.keys() | has.keys() if had.get(name) != has.get(name)}
    return any(rule.policy.reads_context(names) for rule in rules)
