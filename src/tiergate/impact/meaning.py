"""What a change means: two bundles compared by deciding every case at its boundaries on both, not by their text.

For every item of either side, what a holder of it alone gets of every feature; for every feature, what holds without
any item; for every rule that changed, those whom it can tell apart; at every instant from `now` on at which something
of either side begins or ends. What holds of one item holds of several: values combine in the same way on both sides
unless the feature says otherwise, and that is decided with items held twice. INVARIANT (never silently the same): what
deciding does not show, because a rule that changed reads what is not decided at every boundary, is `unproved`.

Leaves to others: who holds what (`preview`), and how it is told.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from tiergate.catalog import feature_data, item_head_data
from tiergate.catalog.comparison import details
from tiergate.impact.bearers import Bearing, Names, beside_items, emptied, holders, renamed
from tiergate.impact.boundaries import LEAST, asks
from tiergate.impact.differences import (
    Difference,
    Evidence,
    FeatureChange,
    ItemChange,
    Meaning,
    Note,
    Turn,
    Unproved,
)
from tiergate.impact.disturbances import disturbance, disturbed, obstacle
from tiergate.impact.measures import is_as_much, kind_of
from tiergate.impact.rulebook import Rulebook
from tiergate.impact.sides import Side
from tiergate.model import Feature, FeatureType, Reason
from tiergate.naming import item_ref, version_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tiergate.catalog import Plain
    from tiergate.catalog.comparison import Detail
    from tiergate.engine import BundleSource
    from tiergate.impact.bearers import Audience, Bearer
    from tiergate.impact.disturbances import Disturbance
    from tiergate.impact.rulebook import Rule
    from tiergate.impact.sides import Ask, Held, Said
    from tiergate.model import IndexedItem, Instant, Subject

__all__ = ["meaning"]

_UNHEARD = frozenset({"name", "description", "linked", "min"})
"""What is said of a feature and decides nothing: it is for people, or binds those who write definitions."""


def meaning(
    old: BundleSource, new: BundleSource, now: Instant, progress: Callable[[int], None] | None = None
) -> Meaning:
    """Compare two bundles from `now` on, in UTC milliseconds; `progress` is told now and then how much was decided.

    Raises:
        BundleError: a bundle cannot be read.
    """
    comparison = _Comparison(old, new, now, progress)
    comparison.decide()
    return comparison.meaning()


class _Seen(NamedTuple):
    """A case that the sides decide otherwise."""

    bearer: Bearer
    at: Instant
    ask: Ask
    before: Said
    after: Said

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


class _Topic:
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


class _Comparison:
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
        shown = {id_ for id_ in self._feature_ids() if self._shown(old, id_) != self._shown(new, id_)}
        self.moved = disturbed(*self.books, changed, shown)
        features = old.index.features, new.index.features
        self.topics = {
            id_: _Topic(id_, features[0].get(id_), features[1].get(id_), rules, self.moved)
            for id_ in sorted(self._feature_ids())
        }
        self.held: defaultdict[tuple[str, str, Bearing, Audience], list[_Seen]] = defaultdict(list)
        self.turned: defaultdict[str, list[_Seen]] = defaultdict(list)
        self.beside: defaultdict[str, list[_Seen]] = defaultdict(list)
        self.doubtful: set[tuple[str, str]] = set()

    def _feature_ids(self) -> set[str]:
        return self.old.index.features.keys() | self.new.index.features.keys()

    @staticmethod
    def _shown(side: BundleSource, id_: str) -> object:
        feature = side.index.features.get(id_)
        return None if feature is None else (feature.type, feature.unit, feature.scale, sorted(feature.tags))

    def _items(self, id_: str) -> list[tuple[BundleSource, IndexedItem]]:
        found = ((side, side.index.items.get(id_)) for side in (self.old, self.new))
        return [(side, item) for side, item in found if item is not None]

    def _is_same_item(self, id_: str) -> bool:
        """Say whether an item is the same to Cedar: its kind, its versions with what they give, and its rollouts."""
        found = self._items(id_)
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

    def _beside_items(self, topic: _Topic) -> None:
        instants = self._instants(topic, ())
        for bearer in beside_items(topic.sides):
            named = topic.disturbance.names if bearer.bearing is not Bearing.OVERRIDE else ()
            # Who holds nothing is asked for more only where a rule may give it, or the feature is another.
            bare = bearer.bearing is not Bearing.OVERRIDE and not topic.changed and not topic.disturbance.rules
            for one in _all_named(bearer, named):
                self._receive(one)
                self._cases(one, topic, instants, everybody=bool(topic.disturbance.rules), bare=bare)

    def _item(self, id_: str) -> None:
        items = self._items(id_)
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
        listed = [(self.topics[name], given[name]) for name in sorted(given) if name in self.topics]
        differ = any(given.values())
        for bearer in holders([item for _, item in items], values_differ=differ):
            self._receive(bearer)
            for topic, _ in listed:
                self._holder(bearer, topic, [item for _, item in items])
        plain = next(holders([item for _, item in items], values_differ=False))
        for topic, _ in listed:
            self._ruled_holder(
                plain, topic, [item for _, item in items], named=not refs.isdisjoint(topic.disturbance.items)
            )

    def _holder(self, bearer: Bearer, topic: _Topic, items: list[IndexedItem]) -> None:
        everybody = bool(topic.disturbance.rules)
        self._cases(bearer, topic, self._instants(topic, items, bearer.audience.added), everybody=everybody)

    def _ruled_holder(self, bearer: Bearer, topic: _Topic, items: list[IndexedItem], *, named: bool) -> None:
        """A holder of an item as everybody whom rules know.

        `named`: rules name the item, and may be all that permits: so also with nothing left of the feature.
        """
        bearers = list(_all_named(bearer, topic.disturbance.names[1:])) if len(topic.disturbance.names) > 1 else []
        for one in (*bearers, emptied(bearer, topic.sides[-1])) if named else bearers:
            self._receive(one)
            self._cases(one, topic, self._instants(topic, items), everybody=True)

    def _instants(self, topic: _Topic, items: Iterable[IndexedItem], added: Instant | None = None) -> list[Instant]:
        """When to decide: `now`, and whatever comes after; not before an item was added."""
        found = topic.instants() | {it.start for item in items for it in item.rollouts}
        first = self.now if added is None else max(self.now, added)
        return sorted({first, *(it for it in found if first < it < _LAST)})

    def _receive(self, bearer: Bearer) -> None:
        for side in self.sides:
            side.receive(bearer.record)

    def _cases(
        self, bearer: Bearer, topic: _Topic, instants: list[Instant], *, everybody: bool, bare: bool = False
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
        self, bearer: Bearer, subject: Subject, topic: _Topic, ask: Ask, at: Instant, *, plain: bool
    ) -> tuple[Said, Said]:
        before, after = (side.decide(subject, topic.id, ask, at, ruled=topic.ruled) for side in self.sides)
        self.cases += 1
        if before.decided != after.decided:
            self._differ(_Seen(bearer, at, ask, before, after), topic, plain=plain)
        elif before.facts != after.facts:
            self.doubtful.add((topic.id, bearer.item))
        return before, after

    def _differ(self, seen: _Seen, topic: _Topic, *, plain: bool) -> None:
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

    # ── Results ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def meaning(self) -> Meaning:
        """Put together what was seen."""
        return Meaning(
            self.cases,
            tuple(self._item_changes()),
            tuple(self._differences()),
            tuple(self._feature_changes()),
            tuple(self._turns()),
            tuple(self._unproved()),
            tuple(self._notes()),
        )

    def _item_changes(self) -> Iterator[ItemChange]:
        old, new = self.old.index.items, self.new.index.items
        for id_ in sorted(old.keys() ^ new.keys()):
            item = old.get(id_) or new[id_]
            yield ItemChange(item.kind.value, id_, "removed" if id_ in old else "added")

    def _differences(self) -> Iterator[Difference]:
        rows: defaultdict[tuple[str, str, Bearing], dict[Audience, list[_Span]]] = defaultdict(dict)
        for (item, feature, bearing, audience), seen in self.held.items():
            rows[item, feature, bearing][audience] = self._spans(item, feature, audience, seen)
        for (item, feature, bearing), spans in sorted(rows.items(), key=lambda row: row[0]):
            topic = self.topics[feature]
            for whose, span in self._merged(item, spans):
                yield Difference(
                    item, feature, bearing, whose, span.since, span.until,
                    kind_of(span.before, span.after, topic.old, topic.new),
                    span.before, span.after, span.seen.evidence(),
                )  # fmt: skip

    def _spans(self, item: str, feature: str, audience: Audience, seen: list[_Seen]) -> list[_Span]:
        """The differences in time: one for as long as both sides give the same."""
        items = [it for _, it in self._items(item)]
        instants = self._instants(self.topics[feature], items, audience.added)
        by_instant: dict[Instant, _Seen] = {}
        for one in seen:
            if one.at not in by_instant or (_turns(one) and not _turns(by_instant[one.at])):
                by_instant[one.at] = one
        found: list[_Span] = []
        for place, at in enumerate(instants):
            if at not in by_instant:
                continue
            one = by_instant[at]
            until = instants[place + 1] if place + 1 < len(instants) else None
            what = one.before.held, one.after.held
            if found and found[-1].until == at and (found[-1].before, found[-1].after) == what:
                found[-1] = found[-1]._replace(until=until)
            else:
                found.append(_Span(None if at == self.now else at, until, *what, one))
        return found

    def _merged(self, item: str, spans: dict[Audience, list[_Span]]) -> Iterator[tuple[Audience | None, _Span]]:
        """The spans of all audiences as those of everybody, where they are the same; pins are not everybody's."""
        every = {it.audience for it in holders([it for _, it in self._items(item)], values_differ=False)}
        unpinned = {it for it in every if it.pin is None}
        first = next((spans[it] for it in spans if it.pin is None), [])
        shapes = {tuple(span[:4] for span in spans.get(it, ())) for it in unpinned}
        alike = len(shapes) == 1
        if alike:
            yield from ((None, span) for span in first)
        for pinned, found in spans.items():
            if pinned.pin is not None or not alike:
                yield from ((pinned, span) for span in found)

    def _feature_changes(self) -> Iterator[FeatureChange]:
        for id_, topic in self.topics.items():
            seen = self.beside.get(id_, [])
            if len(topic.sides) == 1:
                change = "added" if topic.old is None else "removed"
            elif topic.changed and (seen or any(it.path.startswith("metered") for it in topic.changed)):
                change = "changed"
            else:
                continue
            example = next((it for it in seen if _turns(it)), seen[0] if seen else None)
            yield FeatureChange(id_, change, topic.changed, len(seen), None if example is None else example.evidence())

    def _turns(self) -> Iterator[Turn]:
        for id_, seen in self.turned.items():
            topic = self.topics[id_]
            grouped: defaultdict[tuple[bool, str, bool, str], list[_Seen]] = defaultdict(list)
            for one in seen:
                before, after = one.before, one.after
                grouped[before.allowed, before.reason, after.allowed, after.reason].append(one)
            for key, found in sorted(grouped.items()):
                items = tuple(sorted({it.bearer.item for it in found} - {""}))
                rules = tuple(sorted({rule.id for rule in topic.disturbance.rules}))
                yield Turn(id_, *key, items, rules, len(found), found[0].evidence())

    def _unproved(self) -> Iterator[Unproved]:
        if self.books[0].builtin != self.books[1].builtin:
            yield Unproved("policies", "the policies written by hand are those of two versions of Tiergate")
        for id_, why in sorted({(rule.id, obstacle(rule)) for rule in self.moved}):
            if why:
                yield Unproved(id_, why)
        told = {(it.feature, it.item) for it in self._differences()} | {(it.id, "") for it in self._feature_changes()}
        for topic in self.topics.values():
            if topic.disturbance.obstacle:
                yield Unproved(topic.id, topic.disturbance.obstacle)
        for feature, item in sorted(self.doubtful):
            if (feature, item) not in told and (feature, "") not in told:
                holder = f"of a holder of `{item}` " if item else ""
                yield Unproved(feature, f"rules can read something {holder}that differs, though no decision here does")

    def _notes(self) -> Iterator[Note]:
        decided = {it.id for it in self._feature_changes()}
        for id_, topic in self.topics.items():
            beside = topic.unheard if id_ in decided else (*topic.changed, *topic.unheard)
            if beside:
                yield Note("feature", id_, beside)
        old, new = self.old.index, self.new.index
        for id_ in sorted(old.items.keys() & new.items.keys()):
            found = tuple(details(_head(old.items[id_]), _head(new.items[id_])))
            if found:
                yield Note("item", id_, found)
        was, now = ({it.id: it.plans for it in side.ladders} for side in (old, new))
        for id_ in sorted(was.keys() | now.keys()):
            found = tuple(details(_plans(was.get(id_)), _plans(now.get(id_))))
            if found:
                yield Note("ladder", id_, found)


class _Span(NamedTuple):
    """What differs over `[since, until)`."""

    since: Instant | None
    until: Instant | None
    before: Held
    after: Held
    seen: _Seen


_HELD = frozenset({Bearing.ONE, Bearing.TWO, Bearing.TWICE})
_LAST = 253_402_300_799_999


def _turns(seen: _Seen) -> bool:
    """Say whether a case is allowed on one side only: what shows a difference best."""
    return seen.before.allowed is not seen.after.allowed


def _all_named(bearer: Bearer, names: Iterable[Names]) -> Iterator[Bearer]:
    listed = list(names) or [Names()]
    for one in listed:
        yield bearer if one == Names() else renamed(bearer, one)


def _refs(item: IndexedItem) -> set[str]:
    """All that rules can call an item."""
    return {item_ref(item.kind, item.id), *(version_ref(item.kind, item.id, version) for version in item.versions)}


def _head(item: IndexedItem) -> dict[str, Plain]:
    """What is said of an item beside what it gives; which versions there are decides only for those with a pin."""
    return item_head_data(item) | {"versions": list(item.versions)}


def _plans(plans: tuple[str, ...] | None) -> dict[str, Plain]:
    return {} if plans is None else {"plans": list(plans)}
