"""What a change can affect, without deciding anything: features, the items whose holders may be affected, and instants.

INVARIANT (touched is never too little): a subject that both sides could store, without any of the items and without an
override on one of the features, is allowed the same and has the same values on both sides, from `now` on. The scope may
be too large. The reason of a denial may differ for anybody, and does not count; nor do the names of item versions and
policies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.catalog.lint.granted_amounts import Grant, granted_amount
from tiergate.impact.item_availability import draft_changes, requirement_changes
from tiergate.impact.rule_set import Rule, RuleSet, changed_rules, fields_read_by_rules, item_id
from tiergate.model import BEGINNING, FOREVER, Audience, AudienceType, Feature, Instant
from tiergate.naming import item_ref, version_ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiergate.engine import BundleSource
    from tiergate.model import IndexedItem, Value


class AffectedScope(NamedTuple):
    """What a change can affect.

    `features`: whose decisions may differ. `items`: whose holders may be affected; `None`: anybody. Subjects with an
    override on one of the features may be affected too. `by_cedar`: a rule of either side can apply to one of the
    features, or the built-in policies changed, so tags, attributes and ids of subjects may matter. `instants`: those
    after `now`, sorted, at which a rollout or suspension of one of the features starts or ends.
    """

    features: frozenset[str]
    items: frozenset[str] | None
    by_cedar: bool
    instants: tuple[Instant, ...]


def find_affected_scope(baseline: BundleSource, candidate: BundleSource, now: Instant) -> AffectedScope:
    """Find what replacing `baseline` by `candidate` can affect from `now` on, in UTC milliseconds.

    Rollouts alone reach a version that only the new side has: no subject is pinned to it yet.
    """
    search = _Search(baseline, candidate, now)
    search.add_changed_features()
    search.add_changed_items()
    search.add_changed_rules()
    search.add_drawing_features()
    return search.scope()


class _Search:
    """Both sides, and the results so far."""

    def __init__(self, baseline: BundleSource, candidate: BundleSource, now: Instant) -> None:
        self.baseline, self.candidate, self.now = baseline, candidate, now
        self.books = RuleSet.of(baseline), RuleSet.of(candidate)
        self.rules = [rule for book in self.books for rule in book.rules]
        self.features: set[str] = set()
        self.items: set[str] = set()
        self.anybody = False
        self.changed_items: set[str] = set()
        self.changed_features: set[str] = set()

    def sides(self, feature: str) -> list[Feature]:
        """Return a feature on each side that has it."""
        features = (side.index.features.get(feature) for side in (self.baseline, self.candidate))
        return [value for value in features if value is not None]

    def concerned(self, feature: str, rules: Iterable[Rule]) -> bool:
        """Return whether one of some rules can apply to a feature on either side."""
        sides = self.sides(feature)
        return any(rule.concerns(side) for rule in rules for side in sides)

    def add_changed_features(self) -> None:
        """Add the features with a deciding change, and the items or rules that grant them."""
        ids = self.baseline.index.features.keys() | self.candidate.index.features.keys()
        for id_ in ids:
            before, after = self.baseline.index.features.get(id_), self.candidate.index.features.get(id_)
            if before == after:
                continue
            if fields_read_by_rules(before) != fields_read_by_rules(after):
                self.changed_features.add(id_)
            if before is not None and after is not None:
                ruled = self.concerned(id_, self.rules)
                if _deciding(before, ruled=ruled, now=self.now) == _deciding(after, ruled=ruled, now=self.now):
                    continue
            self.features.add(id_)
        whole = frozenset(self.features)
        if not whole:
            return
        self.anybody = any(self.concerned(id_, self.rules) for id_ in whole)
        for side in (self.baseline, self.candidate):
            for item in side.index.items.values():
                if item.id not in self.items and any(
                    not whole.isdisjoint(side.definition(version_ref(item.kind, item.id, entry)))
                    for entry in item.versions
                ):
                    self.items.add(item.id)

    def add_changed_items(self) -> None:
        """Add the items whose versions or rollouts grant something else."""
        for id_ in self.baseline.index.items.keys() | self.candidate.index.items.keys():
            before, after = _ItemSide.of(self.baseline, id_), _ItemSide.of(self.candidate, id_)
            if before == after:
                continue
            self.changed_items.add(id_)
            given = before.features() | after.features()
            different = {name for name in given if self._differs(name, before, after)}
            if different:
                self.features |= different
                self.items.add(id_)
        self._add_dependents()

    def _add_dependents(self) -> None:
        """Add the items that may count on one side only: by status, or by what they require."""
        sides = self.baseline.index, self.candidate.index
        for id_ in sorted(requirement_changes(*sides, self.now) | draft_changes(*sides)):
            self.changed_items.add(id_)
            features = _ItemSide.of(self.baseline, id_).features() | _ItemSide.of(self.candidate, id_).features()
            self.features |= features
            self.items.add(id_)
            if any(self.concerned(name, self.rules) for name in features):
                self.anybody = True

    def _differs(self, feature: str, before: _ItemSide, after: _ItemSide) -> bool:
        """Return whether some holder of an item may get something else of a feature from it."""
        exact = self.concerned(feature, self.rules)
        sides = [
            _Given(side.index.features.get(feature), exact=exact) for side in (self.baseline, self.candidate)
        ]  # what it gives is read by the feature of its own side
        if any(
            sides[0].grant(definition.get(feature)) != sides[1].grant(after.definitions.get(version, {}).get(feature))
            for version, definition in before.definitions.items()
        ):
            return True
        courses = [_course(item, feature, given, self.now) for item, given in zip((before, after), sides, strict=True)]
        return courses[0] != courses[1]

    def add_changed_rules(self) -> None:
        """Add what changed rules, rules that name changed items, and other changes to Cedar affect."""
        baseline, candidate = self.books
        ids = self.baseline.index.features.keys() | self.candidate.index.features.keys()
        if baseline.builtin != candidate.builtin:
            self.features |= ids
            self.anybody = True
            return
        gone, come = changed_rules(baseline, candidate)
        reread = baseline.schema != candidate.schema or baseline.own != candidate.own
        named = any(
            book.names("Item", self.changed_items) or book.names("Feature", self.changed_features)
            for book in self.books
        )
        rules = self.rules if reread or named else gone + come
        concerned = {id_ for id_ in ids if self.concerned(id_, rules)} if rules else set()
        if concerned:
            self.features |= concerned
            self.anybody = True
        for rule in self.rules:
            self._add_named(rule, ids)

    def _add_named(self, rule: Rule, ids: Iterable[str]) -> None:
        """Add the features that a rule affects because it names a changed item or feature."""
        features = self.changed_features & rule.named("Feature")
        items = self.changed_items & {item_id(ref) for ref in rule.named("Item")}
        if not features and not items:
            return
        concerned = {id_ for id_ in ids if self.concerned(id_, [rule])}
        if concerned:
            self.features |= concerned
            self.items |= items
            self.anybody = self.anybody or bool(features) or rule.policy.reads_tags()

    def add_drawing_features(self) -> None:
        """Add the features that draw on an affected one: what may be used of that bounds them."""
        for side in (self.baseline, self.candidate):
            for feature in side.index.features.values():
                if feature.draws is not None and feature.draws.source in self.features:
                    self.features.add(feature.id)

    def scope(self) -> AffectedScope:
        by_cedar = self.books[0].builtin != self.books[1].builtin
        return AffectedScope(
            frozenset(self.features),
            None if self.anybody else frozenset(self.items),
            by_cedar or any(self.concerned(id_, self.rules) for id_ in self.features),
            tuple(sorted(self._instants())),
        )

    def _instants(self) -> set[Instant]:
        instants: set[Instant] = set()
        for side in (self.baseline, self.candidate):
            for id_ in self.features & side.index.features.keys():
                for suspension in side.index.features[id_].suspensions:
                    instants |= {suspension.start, suspension.until}
            for item in side.index.items.values():
                if item.id in self.items or self.anybody:
                    instants |= {rollout.start for rollout in item.rollouts}
        return {instant for instant in instants if self.now < instant < FOREVER}


def _deciding(feature: Feature, *, ruled: bool, now: Instant) -> Feature:
    """Return a feature without the fields that decide nothing from `now` on.

    `ruled`: rules can apply to its checks, and may read its tags.
    """
    intervals = {
        (suspension.start, suspension.until)
        for suspension in feature.suspensions
        if suspension.start < suspension.until and suspension.until > now
    }
    return msgspec.structs.replace(
        feature,
        name="",
        description="",
        linked=(),
        numbers=None,
        unlimited_level=True,
        minimum=None,
        maximum=feature.maximum,
        tags=tuple(sorted(feature.tags)) if ruled else (),
        suspensions=tuple(
            msgspec.structs.replace(feature.suspensions[0], feature="", start=start, until=until, reason="")
            for start, until in sorted(intervals)
        ),
    )


class _ItemSide(NamedTuple):
    """An item on one side: its Cedar id, what its versions grant, and its rollouts."""

    ref: str
    definitions: Mapping[int, Mapping[str, Value]]
    rollouts: tuple[tuple[int, Instant, Audience], ...]

    @classmethod
    def of(cls, side: BundleSource, id_: str) -> _ItemSide:
        """Read an item; an item that the side does not have grants nothing."""
        item: IndexedItem | None = side.index.items.get(id_)
        if item is None:
            return cls("", {}, ())
        return cls(
            item_ref(item.kind, id_),
            {version: side.definition(version_ref(item.kind, id_, version)) for version in item.versions},
            tuple((rollout.version, rollout.start, rollout.audience) for rollout in item.rollouts),
        )

    def features(self) -> set[str]:
        """Return all features with a value in some version."""
        return {name for definition in self.definitions.values() for name in definition}


class _Given(NamedTuple):
    """Reads the values of one feature in definitions."""

    feature: Feature | None
    exact: bool

    def grant(self, value: Value | None) -> Grant | bool | None:
        """Return what a value grants; `exact`: distinguish a value that grants nothing from none, as rules can."""
        if self.feature is None or value is None:
            return None
        result = granted_amount(value, self.feature)
        return False if result is None and self.exact else result


def _course(item: _ItemSide, feature: str, given: _Given, now: Instant) -> list[tuple[object, Instant, Audience]]:
    """Return what an item grants of a feature to holders without a pin from `now` on, in canonical form.

    A rollout in effect for everybody overrules all before it; one that grants what is granted anyway is left out.
    """
    course: list[tuple[object, Instant, Audience]] = [(None, BEGINNING, Audience())]
    for version, start, audience in item.rollouts:
        what = given.grant(item.definitions.get(version, {}).get(feature))
        if audience.type is AudienceType.EVERYBODY and start <= now:
            course = [(what, BEGINNING, audience)]
            continue
        if len(course) == 1 and course[0][0] == what:
            continue
        is_timed = start > now or audience.type is AudienceType.NEW
        course.append((what, start if is_timed else BEGINNING, audience))
    return course
