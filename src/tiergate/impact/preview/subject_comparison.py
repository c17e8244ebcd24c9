"""Compare what a subject is allowed on two sides; subjects that are decided alike are decided once.

Facts come from the engine, decisions from both engines. Without a rule that reads numbers, all subjects whose limits
compare alike form one group; else the group includes whatever rules read of a subject.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.engine import Evaluator
from tiergate.engine.cedar_entities import principal_uid
from tiergate.engine.facts import TotalOverflowError, resolve_facts
from tiergate.engine.fixed_sources import FixedSubject, FixedUsage
from tiergate.errors import CheckError, UnknownFeatureError
from tiergate.impact.preview.probe_checks import compared_limit, probe_checks
from tiergate.impact.preview.rule_effects import RuleEffectSearch
from tiergate.impact.preview.side_entitlement import (
    SideEntitlement,
    are_comparable,
    are_equal,
    have_numbers,
    read_numbers_alike,
)
from tiergate.impact.preview.subject_effects import ComparedCheck, Effect, LeastCheckResult
from tiergate.model import Check, Subject

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from tiergate.engine import BundleSource
    from tiergate.engine.active_items import ActiveItems
    from tiergate.engine.slices import StaticPolicy
    from tiergate.model import Instant, Reason, SubjectRecord, Value


_MOST_GROUPS: Final = 100_000
_NUMBERS: Final = frozenset(
    {"amount", "heldRank", "limit", "minimum", "rank", "remainder", "totalCap", "unlimited", "used", "userCap", "value"}
    | {"allowance", "ceiling", "draws", "soft"}
)
"""The context attributes that distinguish limits and requests."""


class SubjectDifference(NamedTuple):
    """What changes for a subject at an instant: the effect, and the least check before and after."""

    effect: Effect
    before: LeastCheckResult
    after: LeastCheckResult
    shown_by: ComparedCheck | None = None


class _Decided(NamedTuple):
    """The result of both engines for a group."""

    effect: Effect | None
    before: tuple[bool, Reason | None]
    after: tuple[bool, Reason | None]
    shown_by: ComparedCheck | None = None


class _Excerpt:
    """A bundle whose definitions are reduced to some features and cached: they are read a million times.

    What these features draw on is among them.
    """

    def __init__(self, bundle: BundleSource, features: frozenset[str]) -> None:
        known = bundle.index.features
        draws = [known[name].draws for name in features if name in known]
        self._bundle = bundle
        self._features = features | {it.source for it in draws if it is not None}
        self._definitions: dict[str, Mapping[str, Value]] = {}
        self.revision, self.index = bundle.revision, bundle.index
        self.text, self.paths = bundle.text, bundle.paths

    def definition(self, ref: str) -> Mapping[str, Value]:
        """Return the entitlements of a version for these features."""
        result = self._definitions.get(ref)
        if result is None:
            whole = self._bundle.definition(ref)
            result = self._definitions[ref] = {id_: whole[id_] for id_ in self._features & whole.keys()}
        return result


class _Question(NamedTuple):
    """A subject and a feature in `[now, until)`, with its entitlement on both sides."""

    record: SubjectRecord
    subject: Subject
    feature: str
    before: SideEntitlement
    after: SideEntitlement
    now: Instant
    until: Instant

    @property
    def compares_limits_alone(self) -> bool:
        """Whether it only matters how the limits compare, not what they are."""
        rules = self.before.rules + self.after.rules
        return read_numbers_alike(self.before, self.after) and not any(
            rule.policy.reads_context(_NUMBERS) for rule in rules
        )

    @property
    def reads_time(self) -> bool:
        """Whether a rule reads the time."""
        return any(rule.reads_time for rule in self.before.rules + self.after.rules)

    def key(self) -> Hashable:
        """Return the group of the subject: all in it are decided alike."""
        before, after, rules = self.before, self.after, self.before.rules + self.after.rules
        limits: Hashable = before.total, after.total
        if self.compares_limits_alone:
            limits = (before.total > after.total) - (before.total < after.total)
        key: tuple[Hashable, ...] = (self.feature, self.subject.type, before.flags, after.flags, limits)
        if not rules:
            return key
        customer = self.record.customer
        attributes = tuple(sorted(customer.attributes.items()))
        key += (before.rules, after.rules, customer.tags, attributes, before.active.refs, after.active.refs)
        if self.reads_time:
            key += (self.now, self.until)
        if any(distinguishes_subjects(rule) for rule in rules):
            key += (self.subject, customer.id)
        return key


class SubjectComparison:
    """Compares two bundles, one subject and feature at a time. Not thread-safe."""

    def __init__(self, baseline: BundleSource, candidate: BundleSource, features: frozenset[str]) -> None:
        self._source = FixedSubject()
        metered = FixedUsage()
        self.engines = (
            Evaluator(baseline, self._source, usage=metered),
            Evaluator(candidate, self._source, usage=metered),
        )
        self._excerpts = _Excerpt(baseline, features), _Excerpt(candidate, features)
        rules = [static for engine in self.engines for static in engine.slices.static if static.rule]
        self.reads_time = any(rule.reads_time for rule in rules)
        self.reads_ids = any(distinguishes_subjects(rule) for rule in rules)
        self.reads_kinds = self.reads_ids or any(rule.policy.entity_types() - {"Feature"} for rule in rules)
        self._rule_effects = RuleEffectSearch(self.engines, metered) if rules else None
        self._groups: dict[Hashable, _Decided] = {}
        self.decided = 0

    def difference(
        self,
        record: SubjectRecord,
        subject: Subject,
        feature: str,
        active: tuple[ActiveItems, ActiveItems],
        now: Instant,
        until: Instant,
    ) -> SubjectDifference | None:
        """Return what differs for a subject and a feature in `[now, until)`; `None` if nothing does.

        `active`: the subject's active items on both sides, unchanged until `until`.
        """
        before, after = (self._side(place, subject, feature, active[place], now) for place in (0, 1))
        question = _Question(record, subject, feature, before, after, now, until)
        key = question.key()
        decided = self._groups.get(key)
        if decided is None:
            decided = self._remember(key, self._decide(question))
        shown_by = decided.shown_by
        if shown_by is not None and question.compares_limits_alone:
            key = (key, before.total, after.total)
            own = self._groups.get(key)
            decided = own if own is not None else self._remember(key, self._at_limits(question, decided, shown_by))
        if decided.effect is None:
            return None
        shown_by = decided.shown_by
        if shown_by is not None and not question.reads_time:
            shown_by = shown_by._replace(at=now)
        return SubjectDifference(
            decided.effect,
            LeastCheckResult(*decided.before, before.value, before.overage),
            LeastCheckResult(*decided.after, after.value, after.overage),
            shown_by,
        )

    def is_denied(self, record: SubjectRecord, check: Check, at: Instant) -> bool:
        """Return whether a check that is allowed before is denied after."""
        if self._rule_effects is None:
            return False
        self._source.record = record
        self._forget(check.subject)
        result = self._rule_effects.decide(check, at)
        return result.before[0] and not result.after[0]

    def _side(
        self, place: int, subject: Subject, feature_id: str, active: ActiveItems, now: Instant
    ) -> SideEntitlement:
        engine = self.engines[place]
        feature = engine.index.features.get(feature_id)
        if feature is None:
            return SideEntitlement(None, None, (), active)
        try:
            facts = resolve_facts(feature, active, subject, self._excerpts[place], now)
        except TotalOverflowError:
            return SideEntitlement(feature, None, (), active)
        rules: tuple[StaticPolicy, ...] = ()
        if self._rule_effects is not None:
            rules = engine.slices.slice(feature, facts.givers, principal_uid(subject), active.refs, ()).rules
            rules += self._rule_effects.of_users(place, feature)
        return SideEntitlement(feature, facts, rules, active)

    def _forget(self, subject: Subject) -> None:
        for engine in self.engines:
            engine.forget(subject)

    def _decide(self, question: _Question) -> _Decided:
        self._source.record = question.record
        self._forget(question.subject)
        decided = None
        if self._rule_effects is not None and self._rules_may_differ(self._rule_effects, question):
            decided = self._compare_rules(self._rule_effects, question)
        if decided is None:
            decided = self._compare_limits(question)
        self._forget(question.subject)
        return decided

    def _remember(self, key: Hashable, decided: _Decided) -> _Decided:
        if len(self._groups) >= _MOST_GROUPS:
            self._groups.clear()
        self._groups[key] = decided
        return decided

    def _at_limits(self, question: _Question, group: _Decided, shown_by: ComparedCheck) -> _Decided:
        """Return the result of a group, shown by a check at the limits of this subject instead of another's."""
        if self._rule_effects is None:
            return group
        subject = Subject(question.subject.id, question.subject.type, shown_by.user)
        at = shown_by.at if question.reads_time else question.now
        before, after = (compared_limit(side.feature, side.facts) for side in (question.before, question.after))
        self._source.record = question.record
        self._forget(question.subject)
        for parameters in probe_checks((before, after)):
            check = self._rule_effects.decide(Check(subject, question.feature, *parameters[:5]), at)
            if (check.before[0], check.after[0]) == (shown_by.before[0], shown_by.after[0]):
                self._forget(question.subject)
                return group._replace(shown_by=check)
        return self._decide(question)

    def _compare_limits(self, question: _Question) -> _Decided:
        """Decide the checks at the limits, steps and levels of both sides."""
        sides = question.before, question.after
        before, after = (compared_limit(side.feature, side.facts) for side in sides)
        results = []
        for engine, side in zip(self.engines, sides, strict=True):
            allowed: set[object] = set()
            least: tuple[bool, Reason | None] = (False, None)
            for place, parameters in enumerate(probe_checks((before, after))):
                check = Check(question.subject, question.feature, *parameters[:5])
                try:
                    decision = engine.evaluate(check, question.now).decision
                except (CheckError, UnknownFeatureError):
                    continue
                self.decided += 1
                if not place:
                    least = decision.allowed, decision.reason
                if decision.allowed:
                    allowed.add(parameters)
            # Numbers with more digits than a check can write are distinguished all the same.
            if allowed and have_numbers(*sides):
                allowed |= {("holds", limit.total) for limit in sides if limit.total <= side.total}
            results.append((frozenset(allowed), least))
        (was, least_before), (becomes, least_after) = results
        return _Decided(Effect.of(was, becomes), least_before, least_after)

    @staticmethod
    def _rules_may_differ(effects: RuleEffectSearch, question: _Question) -> bool:
        """Return whether rules distinguish checks beyond limits, and some input differs."""
        before, after = question.before, question.after
        if not effects.reads_requests(before.rules + after.rules):
            return False
        return not (effects.same_data and are_equal(before, after))

    def _compare_rules(self, effects: RuleEffectSearch, question: _Question) -> _Decided | None:
        """Compare every check that rules distinguish; `None` if equal, but limits may still differ."""
        before, after = question.before, question.after
        if not are_comparable(before, after):
            return self._unproven(question)
        inputs = before.rule_inputs, after.rule_inputs
        result = effects.find_effects(question.record.customer, question.subject, inputs, question.now, question.until)
        if result.doubtful:
            return self._unproven(question)
        was = frozenset(check for check in (result.taken, result.common) if check is not None)
        becomes = frozenset(check for check in (result.given, result.common) if check is not None)
        effect = Effect.of(was, becomes)
        if effect is None and before.total != after.total:
            return None
        least = effects.decide(Check(question.subject, question.feature), question.now)
        shown = result.taken if result.taken is not None else result.given
        return _Decided(effect, least.before, least.after, shown)

    def _unproven(self, question: _Question) -> _Decided:
        """Return the loss that limits show, else that none is excluded."""
        decided = self._compare_limits(question)
        if decided.effect is not None and decided.effect.reduces:
            return decided
        return decided._replace(effect=Effect.UNPROVED)


def distinguishes_subjects(rule: StaticPolicy) -> bool:
    """Return whether a rule can distinguish subjects by their ids; true if in doubt."""
    if any(reference.uid.type in {"Customer", "Subscription", "User"} for reference in rule.policy.references()):
        return True
    return _reads_principal(rule.policy.json["conditions"])


def _reads_principal(tree: object) -> bool:
    """Return whether conditions read more of the principal than tags, attributes and items."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            if node == {"Var": "principal"}:
                return True
            stack.extend(value for name, value in node.items() if not _is_harmless(name, value))
    return False


def _is_harmless(name: str, value: object) -> bool:
    """Return whether an expression reads what is equal within a group."""
    if not isinstance(value, dict):
        return False
    if value.get("left") != {"Var": "principal"}:
        return False
    if name in {".", "has"}:
        return value.get("attr") == "tags"
    if name in {"getTag", "hasTag", "in"}:
        return '"Var"' not in json.dumps(value.get("right"))
    return name == "is"
