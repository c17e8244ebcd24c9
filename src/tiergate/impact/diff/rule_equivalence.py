"""Compare the rules of a feature on two sides, over every possible check instead of examples.

The policies of both sides become formulas over the same facts, numbers, tags, attributes and requesters. The decision
diagram of all cases that they decide differently is either empty, which proves equivalence, or gives counterexamples.
INVARIANT (never silently the same): if neither holds, the feature is `unproved`. Facts are equal on both sides here;
`exhaustive_diff` finds changed facts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tiergate.engine.slices import PolicySlices
from tiergate.impact.diff.counterexample import DifferingCase
from tiergate.impact.diff.counterexample_search import CounterexampleSearch
from tiergate.impact.rule_set import fields_read_by_rules
from tiergate.impact.single_subject_engine import SingleSubjectEngine
from tiergate.impact.symbolic.case_space import CaseSpace
from tiergate.impact.symbolic.condition_terms import describe_unsupported
from tiergate.impact.symbolic.decision_diagrams import FALSE, TooLargeError
from tiergate.impact.symbolic.formulas import atoms, both
from tiergate.impact.symbolic.integer_solver import NONE
from tiergate.impact.symbolic.reason_formulas import (
    ReasonFormulas,
    possible_facts,
    possible_memberships,
    read_reason_formulas,
)
from tiergate.impact.symbolic.symbolic_context import BundleEntities, SymbolicContext, item_refs_read, read_equal_data
from tiergate.model import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tiergate.engine import BundleSource
    from tiergate.impact.rule_set import Rule, RuleSet
    from tiergate.model import Feature, Instant

_SLICES: Final = (100, 4 * 2**20)
_MOST_TURNS: Final = 12
_GRANTED: Final = Reason.GRANTED.value


@dataclass(slots=True)
class RuleComparison:
    """The result for one feature: counterexamples, and why equivalence is not proven beyond them."""

    counterexamples: list[DifferingCase] = field(default_factory=list)
    unproved: str = ""
    rules: tuple[str, ...] = ()

    @property
    def is_compared(self) -> bool:
        """Whether there were rules to compare."""
        return bool(self.rules)


class RuleComparer:
    """Compares the rules of two bundles. `moved`: items that holders have in another version, or on one side only."""

    def __init__(
        self,
        baseline: BundleSource,
        candidate: BundleSource,
        books: tuple[RuleSet, RuleSet],
        moved: Collection[str],
        now: Instant,
    ) -> None:
        self.sides = SingleSubjectEngine(baseline), SingleSubjectEngine(candidate)
        self.decided = 0
        self._books = books
        self._data = BundleEntities(baseline), BundleEntities(candidate)
        self._slices = PolicySlices(baseline, *_SLICES), PolicySlices(candidate, *_SLICES)
        self._moved = frozenset(moved)
        self._now = now
        self._same_data = read_equal_data(*self._data)

    def compare(self, baseline: Feature, candidate: Feature) -> RuleComparison:
        """Compare the rules for the checks of a feature."""
        rules = [
            [rule for rule in book.rules if rule.concerns(it)]
            for book, it in zip(self._books, (baseline, candidate), strict=True)
        ]
        if not any(rules) or baseline.type is not candidate.type or self._is_untouched(rules, baseline, candidate):
            return RuleComparison()
        named = tuple(
            sorted({rule.id for rule in _moved_rules(rules)} or {rule.id for value in rules for rule in value})
        )
        ruling = RuleComparison(rules=named)
        same = (
            self._same_data
            and not self._moved
            and _deciding(baseline) == _deciding(candidate)
            and self._gives_the_same(rules)
        )
        try:
            self._decide(ruling, baseline, candidate, ("", "") if same else ("old", "new"))
        except (TooLargeError, RecursionError):
            ruling.unproved = "its rules distinguish more cases than can be compared"
        return ruling

    def _is_untouched(self, rules: list[list[Rule]], baseline: Feature, candidate: Feature) -> bool:
        """Return whether all that rules read of a feature is equal: then equal facts give equal decisions."""
        if Counter(it.meaning for it in rules[0]) != Counter(value.meaning for value in rules[1]):
            return False
        if not self._same_data or _deciding(baseline) != _deciding(candidate):
            return False
        return not self._named(rules) or (not self._moved and self._gives_the_same(rules))

    def _named(self, rules: list[list[Rule]]) -> set[str]:
        """Return the items and versions that rules can name."""
        return item_refs_read({ref for side in rules for rule in side for ref in rule.named("Item")}, self._data)

    def _gives_the_same(self, rules: list[list[Rule]]) -> bool:
        """Return whether the items that rules can name grant the same on both sides."""
        baseline, candidate = self._data
        return all(baseline.item_tags(ref) == candidate.item_tags(ref) for ref in self._named(rules))

    def _decide(self, ruling: RuleComparison, baseline: Feature, candidate: Feature, marks: tuple[str, str]) -> None:
        """Compare both sides; `marks` are equal if unsupported conditions read equal data on both."""
        scenes = [
            SymbolicContext(data, feature, label, self._moved, fingerprint=mark)
            for data, feature, label, mark in zip(self._data, (baseline, candidate), ("old", "new"), marks, strict=True)
        ]
        outcomes = [
            read_reason_formulas(slices.static, slices.template(scene.action), scene)
            for slices, scene in zip(self._slices, scenes, strict=True)
        ]
        care = both(possible_facts(scenes[0]), possible_facts(scenes[1]))
        members = possible_memberships([*outcomes[0].formulas(), *outcomes[1].formulas()])
        space = CaseSpace([*outcomes[0].formulas(), *outcomes[1].formulas(), care, members])
        within = space.diagrams.both(space.diagram(care), space.diagram(members))
        search = CounterexampleSearch(self.sides, (baseline, candidate), self._now)
        unshown: list[tuple[str, str]] = []
        for turn, diagram in _reason_changes(space, outcomes, within):
            if len(ruling.counterexamples) >= _MOST_TURNS:
                break
            counterexample = search.find(space, diagram)
            if isinstance(counterexample, DifferingCase):
                ruling.counterexamples.append(counterexample)
            elif counterexample is not NONE:
                unshown.append(turn)
        self.decided += search.decided
        shown = {(find.before.allowed, find.after.allowed) for find in ruling.counterexamples}
        if any((was == _GRANTED, becomes == _GRANTED) not in shown for was, becomes in unshown) and (
            not ruling.counterexamples or any(_GRANTED in turn for turn in unshown)
        ):
            self._doubt(ruling, outcomes)

    @staticmethod
    def _doubt(ruling: RuleComparison, outcomes: list[ReasonFormulas]) -> None:
        """Set why equivalence is not proven."""
        ruling.unproved = "its rules may decide differently, but no check shows it"
        unread: dict[str, str] = {}
        for side in outcomes:
            for id_, truth in side.of_rules.items():
                for atom in (*atoms(truth.true), *atoms(truth.errs)):
                    if atom.about[0] == "unread":
                        unread.setdefault(id_, str(atom.about[1]))
        if unread:
            id_, text = next(iter(unread.items()))
            ruling.unproved = f"its rules have an unsupported condition: it {describe_unsupported(text)}"
            ruling.rules = tuple(sorted(unread))


def _reason_changes(
    space: CaseSpace, outcomes: list[ReasonFormulas], within: int
) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield each change from one reason to another; those from or to `granted` come first."""
    created = [{reason: space.diagram(it) for reason, it in side.reasons.items()} for side in outcomes]
    turns = [(was, becomes) for was in created[0] for becomes in created[1] if was != becomes]
    for was, becomes in sorted(turns, key=lambda it: _GRANTED not in it):
        diagram = space.diagrams.both(space.diagrams.both(created[0][was], created[1][becomes]), within)
        if diagram != FALSE:
            yield (was, becomes), diagram


def _moved_rules(rules: list[list[Rule]]) -> list[Rule]:
    """Return the rules that only one side has, by meaning."""
    had, has = ({rule.meaning for rule in side} for side in rules)
    return [rule for rule in rules[0] if rule.meaning not in has] + [
        entry for entry in rules[1] if entry.meaning not in had
    ]


def _deciding(feature: Feature) -> tuple[Any, ...]:
    """Return the fields of a feature that policies read beside the facts."""
    metering = feature.metered is not None, feature.draws
    return (fields_read_by_rules(feature), feature.status, feature.batch, feature.caps, feature.labels, *metering)
