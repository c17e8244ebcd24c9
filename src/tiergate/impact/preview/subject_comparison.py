"""Compare what a subject is allowed on two sides; subjects that are decided alike are decided once.

Facts come from the engine, decisions from both engines. Without a rule that reads numbers, all subjects whose limits
compare alike form one group; else the group includes whatever rules read of a subject.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.engine import Evaluator
from tiergate.engine.cedar_entities import principal_uid
from tiergate.engine.facts import Facts, TotalOverflowError, resolve_facts
from tiergate.engine.fixed_sources import FixedSubject, FixedUsage
from tiergate.engine.normalized_check import default_amount
from tiergate.errors import CheckError, UnknownFeatureError
from tiergate.impact.preview.probe_checks import compared_limit, least_amount, probe_checks
from tiergate.impact.preview.rule_effects import RuleEffectSearch, RuleInputs
from tiergate.impact.preview.subject_effects import UNLIMITED, ComparedCheck, Effect, LeastCheckResult
from tiergate.model import Check, FeatureType, SubjectType, from_units

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from tiergate.engine import BundleSource
    from tiergate.engine.active_items import ActiveItems
    from tiergate.engine.slices import StaticPolicy
    from tiergate.model import Feature, Instant, Number, Reason, Subject, SubjectRecord, Value

_MOST_GROUPS: Final = 100_000
_NUMBERS: Final = frozenset(
    {"amount", "heldRank", "limit", "minimum", "rank", "remainder", "totalCap", "unlimited", "used", "userCap", "value"}
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
    """A bundle whose definitions are reduced to some features and cached: they are read a million times."""

    def __init__(self, bundle: BundleSource, features: frozenset[str]) -> None:
        self._bundle = bundle
        self._features = features
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


class SubjectComparison:
    """Compares two bundles, one subject and feature at a time. Not thread-safe."""

    def __init__(self, old: BundleSource, new: BundleSource, features: frozenset[str]) -> None:
        """Prepare both engines.

        Raises:
            BundleError: if a bundle's policies or schema are missing or damaged.
        """
        self._source = FixedSubject()
        metered = FixedUsage()
        self.engines = Evaluator(old, self._source, usage=metered), Evaluator(new, self._source, usage=metered)
        self._excerpts = _Excerpt(old, features), _Excerpt(new, features)
        rules = [static for engine in self.engines for static in engine.slices.static if static.rule]
        self.reads_time = any(rule.reads_time for rule in rules)
        self.has_rules = bool(rules)
        self.reads_ids = any(_names_subjects(rule) for rule in rules)
        self.reads_kinds = self.reads_ids or any(rule.policy.entity_types() - {"Feature"} for rule in rules)
        self.rule_effects = RuleEffectSearch(self.engines, metered) if rules else None
        self._groups: dict[Hashable, _Decided] = {}
        self.decided = 0

    def difference(
        self,
        record: SubjectRecord,
        subject: Subject,
        feature: str,
        holdings: tuple[ActiveItems, ActiveItems],
        now: Instant,
        until: Instant,
    ) -> SubjectDifference | None:
        """Return what differs for a subject and a feature in `[now, until)`; `None` if nothing does.

        `holdings`: the subject's active items on both sides, unchanged until `until`.

        Raises:
            BundleError: if a bundle cannot be read.
        """
        before = self._side(0, subject, feature, holdings[0], now)
        after = self._side(1, subject, feature, holdings[1], now)
        key = self._key(subject, feature, record, before, after, (now, until))
        decided = self._groups.get(key)
        if decided is None:
            if len(self._groups) >= _MOST_GROUPS:
                self._groups.clear()
            decided = self._groups[key] = self._decide(record, subject, feature, (before, after), (now, until))
        if decided.effect is None:
            return None
        return SubjectDifference(
            decided.effect,
            LeastCheckResult(*decided.before, _value(before)),
            LeastCheckResult(*decided.after, _value(after)),
            decided.shown_by,
        )

    def is_denied(self, record: SubjectRecord, check: Check, at: Instant) -> bool:
        """Return whether a check that is allowed before is denied after.

        Raises:
            BundleError: if a bundle cannot be read.
        """
        if self.rule_effects is None:
            return False
        self._source.record = record
        for engine in self.engines:
            engine.forget(check.subject)
        found = self.rule_effects.decide(check, at)
        return found.before[0] and not found.after[0]

    def _side(self, which: int, subject: Subject, feature: str, holdings: ActiveItems, now: Instant) -> _Side:
        engine = self.engines[which]
        found = engine.index.features.get(feature)
        if found is None:
            return _Side(None, None, (), holdings)
        try:
            facts = resolve_facts(found, holdings, subject, self._excerpts[which], now)
        except TotalOverflowError:
            return _Side(found, None, (), holdings)
        rules: tuple[StaticPolicy, ...] = ()
        if self.has_rules:
            rules = engine.slices.slice(found, facts.givers, principal_uid(subject), holdings.refs, ()).rules
        if self.rule_effects is not None:
            rules += self.rule_effects.of_users(which, found)
        return _Side(found, facts, rules, holdings)

    def _key(
        self,
        subject: Subject,
        feature: str,
        record: SubjectRecord,
        before: _Side,
        after: _Side,
        stretch: tuple[Instant, Instant],
    ) -> Hashable:
        """Return the group of a subject: all in it are decided alike."""
        rules = before.rules + after.rules
        alike = _is_alike(before.feature, after.feature) and not any(
            rule.policy.reads_context(_NUMBERS) for rule in rules
        )
        limits = _order(before, after) if alike else (_total(before), _total(after))
        key = (feature, subject.type is SubjectType.CUSTOMER, _flags(before), _flags(after), limits)
        if not rules:
            return key
        customer = record.customer
        read: tuple[Hashable, ...] = (
            before.rules,
            after.rules,
            customer.tags,
            tuple(sorted(customer.attributes.items())),
            before.holdings.refs,
            after.holdings.refs,
        )
        if any(rule.reads_time for rule in rules):
            read += stretch
        if any(_names_subjects(rule) for rule in rules):
            read += (subject, customer.id)
        return key + read

    def _decide(
        self,
        record: SubjectRecord,
        subject: Subject,
        feature: str,
        both: tuple[_Side, _Side],
        stretch: tuple[Instant, Instant],
    ) -> _Decided:
        self._source.record = record
        for engine in self.engines:
            engine.forget(subject)
        decided = None
        if self._is_looked_into(*both):
            decided = self._ruled(record, subject, feature, both, stretch)
        if decided is None:
            decided = self._asked(subject, feature, both, stretch[0])
        for engine in self.engines:
            engine.forget(subject)
        return decided

    def _asked(self, subject: Subject, feature: str, both: tuple[_Side, _Side], now: Instant) -> _Decided:
        """Decide the checks at the limits, steps and levels of both sides."""
        before, after = both
        sides = compared_limit(before.feature, before.facts), compared_limit(after.feature, after.facts)
        asked = probe_checks(sides)
        found = []
        for engine, side in zip(self.engines, both, strict=True):
            allowed: set[object] = set()
            data: tuple[bool, Reason | None] = (False, None)
            for place, ask in enumerate(asked):
                try:
                    decision = engine.evaluate(Check(subject, feature, *ask[:5]), now).decision
                except (CheckError, UnknownFeatureError):
                    continue
                self.decided += 1
                if not place:
                    data = decision.allowed, decision.reason
                if decision.allowed:
                    allowed.add(ask)
            # Numbers of more digits than a check can say are told apart all the same.
            if allowed and _counts_alike(before.feature, after.feature):
                allowed |= {("holds", entry) for entry in (_total(before), _total(after)) if entry <= _total(side)}
            found.append((frozenset(allowed), data))
        (was, one), (becomes, other) = found
        return _Decided(Effect.of(was, becomes), one, other)

    def _is_looked_into(self, before: _Side, after: _Side) -> bool:
        """Return whether rules distinguish checks beyond limits, and some input differs."""
        if self.rule_effects is None or not self.rule_effects.reads_requests(before.rules + after.rules):
            return False
        return not (self.rule_effects.same_data and _is_as_it_was(before, after))

    def _ruled(
        self,
        record: SubjectRecord,
        subject: Subject,
        feature: str,
        both: tuple[_Side, _Side],
        stretch: tuple[Instant, Instant],
    ) -> _Decided | None:
        """Compare every check that rules distinguish; `None` if equal, but limits may still differ."""
        effects = self.rule_effects
        if effects is None:
            return None
        if not _are_comparable(*both):
            decided = self._asked(subject, feature, both, stretch[0])
            return decided if decided.effect is not None and decided.effect.takes else _doubted(decided)
        before, after = both
        found = effects.look(record.customer, subject, (before.known(), after.known()), *stretch)
        if found.doubtful:
            decided = self._asked(subject, feature, both, stretch[0])
            return decided if decided.effect is not None and decided.effect.takes else _doubted(decided)
        was = {it for it in (found.taken, found.common) if it is not None}
        becomes = {it for it in (found.given, found.common) if it is not None}
        effect = Effect.of(frozenset(was), frozenset(becomes))
        if effect is None and _total(before) != _total(after):
            return None
        least = effects.decide(Check(subject, feature), stretch[0])
        shown = found.taken if found.taken is not None else found.given
        return _Decided(effect, least.before, least.after, shown)


class _Side(NamedTuple):
    """What one side knows of a subject and a feature; no facts if its total overflows."""

    feature: Feature | None
    facts: Facts | None
    rules: tuple[StaticPolicy, ...]
    holdings: ActiveItems

    def known(self) -> RuleInputs | None:
        """Return the inputs of rules; `None` if the side has no such feature."""
        if self.feature is None or self.facts is None:
            return None
        return RuleInputs(self.feature, self.facts, self.rules, self.holdings.refs)


def _doubted(decided: _Decided) -> _Decided:
    return decided._replace(effect=Effect.UNPROVED)


def _are_comparable(before: _Side, after: _Side) -> bool:
    """Return whether a check means the same on both sides."""
    if any(side.feature is not None and side.facts is None for side in (before, after)):
        return False
    one, other = before.feature, after.feature
    if one is None or other is None:
        return True
    return (one.type, one.scale, one.labels) == (other.type, other.scale, other.labels)


def _is_as_it_was(before: _Side, after: _Side) -> bool:
    """Return whether rules and the facts they read are equal on both sides."""
    if before.feature is None or after.feature is None or not _is_alike(before.feature, after.feature):
        return False
    if (before.feature.tags, before.feature.unit) != (after.feature.tags, after.feature.unit):
        return False
    if [rule.policy.json for rule in before.rules] != [value.policy.json for value in after.rules]:
        return False
    one, other = before.facts, after.facts
    if one is None or other is None:
        return False
    return before.holdings.refs == after.holdings.refs and _flags(before) == _flags(after) and one.total == other.total


def _flags(side: _Side) -> Hashable:
    """Return the facts without the numbers."""
    facts = side.facts
    if facts is None or side.feature is None:
        return side.feature is None
    is_quantity = side.feature.type is FeatureType.QUANTITY
    least, default = (least_amount(side.feature), default_amount(side.feature)) if is_quantity else (1, 1)
    return (
        facts.active,
        facts.suspended,
        facts.live,
        facts.unlimited,
        facts.given,
        facts.overridden,
        facts.disabled,
        bool(facts.givers),
        facts.held,
        facts.unlimited or facts.total >= least,
        facts.unlimited or facts.total >= default,
    )


def _is_alike(one: Feature | None, other: Feature | None) -> bool:
    """Return whether both sides read requests and numbers alike."""
    if one is None or other is None:
        return False
    return (one.type, one.scale, one.labels, one.batch, one.caps) == (
        other.type,
        other.scale,
        other.labels,
        other.batch,
        other.caps,
    )


def _order(before: _Side, after: _Side) -> Hashable:
    """Return how the limits of two alike sides compare."""
    was, becomes = _total(before), _total(after)
    return (was > becomes) - (was < becomes)


def _counts_alike(one: Feature | None, other: Feature | None) -> bool:
    """Return whether the numbers of both sides can be compared."""
    numbers = {FeatureType.QUANTITY, FeatureType.RANGE}
    return one is not None and other is not None and one.type is other.type and one.type in numbers


def _total(side: _Side) -> float:
    """Return the total in units of 10^-6: infinite if unlimited, -1 on overflow."""
    facts = side.facts
    if facts is None:
        return -1
    if facts.unlimited:
        return math.inf
    total: int = facts.total * 10 ** (6 - facts.feature.scale)
    return total


def _value(side: _Side) -> bool | Number | str | None:
    """Return the granted value."""
    facts, feature = side.facts, side.feature
    if facts is None or feature is None:
        return None
    match feature.type:
        case FeatureType.SWITCH:
            return bool(facts.total)
        case FeatureType.CUSTOM:
            return feature.labels[facts.total - 1] if facts.total else None
        case FeatureType.QUANTITY | FeatureType.RANGE:
            return UNLIMITED if facts.unlimited else from_units(facts.total, feature.scale)


def _names_subjects(rule: StaticPolicy) -> bool:
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
