"""Compare two bundles by meaning: every boundary case is decided on both sides, whatever their text.

For every item: what it grants of every feature; for every feature: what holds without items; at every instant from
`now` on at which something starts or ends. Several items combine alike on both sides unless the feature changes, which
subjects with an item twice show. Rules are compared over every possible check. INVARIANT (never silently the same):
what is neither shown to differ nor proven equal is an `UnprovenChange`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.catalog import item_head_data
from tiergate.catalog.writing.value_changes import compare_values
from tiergate.impact.diff.diff_result import (
    CosmeticChange,
    DecisionChange,
    EntitlementDifference,
    FeatureChange,
    ItemChange,
    SemanticDiff,
    UnprovenChange,
    classify_change,
)
from tiergate.impact.diff.exhaustive_diff import ExhaustiveDiff
from tiergate.impact.diff.representative_subjects import subjects_with_item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.catalog import PlainData
    from tiergate.engine import BundleSource
    from tiergate.impact.diff.counterexample import DifferingCase
    from tiergate.impact.diff.exhaustive_diff import FeaturePair
    from tiergate.impact.diff.representative_subjects import HolderGroup, HoldingPattern
    from tiergate.impact.single_subject_engine import EntitlementValue
    from tiergate.model import IndexedItem, Instant


def compare_bundles(
    baseline: BundleSource, candidate: BundleSource, now: Instant, progress: Callable[[int], None] | None = None
) -> SemanticDiff:
    """Compare two bundles from `now` on, in UTC milliseconds; `progress` receives the number of cases.

    Raises:
        BundleError: if a bundle cannot be read.
    """
    comparison = ExhaustiveDiff(baseline, candidate, now, progress)
    comparison.decide()
    return _Findings(comparison).meaning()


class _Span(NamedTuple):
    """A difference over `[since, until)`."""

    since: Instant | None
    until: Instant | None
    before: EntitlementValue
    after: EntitlementValue
    seen: DifferingCase


class _Findings:
    """Turns differing cases into a `SemanticDiff`."""

    def __init__(self, comparison: ExhaustiveDiff) -> None:
        self.decided = comparison

    def meaning(self) -> SemanticDiff:
        return SemanticDiff(
            self.decided.cases,
            sum(topic.ruling.is_compared for topic in self.decided.topics.values()),
            self.decided.now,
            tuple(self._item_changes()),
            tuple(self._differences()),
            tuple(self._feature_changes()),
            tuple(self._decision_changes()),
            tuple(self._unproved()),
            tuple(self._notes()),
        )

    def _item_changes(self) -> Iterator[ItemChange]:
        baseline, candidate = self.decided.baseline.index.items, self.decided.candidate.index.items
        for id_ in sorted(baseline.keys() ^ candidate.keys()):
            item = baseline.get(id_) or candidate[id_]
            yield ItemChange(item.kind.value, id_, "removed" if id_ in baseline else "added")

    def _differences(self) -> Iterator[EntitlementDifference]:
        rows: defaultdict[tuple[str, str, HoldingPattern, tuple[str, ...]], dict[HolderGroup, list[_Span]]] = (
            defaultdict(dict)
        )
        for (item, feature, bearing, beside, audience), cases in self.decided.held.items():
            rows[item, feature, bearing, beside][audience] = self._spans(item, feature, audience, cases)
        for (item, feature, bearing, beside), spans in sorted(rows.items(), key=lambda row: row[0]):
            topic = self.decided.topics[feature]
            for whose, span in self._merged(item, spans):
                yield EntitlementDifference(
                    item, feature, bearing, whose, span.since, span.until,
                    classify_change(span.before, span.after, topic.baseline, topic.candidate),
                    span.before, span.after, self.decided.evidence(topic, span.seen), beside,
                )  # fmt: skip

    def _spans(self, item: str, feature: str, audience: HolderGroup, cases: list[DifferingCase]) -> list[_Span]:
        """Return the differences over time: one while both sides grant the same."""
        items = [it for _, it in self.decided.items(item)]
        instants = self.decided.instants(self.decided.topics[feature], items, audience.added)
        by_instant: dict[Instant, DifferingCase] = {}
        for case in cases:
            if case.at not in by_instant or (case.turns and not by_instant[case.at].turns):
                by_instant[case.at] = case
        spans: list[_Span] = []
        for place, at in enumerate(instants):
            if at not in by_instant:
                continue
            case = by_instant[at]
            until = instants[place + 1] if place + 1 < len(instants) else None
            what = case.before.held, case.after.held
            if spans and spans[-1].until == at and (spans[-1].before, spans[-1].after) == what:
                spans[-1] = spans[-1]._replace(until=until)
            else:
                spans.append(_Span(None if at == self.decided.now else at, until, *what, case))
        return spans

    def _merged(self, item: str, spans: dict[HolderGroup, list[_Span]]) -> Iterator[tuple[HolderGroup | None, _Span]]:
        """Yield equal spans of all groups as one for everybody; pinned groups stay apart."""
        listed = [it for _, it in self.decided.items(item)]
        every = {it.audience for it in subjects_with_item(listed, values_differ=False, sides=self.decided.beside(item))}
        unpinned = {it for it in every if it.pin is None}
        first = next((spans[span] for span in spans if span.pin is None), [])
        shapes = {tuple(span[:4] for span in spans.get(it, ())) for it in unpinned}
        alike = len(shapes) == 1
        if alike:
            yield from ((None, span) for span in first)
        for pinned, result in spans.items():
            if pinned.pin is not None or not alike:
                yield from ((pinned, span) for span in result)

    def _feature_changes(self) -> Iterator[FeatureChange]:
        for id_, topic in self.decided.topics.items():
            cases = self.decided.besides.get(id_, [])
            if topic.changed:
                cases = cases + self.decided.turned.get(id_, [])
            if len(topic.sides) == 1:
                change = "added" if topic.baseline is None else "removed"
            elif topic.changed and (cases or any(it.path.startswith(_DECIDING_LATER) for it in topic.changed)):
                change = "changed"
            else:
                continue
            shown = [self.decided.evidence(topic, example) for example in _examples(cases)]
            yield FeatureChange(id_, change, topic.changed, len(cases), *shown)

    def _decision_changes(self) -> Iterator[DecisionChange]:
        for id_, cases in self.decided.turned.items():
            topic = self.decided.topics[id_]
            grouped: defaultdict[tuple[bool, str, bool, str], list[DifferingCase]] = defaultdict(list)
            for value in cases:
                before, after = value.before, value.after
                if topic.changed and not before.rules and not after.rules:
                    continue  # the feature's own change decides it, and tells it
                grouped[before.allowed, before.reason, after.allowed, after.reason].append(value)
            for key, group in sorted(grouped.items()):
                items = tuple(sorted({it.bearer.item for it in group} - {""}))
                rules = tuple(sorted({*group[0].before.rules, *group[0].after.rules})) or topic.ruling.rules
                yield DecisionChange(id_, *key, items, rules, len(group), self.decided.evidence(topic, group[0]))

    def _unproved(self) -> Iterator[UnprovenChange]:
        if self.decided.books[0].builtin != self.decided.books[1].builtin:
            yield UnprovenChange("policies", "the built-in policies are those of two versions of Tiergate")
        reported = {(difference.feature, difference.item) for difference in self._differences()} | {
            (value.id, "") for value in self._feature_changes()
        }
        for id_, topic in self.decided.topics.items():
            if topic.ruling.unproved:
                yield UnprovenChange(id_, f"{topic.ruling.unproved} ({_listed(topic.ruling.rules)})")
            elif self._is_hidden(topic):
                yield UnprovenChange(id_, "its rules may hide the change, and no check shows it")
        for item in sorted(self.decided.crowded):
            yield UnprovenChange(item, "it requires other items in more combinations than are compared")
        for feature, item in sorted(self.decided.doubtful):
            if (feature, item) not in reported and (feature, "") not in reported:
                holder = f"of a holder of `{item}` " if item else ""
                yield UnprovenChange(
                    feature, f"rules can read something {holder}that differs, although no decision differs"
                )

    def _is_hidden(self, topic: FeaturePair) -> bool:
        """Return whether a changed feature differs without rules, and no case shows it with them."""
        if topic.id not in self.decided.hidden or self.decided.turned.get(topic.id):
            return False
        return any(entry.path.partition("/")[0] not in _COMPARED for entry in topic.changed)

    def _notes(self) -> Iterator[CosmeticChange]:
        decided = {change.id for change in self._feature_changes()}
        doubtful = {it.what for it in self._unproved()}
        for id_, topic in self.decided.topics.items():
            beside = topic.unheard if id_ in decided or id_ in doubtful else (*topic.changed, *topic.unheard)
            if beside:
                yield CosmeticChange("feature", id_, beside)
        baseline, candidate = self.decided.baseline.index, self.decided.candidate.index
        reported = {it.item for it in self._differences()}
        for id_ in sorted(baseline.items.keys() & candidate.items.keys()):
            changes = tuple(
                it
                for it in compare_values(_head(baseline.items[id_]), _head(candidate.items[id_]))
                if id_ not in reported or it.path.partition("/")[0] not in _COUNTING
            )
            if changes:
                yield CosmeticChange("item", id_, changes)
        was, now = ({ladder.id: ladder.plans for ladder in side.ladders} for side in (baseline, candidate))
        for id_ in sorted(was.keys() | now.keys()):
            changes = tuple(compare_values(_plans(was.get(id_)), _plans(now.get(id_))))
            if changes:
                yield CosmeticChange("ladder", id_, changes)


def _examples(cases: list[DifferingCase]) -> Iterator[DifferingCase]:
    """Yield one case that is denied and one that is allowed, if any; else one with another reason."""
    ways: dict[bool, DifferingCase] = {}
    for entry in cases:
        if entry.turns:
            ways.setdefault(entry.after.allowed, entry)
    if ways:
        yield from (ways[allowed] for allowed in (False, True) if allowed in ways)
        return
    yield from [it for it in cases if (it.before.reason, it.before.mistake) != (it.after.reason, it.after.mistake)][:1]


_DECIDING_LATER: Final = ("metered", "draws", "max")
"""Fields of a feature that decide at usage or holdings that no case of a comparison has."""

_COMPARED: Final = frozenset({"batch", "caps", "tags", "unit"})
"""Fields of a feature that are compared with its rules over every check, so that nothing can hide."""
_COUNTING: Final = frozenset({"available_for", "depends_on", "status"})
"""Fields of an item that decide whether it counts."""
_MOST_NAMED: Final = 5


def _listed(rules: tuple[str, ...]) -> str:
    shown = ", ".join(rules[:_MOST_NAMED])
    return shown if len(rules) <= _MOST_NAMED else f"{shown} and {len(rules) - _MOST_NAMED} more"


def _head(item: IndexedItem) -> dict[str, PlainData]:
    """Return the fields of an item beside its grants; the list of versions decides only for pinned holders."""
    return item_head_data(item) | {"versions": list(item.versions)}


def _plans(plans: tuple[str, ...] | None) -> dict[str, PlainData]:
    return {} if plans is None else {"plans": list(plans)}
