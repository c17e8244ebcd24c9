"""Whom a change can touch, by looking alone: which features, whose holders, and from which instants on.

Nothing is decided here, so that a million subjects need not be asked who cannot be concerned. INVARIANT (touched is
never too little): whoever holds none of the items, has no override on one of the features, and could be stored on both
sides, is allowed the same and holds as much on both, from `now` on. It may be too much.

Why somebody who holds nothing of a feature is denied it may differ for anybody, and does not count; nor does what item
versions and policies are called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.catalog.lint.granted_amounts import Grant, grant
from tiergate.impact.item_availability import draft_changes, requirement_changes
from tiergate.impact.rule_set import Rule, RuleSet, changed_rules, fields_read_by_rules
from tiergate.model import BEGINNING, FOREVER, Audience, AudienceType, Feature, Instant
from tiergate.naming import item_ref, version_ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiergate.engine import BundleSource
    from tiergate.model import IndexedItem, Value


class AffectedScope(NamedTuple):
    """What a change can touch.

    `features`: about which some decision may differ. `items`: whose holders may be touched; `None`: anybody may be,
    and holds nothing for it. Whoever has an override on one of the features may be touched too. `by_cedar`: a rule of
    either side can come to a check of one of the features, or the policies written by hand changed, so that tags,
    attributes and ids of subjects may matter. `instants`: those after `now`, sorted, at which something begins or ends
    that concerns one of the features on either side: a rollout or a suspension of everybody.
    """

    features: frozenset[str]
    items: frozenset[str] | None
    by_cedar: bool
    instants: tuple[Instant, ...]


def find_affected_scope(old: BundleSource, new: BundleSource, now: Instant) -> AffectedScope:
    """Find what putting `new` in the place of `old` can touch from `now` on, in UTC milliseconds.

    A version that only the new side has is reached by its rollouts: no subject that the old side knows is pinned to it.

    Raises:
        BundleError: a bundle cannot be read.
    """
    search = _Search(old, new, now)
    search.look_at_features()
    search.look_at_items()
    search.look_at_rules()
    return search.found()


class _Search:
    """Both sides, and what was found so far."""

    def __init__(self, old: BundleSource, new: BundleSource, now: Instant) -> None:
        self.old, self.new, self.now = old, new, now
        self.books = RuleSet.of(old), RuleSet.of(new)
        self.rules = [rule for book in self.books for rule in book.rules]
        self.features: set[str] = set()
        self.items: set[str] = set()
        self.anybody = False
        self.changed_items: set[str] = set()
        self.changed_features: set[str] = set()

    def sides(self, feature: str) -> list[Feature]:
        """A feature as each side has it that has it."""
        found = (side.index.features.get(feature) for side in (self.old, self.new))
        return [value for value in found if value is not None]

    def concerned(self, feature: str, rules: Iterable[Rule]) -> bool:
        """Say whether one of some rules can come to a check of a feature on either side."""
        sides = self.sides(feature)
        return any(rule.concerns(side) for rule in rules for side in sides)

    def look_at_features(self) -> None:
        """Features of which something is different that decides, with all who can have it of an item or by a rule."""
        ids = self.old.index.features.keys() | self.new.index.features.keys()
        for id_ in ids:
            before, after = self.old.index.features.get(id_), self.new.index.features.get(id_)
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
        for side in (self.old, self.new):
            for item in side.index.items.values():
                if item.id not in self.items and any(
                    not whole.isdisjoint(side.definition(version_ref(item.kind, item.id, entry)))
                    for entry in item.versions
                ):
                    self.items.add(item.id)

    def look_at_items(self) -> None:
        """Items that come to give something else, by version or by rollout."""
        for id_ in self.old.index.items.keys() | self.new.index.items.keys():
            before, after = _ItemSide.of(self.old, id_), _ItemSide.of(self.new, id_)
            if before == after:
                continue
            self.changed_items.add(id_)
            given = before.features() | after.features()
            different = {name for name in given if self._differs(name, before, after)}
            if different:
                self.features |= different
                self.items.add(id_)
        self._look_at_dependents()

    def _look_at_dependents(self) -> None:
        """Items that may count on one side only: by their status, or because of those that they need."""
        sides = self.old.index, self.new.index
        for id_ in sorted(requirement_changes(*sides, self.now) | draft_changes(*sides)):
            self.changed_items.add(id_)
            features = _ItemSide.of(self.old, id_).features() | _ItemSide.of(self.new, id_).features()
            self.features |= features
            self.items.add(id_)
            if any(self.concerned(name, self.rules) for name in features):
                self.anybody = True

    def _differs(self, feature: str, before: _ItemSide, after: _ItemSide) -> bool:
        """Say whether some holder of an item may have something else of a feature from it."""
        exact = self.concerned(feature, self.rules)
        sides = [
            _Given(side.index.features.get(feature), exact=exact) for side in (self.old, self.new)
        ]  # what it gives is read by the feature of its own side
        if any(
            sides[0].grant(definition.get(feature)) != sides[1].grant(after.definitions.get(version, {}).get(feature))
            for version, definition in before.definitions.items()
        ):
            return True
        courses = [_course(item, feature, given, self.now) for item, given in zip((before, after), sides, strict=True)]
        return courses[0] != courses[1]

    def look_at_rules(self) -> None:
        """Rules that change, or that name an item which changes, and what else Cedar reads."""
        old, new = self.books
        ids = self.old.index.features.keys() | self.new.index.features.keys()
        if old.builtin != new.builtin:
            self.features |= ids
            self.anybody = True
            return
        gone, come = changed_rules(old, new)
        reread = old.schema != new.schema or old.own != new.own
        named = any(
            book.names("Item", self.changed_items) or book.names("Feature", self.changed_features)
            for book in self.books
        )
        rules = self.rules if reread or named else gone + come
        found = {id_ for id_ in ids if self.concerned(id_, rules)} if rules else set()
        if found:
            self.features |= found
            self.anybody = True
        for rule in self.rules:
            self._look_at_named(rule, ids)

    def _look_at_named(self, rule: Rule, ids: Iterable[str]) -> None:
        """A rule on who holds an item or what it gives, or on another feature, whatever the feature asked about."""
        features = self.changed_features & rule.named("Feature")
        items = self.changed_items & {_item_of(ref) for ref in rule.named("Item")}
        if not features and not items:
            return
        found = {id_ for id_ in ids if self.concerned(id_, [rule])}
        if found:
            self.features |= found
            self.items |= items
            self.anybody = self.anybody or bool(features) or rule.policy.reads_tags()

    def found(self) -> AffectedScope:
        """All of it."""
        by_cedar = self.books[0].builtin != self.books[1].builtin
        return AffectedScope(
            frozenset(self.features),
            None if self.anybody else frozenset(self.items),
            by_cedar or any(self.concerned(id_, self.rules) for id_ in self.features),
            tuple(sorted(self._instants())),
        )

    def _instants(self) -> set[Instant]:
        found: set[Instant] = set()
        for side in (self.old, self.new):
            for id_ in self.features & side.index.features.keys():
                for suspension in side.index.features[id_].suspensions:
                    found |= {suspension.start, suspension.until}
            for item in side.index.items.values():
                if item.id in self.items or self.anybody:
                    found |= {rollout.start for rollout in item.rollouts}
        return {instant for instant in found if self.now < instant < FOREVER}


def _deciding(feature: Feature, *, ruled: bool, now: Instant) -> Feature:
    """A feature without what decides nothing from `now` on: names, and what binds only those who write definitions.

    `ruled`: rules can come to its checks, and may read its tags.
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


def _item_of(ref: str) -> str:
    """The id of the item that `plan/pro` or `plan/pro@7` names."""
    return ref.partition("/")[2].partition("@")[0]


class _ItemSide(NamedTuple):
    """An item as one side has it: what it is called to Cedar, what its versions give, and its rollouts."""

    ref: str
    definitions: Mapping[int, Mapping[str, Value]]
    rollouts: tuple[tuple[int, Instant, Audience], ...]

    @classmethod
    def of(cls, side: BundleSource, id_: str) -> _ItemSide:
        """Read an item; one that the side does not have gives nothing."""
        item: IndexedItem | None = side.index.items.get(id_)
        if item is None:
            return cls("", {}, ())
        return cls(
            item_ref(item.kind, id_),
            {version: side.definition(version_ref(item.kind, id_, version)) for version in item.versions},
            tuple((rollout.version, rollout.start, rollout.audience) for rollout in item.rollouts),
        )

    def features(self) -> set[str]:
        """All features of which some version says something."""
        return {name for definition in self.definitions.values() for name in definition}


class _Given(NamedTuple):
    """Reads what definitions say of one feature, as one side has it."""

    feature: Feature | None
    exact: bool

    def grant(self, value: Value | None) -> Grant | bool | None:
        """What a value comes to; `exact`: a value that grants nothing is told from none, as rules can tell them."""
        if self.feature is None or value is None:
            return None
        result = grant(value, self.feature)
        return False if result is None and self.exact else result


def _course(item: _ItemSide, feature: str, given: _Given, now: Instant) -> list[tuple[object, Instant, Audience]]:
    """What an item gives of a feature to those without a pin, from `now` on, in a form that is equal for equal courses.

    Rollouts in force for everybody overrule all before them; one that says what is given anyway says nothing.
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
