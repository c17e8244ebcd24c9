"""Deciding every case on both sides: all bearers of items and of none, all features, all boundaries, all instants.

Keeps what the sides decide otherwise; what that means is `meaning`'s to say.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from tiergate.catalog import feature_data
from tiergate.catalog.comparison import details
from tiergate.impact.bearers import Bearing, Names, beside_items, emptied, holders, renamed
from tiergate.impact.boundaries import LEAST, asks
from tiergate.impact.differences import Evidence
from tiergate.impact.disturbances import disturbance, disturbed
from tiergate.impact.measures import is_as_much
from tiergate.impact.rulebook import Rulebook, read_of_feature
from tiergate.impact.sides import Side
from tiergate.model import Feature, FeatureType, Reason
from tiergate.naming import item_ref, version_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tiergate.catalog.comparison import Detail
    from tiergate.engine import BundleSource
    from tiergate.impact.bearers import Audience, Bearer
    from tiergate.impact.disturbances import Disturbance
    from tiergate.impact.rulebook import Rule
    from tiergate.impact.sides import Ask, Said
    from tiergate.model import IndexedItem, Instant, Subject

__all__ = ["Comparison", "Seen", "Topic"]

_UNHEARD = frozenset({"name", "description", "linked", "min"})
"""What is said of a feature and decides nothing: it is for people, or binds those who write definitions."""

_HELD = frozenset({Bearing.ONE, Bearing.TWO, Bearing.TWICE})
_LAST = 253_402_300_799_999
"""The last instant that can be written."""


class Seen(NamedTuple):
    """A case that the sides decide otherwise."""

    bearer: Bearer
    at: Instant
    ask: Ask
    before: Said
    after: Said

    @property
    def turns(self) -> bool:
        """Say whether it is allowed on one side only: what shows a difference best."""
        return self.before.allowed is not self.after.allowed

    def evidence(self) -> Evidence:
        """The case as a check that anybody can repeat."""
        customer, ask = self.bearer.record.customer, self.ask
        return Evidence(
            customer.id,
            self.at,
            self.before.reason,
            self.after.reason,
            ask.amount,
            ask.used,
            ask.user_used,
            ask.value,
            ask.level,
            customer.tags,
            customer.attributes,
        )


class Topic:
    """A feature as both sides have it, and what rules can make of it."""

    def __init__(
        self, id_: str, old: Feature | None, new: Feature | None, rules: list[Rule], moved: list[Rule]
    ) -> None:
        self.id = id_
        self.old, self.new = old, new
        self.sides = [it for it in (old, new) if it is not None]
        self.ruled = any(rule.concerns(side) for rule in rules for side in self.sides)
        self.disturbance: Disturbance = disturbance(moved, self.sides)
        self.changed = tuple(self._changed())
        self.unheard: tuple[Detail, ...] = ()
        if old is not None and new is not None:
            heard = {detail.path for detail in self.changed}
            self.unheard = tuple(it for it in details(feature_data(old), feature_data(new)) if it.path not in heard)

    def _changed(self) -> Iterator[Detail]:
        """What is said otherwise of it, of all that may decide."""
        if self.old is None or self.new is None:
            return
        for detail in details(feature_data(self.old), feature_data(self.new)):
            first = detail.path.partition("/")[0]
            if first in _UNHEARD or (first == "tags" and not self.ruled):
                continue
            if first == "levels" and self.old.type is self.new.type and self.old.type is not FeatureType.CUSTOM:
                continue
            yield detail

    def instants(self) -> set[Instant]:
        """When something of it begins or ends, by itself or by a rule."""
        found = {end for side in self.sides for it in side.suspensions for end in (it.start, it.until)}
        for instant in self.disturbance.reading.instants:
            found |= {instant - 1, instant, instant + 1}
        return found


class Comparison:
    """Both sides, and what was seen of them so far."""

    def __init__(
        self, old: BundleSource, new: BundleSource, now: Instant, progress: Callable[[int], None] | None
    ) -> None:
        self.old, self.new, self.now = old, new, now
        self.sides = Side(old), Side(new)
        self.progress = progress
        self.cases = 0
        self.books = Rulebook.of(old), Rulebook.of(new)
        ids = old.index.items.keys() | new.index.items.keys()
        changed = {id_ for id_ in ids if not self._is_same_item(id_)}
        rules = [rule for book in self.books for rule in book.rules]
        shown = {
            id_
            for id_ in self._feature_ids()
            if read_of_feature(old.index.features.get(id_)) != read_of_feature(new.index.features.get(id_))
        }
        self.moved = disturbed(*self.books, changed, shown)
        features = old.index.features, new.index.features
        self.topics = {
            id_: Topic(id_, features[0].get(id_), features[1].get(id_), rules, self.moved)
            for id_ in sorted(self._feature_ids())
        }
        self.held: defaultdict[tuple[str, str, Bearing, Audience], list[Seen]] = defaultdict(list)
        self.turned: defaultdict[str, list[Seen]] = defaultdict(list)
        self.beside: defaultdict[str, list[Seen]] = defaultdict(list)
        self.doubtful: set[tuple[str, str]] = set()

    def _feature_ids(self) -> set[str]:
        return self.old.index.features.keys() | self.new.index.features.keys()

    def items(self, id_: str) -> list[tuple[BundleSource, IndexedItem]]:
        """An item as each side has it that has it, with the side."""
        found = ((side, side.index.items.get(id_)) for side in (self.old, self.new))
        return [(side, item) for side, item in found if item is not None]

    def _is_same_item(self, id_: str) -> bool:
        """Say whether an item is the same to Cedar: its kind, its versions with what they give, and its rollouts."""
        found = self.items(id_)
        if len(found) == 1:
            return False
        (old, before), (new, after) = found
        if (before.kind, before.versions, before.rollouts) != (after.kind, after.versions, after.rollouts):
            return False
        refs = [version_ref(before.kind, id_, version) for version in before.versions]
        return all(old.definition(ref) == new.definition(ref) for ref in refs)

    # ── Deciding ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def decide(self) -> None:
        """Decide every case on both sides."""
        for topic in self.topics.values():
            self._beside_items(topic)
        for id_ in sorted(self.old.index.items.keys() | self.new.index.items.keys()):
            self._item(id_)

    def _beside_items(self, topic: Topic) -> None:
        instants = self.instants(topic, ())
        for bearer in beside_items(topic.sides):
            named = topic.disturbance.names if bearer.bearing is not Bearing.OVERRIDE else ()
            # Who holds nothing is asked for more only where a rule may give it, or the feature is another.
            bare = bearer.bearing is not Bearing.OVERRIDE and not topic.changed and not topic.disturbance.rules
            for one in _all_named(bearer, named):
                self._receive(one)
                self._cases(one, topic, instants, everybody=bool(topic.disturbance.rules), bare=bare)

    def _item(self, id_: str) -> None:
        items = self.items(id_)
        given: dict[str, bool] = {}
        definitions = [
            {it: side.definition(version_ref(item.kind, id_, it)) for it in item.versions} for side, item in items
        ]
        for name in {name for side in definitions for it in side.values() for name in it}:
            pins = set(definitions[0]).intersection(*definitions[1:])
            given[name] = any(definitions[0][it].get(name) != definitions[-1][it].get(name) for it in pins)
        refs = {it for _, item in items for it in _refs(item)}
        for name, topic in self.topics.items():
            if not refs.isdisjoint(topic.disturbance.items):
                given.setdefault(name, False)
        listed = [(it, not refs.isdisjoint(it.disturbance.items)) for it in map(self.topics.__getitem__, sorted(given))]
        for bearer in holders([item for _, item in items], values_differ=any(given.values())):
            self._receive(bearer)
            for topic, named in listed:
                everybody = named and bearer.bearing is Bearing.ONE
                instants = self.instants(topic, [item for _, item in items], bearer.audience.added)
                self._cases(bearer, topic, instants, everybody=everybody)
        plain = next(holders([item for _, item in items], values_differ=False))
        for topic, named in listed:
            self._known_holders(plain, topic, [item for _, item in items], named=named)

    def _known_holders(self, bearer: Bearer, topic: Topic, items: list[IndexedItem], *, named: bool) -> None:
        """A holder of an item as everybody whom rules know.

        `named`: rules name the item, and may be all that permits: so also with nothing left of the feature. Else what
        they come to shows of those who hold nothing already, and this is to say what it means to holders.
        """
        instants = self.instants(topic, items)
        for one in (renamed(bearer, names) for names in topic.disturbance.names if names != Names()):
            self._receive(one)
            self._cases(one, topic, instants, everybody=named, bare=not named)
        if named:
            one = emptied(bearer, topic.sides[-1])
            self._receive(one)
            self._cases(one, topic, instants, everybody=True)

    def instants(self, topic: Topic, items: Iterable[IndexedItem], added: Instant | None = None) -> list[Instant]:
        """When to decide: `now`, and whatever comes after; not before an item was added."""
        found = topic.instants() | {it.start for item in items for it in item.rollouts}
        first = self.now if added is None else max(self.now, added)
        return sorted({first, *(it for it in found if first < it < _LAST)})

    def _receive(self, bearer: Bearer) -> None:
        for side in self.sides:
            side.receive(bearer.record)

    def _cases(
        self, bearer: Bearer, topic: Topic, instants: list[Instant], *, everybody: bool, bare: bool = False
    ) -> None:
        """Decide all cases of a bearer and a feature.

        `everybody`: also as a subscription, and as users in either. `bare`: only the least check.
        """
        subjects = bearer.subjects(topic.disturbance.users) if everybody else (bearer.subject,)
        for subject in subjects:
            plain = subject == bearer.subject
            for at in instants:
                least = self._case(bearer, subject, topic, LEAST, at, plain=plain)
                numbers = topic.disturbance.reading.numbers
                for ask in () if bare else asks(topic.sides, (it.held for it in least), numbers):
                    self._case(bearer, subject, topic, ask, at, plain=plain)
        if self.progress is not None:
            self.progress(self.cases)

    def _case(
        self, bearer: Bearer, subject: Subject, topic: Topic, ask: Ask, at: Instant, *, plain: bool
    ) -> tuple[Said, Said]:
        before, after = (side.decide(subject, topic.id, ask, at, ruled=topic.ruled) for side in self.sides)
        self.cases += 1
        if before.decided != after.decided:
            self._differ(Seen(bearer, at, ask, before, after), topic, plain=plain)
        elif before.facts != after.facts:
            self.doubtful.add((topic.id, bearer.item))
        return before, after

    def _differ(self, seen: Seen, topic: Topic, *, plain: bool) -> None:
        bearer = seen.bearer
        says_held = {seen.before.mistake, seen.after.mistake} <= {"", "feature"}
        if says_held and not is_as_much(seen.before.held, seen.after.held) and bearer.item and bearer.bearing in _HELD:
            if plain and not bearer.known:
                self.held[bearer.item, topic.id, bearer.bearing, bearer.audience].append(seen)
            if (seen.before.reason == Reason.RULE_DENIED) is not (seen.after.reason == Reason.RULE_DENIED):
                self.turned[topic.id].append(seen)
        elif topic.changed or len(topic.sides) == 1:
            self.beside[topic.id].append(seen)
        else:
            self.turned[topic.id].append(seen)


def _all_named(bearer: Bearer, names: Iterable[Names]) -> Iterator[Bearer]:
    listed = list(names) or [Names()]
    for one in listed:
        yield bearer if one == Names() else renamed(bearer, one)


def _refs(item: IndexedItem) -> set[str]:
    """All that rules can call an item."""
    return {item_ref(item.kind, item.id), *(version_ref(item.kind, item.id, version) for version in item.versions)}
