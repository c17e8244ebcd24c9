"""What rules allow and deny one subject on two sides, over every check that it can make.

All of a subject is known but the request, its user and its time. So conditions become formulas over these alone, and
both engines decide a check that shows each difference. INVARIANT (never silently nothing): if a loss is neither shown
nor excluded, the result is `doubtful`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.cedar import ScopeOp
from tiergate.engine.feature_status import fixed_status
from tiergate.engine.metered_limits import ceiling_of, drawn_ceiling
from tiergate.errors import CheckError, UnknownFeatureError
from tiergate.impact.preview.subject_effects import ComparedCheck
from tiergate.impact.rule_set import policy_concerns
from tiergate.impact.symbolic.case_enumeration import symbolic_cases
from tiergate.impact.symbolic.case_space import CaseSpace, Requester, TextClass
from tiergate.impact.symbolic.decision_diagrams import FALSE, TooLargeError
from tiergate.impact.symbolic.integer_solver import NONE, Unsolved, first_instant_within, solve
from tiergate.impact.symbolic.reason_formulas import read_reason_formulas
from tiergate.impact.symbolic.symbolic_context import (
    BundleEntities,
    KnownSubject,
    SymbolicContext,
    item_refs_read,
    read_equal_data,
)
from tiergate.model import (
    FOREVER,
    LAST_INSTANT,
    NO_METERED_USAGE,
    Check,
    FeatureType,
    MeteredUsage,
    Reason,
    Status,
    Subject,
    SubjectType,
    from_units,
)

if TYPE_CHECKING:
    from tiergate.engine import Evaluator
    from tiergate.engine.facts import Facts
    from tiergate.engine.fixed_sources import FixedUsage
    from tiergate.engine.slices import StaticPolicy
    from tiergate.impact.symbolic.formulas import Formula
    from tiergate.model import Customer, Feature, Instant

_REQUESTED: Final = frozenset(
    {
        "amount",
        "used",
        "remainder",
        "userCap",
        "totalCap",
        "value",
        "rank",
        "now",
        "weekday",
        "status",
        "draws",
        "resetsAt",
    }
)
_BY_RANK: Final = tuple(Status)
_MOST_PATHS: Final = 60
_SOMEBODY: Final = "somebody"
_GRANTED: Final = Reason.GRANTED.value
_FIELDS: Final = (("amount", "amount"), ("used", "used"), ("user_used", "userCap.used"), ("value", "value"))
_NOTHING_USED: Final = MeteredUsage()
_KNOWN_FACTS: Final = ("suspended", "live", "held", "given", "overridden", "disabled", "unlimited", "soft")


class RuleEffect(NamedTuple):
    """A check that becomes denied, one that becomes allowed, and one that stays allowed, if any.

    `doubtful`: it is not proven that none becomes denied.
    """

    taken: ComparedCheck | None
    given: ComparedCheck | None
    common: ComparedCheck | None
    doubtful: bool


class RuleInputs(NamedTuple):
    """What one side knows of a subject and a feature: facts, rules that can match, and item versions."""

    feature: Feature
    facts: Facts
    rules: tuple[StaticPolicy, ...]
    refs: tuple[str, ...]


class RuleEffectSearch:
    """Compares the rules of two sides for one subject, feature and time range after the other."""

    def __init__(self, engines: tuple[Evaluator, Evaluator], metered: FixedUsage) -> None:
        self._engines = engines
        self._metered = metered
        self._data = BundleEntities(engines[0].bundle), BundleEntities(engines[1].bundle)
        self._builtin = tuple([entry for entry in engine.slices.static if not entry.rule] for engine in engines)
        self._of_users: dict[tuple[int, str], tuple[StaticPolicy, ...]] = {}
        self._reading: dict[StaticPolicy, bool] = {}
        self.same_data = self._is_same_data()
        self._marks = ("", "") if self.same_data else ("old", "new")
        self.decided = 0

    def _is_same_data(self) -> bool:
        """Return whether conditions read the same on both sides beside the facts."""
        baseline, candidate = self._data
        if not read_equal_data(baseline, candidate):
            return False
        named = {
            reference.uid.id
            for engine in self._engines
            for static in engine.slices.static
            if static.rule
            for reference in static.policy.references()
            if reference.uid.type == "Item"
        }
        refs = item_refs_read(named, self._data)
        return all(baseline.item_tags(ref) == candidate.item_tags(ref) for ref in refs)

    def of_users(self, side: int, feature: Feature) -> tuple[StaticPolicy, ...]:
        """Return the rules of a side whose scope only users of a subject can match."""
        key = (side, feature.id)
        rules = self._of_users.get(key)
        if rules is None:
            rules = self._of_users[key] = tuple(
                value
                for value in self._engines[side].slices.static
                if value.rule and _is_of_users(value) and policy_concerns(value.policy, feature)
            )
        return rules

    def reads_requests(self, rules: tuple[StaticPolicy, ...]) -> bool:
        """Return whether rules can distinguish checks of a subject: by numbers, time, or user."""
        return any(self._reads(rule) for rule in rules)

    def _reads(self, rule: StaticPolicy) -> bool:
        result = self._reading.get(rule)
        if result is None:
            policy = rule.policy
            result = self._reading[rule] = (
                policy.reads_context(_REQUESTED)
                or not policy.entity_types() <= {"Feature"}
                or any(it.uid.type in {"Customer", "Subscription", "User"} for it in policy.references())
            )
        return result

    def find_effects(
        self,
        customer: Customer,
        subject: Subject,
        sides: tuple[RuleInputs | None, RuleInputs | None],
        now: Instant,
        until: Instant,
    ) -> RuleEffect:
        """Find what becomes denied and allowed in `[now, until)`, in which no fact changes.

        The engines must know the record. `sides`: `None` for a side without the feature, which denies everything.
        """
        feature = next(side.feature for side in sides if side is not None)
        kind = "Customer" if subject.type is SubjectType.CUSTOMER else "Subscription"
        search = _CheckSearch(self, subject, feature, now, until)
        try:
            was, becomes = (self._allowed(which, customer, side) for which, side in enumerate(sides))
            space = CaseSpace([was, becomes], [Requester(kind, subject.id, TextClass(customer.id))])
            before, after, diagrams = space.diagram(was), space.diagram(becomes), space.diagrams
            lost = search.shown(space, diagrams.both(before, diagrams.negated(after)), (True, False))
            given = search.shown(space, diagrams.both(diagrams.negated(before), after), (False, True))
            common = search.shown(space, diagrams.both(before, after), (True, True))
        except (TooLargeError, RecursionError):
            return RuleEffect(None, None, None, doubtful=True)
        taken, granted, kept = (it if isinstance(it, ComparedCheck) else None for it in (lost, given, common))
        return RuleEffect(taken, granted, kept, doubtful=lost is Unsolved.UNKNOWN)

    def _allowed(self, which: int, customer: Customer, side: RuleInputs | None) -> Formula:
        """Return when a side allows a check."""
        if side is None:
            return False
        label = ("old", "new")[which]
        scene = SymbolicContext(
            self._data[which], side.feature, label, fixed=_fixed(customer, side), fingerprint=self._marks[which]
        )
        statics = dict.fromkeys((*self._builtin[which], *side.rules, *self.of_users(which, side.feature)))
        template = self._engines[which].slices.template(scene.action)
        return read_reason_formulas(statics, template, scene).reasons[_GRANTED]

    def decide(
        self, check: Check, at: Instant, usage: MeteredUsage = _NOTHING_USED, status: Status = Status.OPERATIONAL
    ) -> ComparedCheck:
        """Decide a check on both sides; the engines must know the record."""
        self._metered.usage = usage
        results: list[tuple[bool, Reason | None]] = []
        for engine in self._engines:
            self.decided += 1
            engine.statuses.replace(fixed_status(check.feature, status, at))
            try:
                decision = engine.evaluate(check, at).decision
                results.append((decision.allowed, decision.reason))
            except (CheckError, UnknownFeatureError):
                results.append((False, None))
            engine.statuses.replace(())
        self._metered.usage = MeteredUsage()
        before, after = results
        return ComparedCheck(
            at, before, after, check.amount, check.used, check.user_used, check.value, check.level, check.subject.user
        )


class _CheckSearch:
    """Searches checks of one subject."""

    def __init__(
        self, effects: RuleEffectSearch, subject: Subject, feature: Feature, now: Instant, until: Instant
    ) -> None:
        self._effects = effects
        self._subject = subject
        self._feature = feature
        self._now = now
        self._last = min(until - 1, LAST_INSTANT)

    def shown(self, space: CaseSpace, diagram: int, wanted: tuple[bool, bool]) -> ComparedCheck | Unsolved:
        """Return a check in a diagram that both sides decide as wanted; `NONE` if there is provably none."""
        if diagram == FALSE:
            return NONE
        proved = True
        for place, case in enumerate(symbolic_cases(space, diagram, self._now, self._last)):
            if place >= _MOST_PATHS:
                return Unsolved.UNKNOWN
            if case is None:
                proved = False
                continue
            at = first_instant_within(case.between, case.times, case.weekdays)
            numbers = solve(case.rows)
            if at is None or numbers is NONE:
                continue
            proved = False
            if isinstance(numbers, Unsolved):
                continue
            check = self._check(case.person, numbers)
            if check is None:
                continue
            reset = case.reset_at(at)
            usage = MeteredUsage(
                total_used=numbers.get("totalCap.used", 0), window_end=FOREVER if reset is None else reset
            )
            status = _BY_RANK[numbers.get("status", 0)]
            check_result = self._effects.decide(check, at, usage, status)
            if (check_result.before[0], check_result.after[0]) == wanted:
                total_used = from_units(usage.total_used, self._feature.scale)
                shown = "" if status is Status.OPERATIONAL else status.value
                return check_result._replace(total_used=total_used, resets_at=reset, status=shown)
        return NONE if proved else Unsolved.UNKNOWN

    def _check(self, person: Requester | None, numbers: dict[str, int]) -> Check | None:
        feature = self._feature
        user = None if person is None or person.user is None else person.user or _SOMEBODY
        named = {field: from_units(numbers[name], feature.scale) for field, name in _FIELDS if name in numbers}
        level = None
        if feature.type is FeatureType.CUSTOM and "rank" in numbers:
            if not 1 <= numbers["rank"] <= len(feature.labels):
                return None
            level = feature.labels[numbers["rank"] - 1]
        return Check(Subject(self._subject.id, self._subject.type, user), feature.id, level=level, **named)


def _fixed(customer: Customer, side: RuleInputs) -> KnownSubject:
    facts = side.facts
    known = {name: getattr(facts, name) for name in _KNOWN_FACTS}
    items = frozenset(side.refs) | {ref.rpartition("@")[0] for ref in side.refs}
    return KnownSubject(known, _numbers(facts), frozenset(customer.tags), customer.attributes, items)


def _numbers(facts: Facts) -> dict[str, int]:
    """Return the numbers of a context that facts determine, without grants."""
    result = dict.fromkeys(("limit", "allowance", "heldRank"), facts.total)
    result["ceiling"] = ceiling_of(facts, NO_METERED_USAGE)
    if facts.drawn is not None:
        result |= {"draws.used": 0, "draws.ceiling": drawn_ceiling(facts, NO_METERED_USAGE)}
    return result


def _is_of_users(static: StaticPolicy) -> bool:
    scope = static.policy.principal
    if scope.op is ScopeOp.IS:
        return scope.entity_type == "User"
    return scope.op in {ScopeOp.EQUAL, ScopeOp.IN} and any(entity.type == "User" for entity in scope.entities)
