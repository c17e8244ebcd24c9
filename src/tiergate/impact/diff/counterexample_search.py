"""Search for counterexamples: made-up subjects, checks and instants of a case in a decision diagram.

A case defines what facts, numbers, tags and so on must be. A counterexample is a storable subject and a valid check for
which this holds. INVARIANT (witnesses are real): both engines have decided it, with all rules, and differ.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tiergate.impact.diff.boundary_checks import LEAST_CHECK
from tiergate.impact.diff.counterexample import DifferingCase
from tiergate.impact.diff.representative_subjects import HoldingPattern, RepresentativeSubject, required_items
from tiergate.impact.rule_set import item_id
from tiergate.impact.single_subject_engine import CheckParameters
from tiergate.impact.symbolic.case_enumeration import SymbolicCase, symbolic_cases
from tiergate.impact.symbolic.case_space import Requester, example_text
from tiergate.impact.symbolic.integer_solver import NONE, Unsolved, first_instant_within, solve
from tiergate.model import (
    FOREVER,
    UNLIMITED,
    Amount,
    Customer,
    Feature,
    FeatureType,
    Level,
    MeteredUsage,
    Override,
    OverrideMode,
    Status,
    Subject,
    SubjectRecord,
    SubjectType,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
    Switch,
    from_units,
)
from tiergate.naming import version_ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.impact.single_subject_engine import SingleSubjectEngine
    from tiergate.impact.symbolic.case_space import CaseSpace
    from tiergate.model import IndexedItem, Instant, Value

_BY_RANK: Final = tuple(Status)
_KNOWN_NUMBERS: Final = ("limit", "allowance", "ceiling", "heldRank")
_MOST_PATHS: Final = 200
_MOST_GIVERS: Final = 8
_CUSTOMER: Final = "bearer"
_SOMEBODY: Final = "somebody"
_PLENTY: Final = 1_000_000


class CounterexampleSearch:
    """Looks for witnesses about one feature, as each side has it."""

    def __init__(
        self, sides: tuple[SingleSubjectEngine, SingleSubjectEngine], features: tuple[Feature, Feature], now: Instant
    ) -> None:
        self._sides = sides
        self._features = features
        self._now = now
        self.decided = 0
        self._givers = self._giving()

    def _giving(self) -> list[str]:
        """Items of both sides that give the feature on both."""
        both = sorted(self._sides[0].index.items.keys() & self._sides[1].index.items.keys())
        name = self._features[0].id
        givers = [entry for entry in both if all(_gives(side, side.index.items[entry], name) for side in self._sides)]
        return givers[:_MOST_GIVERS]

    def find(self, space: CaseSpace, diagram: int) -> DifferingCase | Unsolved:
        """A witness of a case of a diagram; `NONE` where it is proved that there is none."""
        proved = True
        for place, case in enumerate(symbolic_cases(space, diagram, self._now)):
            if place >= _MOST_PATHS:
                return Unsolved.UNKNOWN
            if case is None:
                proved = False
                continue
            at = first_instant_within(case.between, case.times, case.weekdays)
            if at is None or solve(case.rows) is NONE:
                continue
            counterexample = self._shown(space, case, at)
            if counterexample is not None:
                return counterexample
            proved = False
        return NONE if proved else Unsolved.UNKNOWN

    def _shown(self, space: CaseSpace, case: SymbolicCase, at: Instant) -> DifferingCase | None:
        solution = solve(case.rows)
        free = solution if isinstance(solution, dict) else {}
        for bearer in self._subjects(space, case, free):
            subject = _subject(bearer.record, case.person)
            for side in self._sides:
                side.receive(bearer.record)
            facts = self._sides[0].decide(subject, self._features[0].id, LEAST_CHECK, at, ruled=True).facts
            if not facts:
                continue
            context = json.loads(facts)
            if any(context.get(name, value) is not value for name, value in case.facts.items()):
                continue
            known = {name: context[name] for name in _KNOWN_NUMBERS if name in context}
            known |= {f"draws.{name}": context["draws"][name] for name in ("used", "ceiling") if "draws" in context}
            numbers = solve(case.rows, known)
            if isinstance(numbers, Unsolved):
                continue
            parameters = self._parameters(numbers, case.reset_at(at))
            if parameters is None:
                continue
            before, after = (
                side.decide(subject, self._features[0].id, parameters, at, ruled=True) for side in self._sides
            )
            self.decided += 1
            if before.decided != after.decided and before.held.is_equal(after.held):
                needed = sorted(item_id(ref) for ref, is_held in case.items.items() if is_held)
                return DifferingCase(
                    bearer._replace(item=next(iter(needed), "")), subject, at, parameters, before, after
                )
        return None

    def _parameters(self, numbers: dict[str, int], reset: Instant | None) -> CheckParameters | None:
        """The check that asks for some numbers; none where no check can."""
        feature = self._features[0]

        def edge(name: str) -> Any:  # noqa: ANN401 - a number or none
            return from_units(numbers[name], feature.scale) if name in numbers else None

        level = None
        if "rank" in numbers:
            if not 1 <= numbers["rank"] <= len(feature.labels):
                return None
            level = feature.labels[numbers["rank"] - 1]
        metered = MeteredUsage(
            total_used=numbers.get("totalCap.used", 0), window_end=FOREVER if reset is None else reset
        )
        status = _BY_RANK[numbers.get("status", 0)]
        return CheckParameters(
            edge("amount"), edge("used"), edge("userCap.used"), edge("value"), level, metered, status
        )

    # ── made-up subjects ─────────────────────────────────────────────────────────────────────────────────────────────

    def _subjects(self, space: CaseSpace, case: SymbolicCase, free: dict[str, int]) -> Iterator[RepresentativeSubject]:
        """Return subjects that a case may apply to, the most realistic ones first."""
        names = _names(space, case)
        if names is None:
            return
        customer, subscription, attributes = names
        suspensions = (Suspension(self._features[0].id),) if case.facts.get("suspended") else ()
        refs = [ref for ref, is_held in case.items.items() if is_held]
        avoided = {item_id(ref) for ref, is_held in case.items.items() if not is_held} - set(map(item_id, refs))
        for held, bearing in self._holdings(case, refs, avoided, free):
            for overrides in self._overrides(case, free, has_items=bool(held)):
                subscriptions: tuple[Subscription, ...] = ()
                if held is not None:
                    subscriptions = (Subscription(subscription, customer, SubscriptionStatus.ACTIVE, held),)
                record = SubjectRecord(
                    Customer(customer, tuple(sorted(case.tags)), attributes, overrides, suspensions), subscriptions
                )
                item = held[0].item if held else ""
                yield RepresentativeSubject(record, HoldingPattern.OVERRIDE if overrides else bearing, item)

    def _holdings(
        self, case: SymbolicCase, refs: list[str], avoided: set[str], free: dict[str, int]
    ) -> Iterator[tuple[tuple[SubscriptionItem, ...] | None, HoldingPattern]]:
        """What a subject may hold: items, nothing in a subscription, or no subscription (`None`)."""
        if case.facts.get("live") is False:
            yield None, HoldingPattern.NOBODY
            return
        own = [self._pinned(ref) for ref in refs]
        loose = [SubscriptionItem(item_id(ref)) for ref in refs]
        bases = [tuple(dict.fromkeys(own))]
        if loose != own:
            bases.append(tuple(dict.fromkeys(loose)))
        for base in bases:
            items = self._with_companions(base, avoided)
            if case.facts.get("given") is not False:
                if base:
                    yield items, HoldingPattern.ONE
                for giver in self._givers:
                    if giver in avoided or any(item.item == giver for item in items):
                        continue
                    for quantity in self._quantities(giver, free):
                        more = (*items, SubscriptionItem(giver, quantity))
                        yield self._with_companions(more, avoided), HoldingPattern.ONE
            yield items, HoldingPattern.ONE if items else HoldingPattern.SUBSCRIPTION
        if not refs and case.facts.get("live") is None and case.facts.get("given") is not True:
            yield None, HoldingPattern.NOBODY

    def _pinned(self, ref: str) -> SubscriptionItem:
        item, _, version = ref.partition("/")[2].partition("@")
        return SubscriptionItem(item, version=int(version)) if version else SubscriptionItem(item)

    def _with_companions(self, items: tuple[SubscriptionItem, ...], avoided: set[str]) -> tuple[SubscriptionItem, ...]:
        """These items with those without which they do not count."""
        result = list(items)
        for side in self._sides:
            for item in required_items(side.index, [it.item for it in result], avoided):
                if all(value.item != item for value in result):
                    result.append(SubscriptionItem(item))
        return tuple(result)

    def _quantities(self, giver: str, free: dict[str, int]) -> Iterator[int]:
        yield 1
        wanted = free.get("limit", 0)
        side, feature = self._sides[0], self._features[0]
        item = side.index.items[giver]
        for version in item.versions[-1:]:
            value = side.bundle.definition(version_ref(item.kind, item.id, version)).get(feature.id)
            if isinstance(value, Amount) and 0 < value.units < wanted:
                yield min(-(-wanted // value.units), 100_000)

    def _overrides(
        self, case: SymbolicCase, free: dict[str, int], *, has_items: bool
    ) -> Iterator[tuple[Override, ...]]:
        facts, feature = case.facts, self._features[0]
        if facts.get("disabled"):
            yield (Override("made-up", feature.id, OverrideMode.DISABLED, None),)
            return
        if not facts.get("overridden"):
            yield ()
        if facts.get("overridden") is False:
            return
        mode = OverrideMode.AT_LEAST if facts.get("given") and has_items else OverrideMode.REPLACE
        for value in self._values(case, free):
            yield (Override("made-up", feature.id, mode, value),)

    def _values(self, case: SymbolicCase, free: dict[str, int]) -> Iterator[Value]:
        """What a customer may be given by an override, so that the case is so."""
        is_held, feature = case.facts.get("held"), self._features[0]
        match feature.type:
            case FeatureType.SWITCH:
                yield Switch(on=is_held is not False)
            case FeatureType.CUSTOM:
                ranks = [free["heldRank"]] if free.get("heldRank") else [len(feature.labels), 1]
                yield from (Level(feature.labels[rank - 1]) for rank in ranks if 1 <= rank <= len(feature.labels))
            case _:
                if case.facts.get("unlimited"):
                    yield UNLIMITED
                elif is_held is False:
                    yield Amount(0)
                else:
                    yield Amount(free.get("limit", _PLENTY))
                    if "limit" in free:
                        yield Amount(free["limit"] + 1)
                    elif case.facts.get("unlimited") is None:
                        yield UNLIMITED


def _names(space: CaseSpace, case: SymbolicCase) -> tuple[str, str, dict[str, str]] | None:
    """Ids of customer and subscription, and attributes; none where no text is found that fits."""
    attributes: dict[str, str] = {}
    for key, text in case.texts.items():
        patterns, excluded = _tested(space, ("text", key))
        value = example_text(text, patterns, excluded)
        if value is not None:
            attributes[key] = value
        elif text.other:
            return None
    customer: str | None = _CUSTOMER
    person = case.person
    if person is not None:
        patterns, excluded = _tested(space, ("who",))
        text = person.customer
        if not text.other or text.fits or _CUSTOMER in excluded or patterns:
            customer = example_text(text, patterns, excluded)
    if customer is None:
        return None
    subscription = f"{customer}.one"
    if person is not None and person.kind == "Subscription" and person.id:
        subscription = person.id
    return customer, subscription, attributes


def _tested(space: CaseSpace, about: tuple[Any, ...]) -> tuple[list[Any], set[str]]:
    """The patterns and the texts that a text is compared with."""
    tests: list[Any] = list(space.tests.get(about, ()))
    patterns = [what for kind, what in tests if kind == "like"]
    excluded = {str(what) for kind, what in tests if kind in {"is", "customer"}}
    return patterns, excluded | {what.id for kind, what in tests if kind in {"equal", "in"}}


def _subject(record: SubjectRecord, person: Requester | None) -> Subject:
    user = None if person is None or person.user is None else person.user or _SOMEBODY
    if person is not None and person.kind == "Subscription" and record.subscriptions:
        return Subject(record.subscriptions[0].id, SubjectType.SUBSCRIPTION, user)
    return Subject(record.customer.id, SubjectType.CUSTOMER, user)


def _gives(side: SingleSubjectEngine, item: IndexedItem, feature: str) -> bool:
    return any(
        side.bundle.definition(version_ref(item.kind, item.id, version)).get(feature) is not None
        for version in item.versions
    )
