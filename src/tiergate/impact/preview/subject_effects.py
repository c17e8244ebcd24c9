"""The effects of a change on subjects, as values: one effect on one subject and feature, and the totals.

Allowed checks are compared as sets. `preview` and `subject_comparison` find the effects.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.model import FeatureType, Number, SubjectType, format_instant, from_units

if TYPE_CHECKING:
    from tiergate.engine.facts import Facts
    from tiergate.model import Instant, Reason, Subject

UNLIMITED: Final = "unlimited"
"""The value of an unlimited entitlement, as in catalogs."""

_EXAMPLES: Final = 10


class Effect(StrEnum):
    """How the allowed checks of a subject and a feature change.

    `gains`: none were, some are. `loses`: some were, none are. `less`, `more`: a part of them, or all and others.
    `other`: some become denied, others allowed. `unproved`: no loss is known, nor excluded. `kept`: unchanged, but only
    by an override.
    """

    LOSES = "loses"
    LESS = "less"
    OTHER = "other"
    UNPROVED = "unproved"
    KEPT = "kept"
    MORE = "more"
    GAINS = "gains"

    @property
    def reduces(self) -> bool:
        """Whether something that was allowed is denied, or may be."""
        return self in {Effect.LOSES, Effect.LESS, Effect.OTHER, Effect.UNPROVED}

    @property
    def affects(self) -> bool:
        """Whether some decision differs, or may."""
        return self is not Effect.KEPT

    @classmethod
    def of(cls, before: frozenset[object], after: frozenset[object]) -> Effect | None:
        """Return the effect of another set of allowed checks; `None` if it is the same."""
        if before == after:
            return None
        if not before:
            return cls.GAINS
        if not after:
            return cls.LOSES
        if after < before:
            return cls.LESS
        return cls.MORE if before < after else cls.OTHER


class LeastCheckResult(NamedTuple):
    """The result of the least check: whether it is allowed and why, and the granted value.

    `value`: true or false for a switch, the label of a custom feature, the number of a quantity or a range, or
    `UNLIMITED`; `None` if nothing is granted or there is no such feature. `overage`: how much above it a soft limit
    allows, perhaps `UNLIMITED`; 0 for a hard limit.
    """

    allowed: bool
    reason: Reason | None
    value: bool | Number | str | None
    overage: Number | str = 0


def value_from_facts(facts: Facts) -> bool | Number | str | None:
    """Return the value that facts grant, as an entitlement has it."""
    feature = facts.feature
    match feature.type:
        case FeatureType.SWITCH:
            return bool(facts.total)
        case FeatureType.CUSTOM:
            return feature.labels[facts.total - 1] if facts.total else None
        case FeatureType.QUANTITY | FeatureType.RANGE:
            return UNLIMITED if facts.unlimited else from_units(facts.total, feature.scale)


def overage_from_facts(facts: Facts) -> Number | str:
    """Return how much above the value a soft limit allows, as a number or `UNLIMITED`; 0 for a hard limit."""
    if not facts.soft or not facts.held or facts.unlimited:
        return 0
    return UNLIMITED if facts.overage_max is None else from_units(facts.overage_max, facts.feature.scale)


class ComparedCheck(NamedTuple):
    """A check that shows an effect, and its result on both sides.

    A reason is `None` if a side has no such feature. `total_used`: the metered usage of everybody together, which
    resets at `resets_at`, if that is known. `status`: of the feature, if it is not operational.
    """

    at: Instant
    before: tuple[bool, Reason | None]
    after: tuple[bool, Reason | None]
    amount: Number | None = None
    used: Number | None = None
    user_used: Number | None = None
    value: Number | None = None
    level: str | None = None
    user: str | None = None
    total_used: Number = 0
    resets_at: Instant | None = None
    status: str = ""


class SubjectEffect(NamedTuple):
    """One effect on one subject and feature. `since`: its first instant.

    `before`, `after`: with all overrides; of what is `kept`, without those on the feature. `used`: the subject's usage,
    if known; `above`: it exceeds the new limit. `shown_by`: a check that shows the effect, if the least check does not.
    """

    customer: str
    subject: Subject
    feature: str
    effect: Effect
    since: Instant
    before: LeastCheckResult
    after: LeastCheckResult
    used: Number | None = None
    above: bool = False
    shown_by: ComparedCheck | None = None

    @property
    def is_customer(self) -> bool:
        """Whether the subject is the customer itself."""
        return self.subject.type is SubjectType.CUSTOMER


@dataclass(slots=True)
class FeatureImpact:
    """The number of customers and single subscriptions with each effect on one feature, and examples."""

    customers: Counter[Effect] = field(default_factory=Counter)
    subscriptions: Counter[Effect] = field(default_factory=Counter)
    above: int = 0
    examples: dict[Effect, list[SubjectEffect]] = field(default_factory=dict)


@dataclass(slots=True)
class Impact:
    """The totals of a change. Subscriptions are counted only if their customer has several.

    `examined`: customers looked at. `customers`: how many have each effect on some feature, themselves or by a
    subscription; `touched`: any effect; `above`: customers whose usage exceeds a new limit.
    """

    examined: int = 0
    touched: int = 0
    above: int = 0
    customers: Counter[Effect] = field(default_factory=Counter)
    features: dict[str, FeatureImpact] = field(default_factory=dict)

    @property
    def reduces(self) -> int:
        """How many customers lose something or get less: at least one of their checks becomes denied."""
        return self._reduces

    _reduces: int = 0

    def count(self, effects: list[SubjectEffect]) -> None:
        """Count the effects on one customer and its subscriptions, if any."""
        self.examined += 1
        if not effects:
            return
        result = {effect.effect for effect in effects}
        self.touched += any(it.affects for it in result)
        self.customers.update(result)
        self._reduces += any(value.reduces for value in result)
        self.above += any(entry.above for entry in effects)
        above: set[str] = set()
        for effect in effects:
            tally = self.features.setdefault(effect.feature, FeatureImpact())
            (tally.customers if effect.is_customer else tally.subscriptions)[effect.effect] += 1
            if effect.above and effect.feature not in above:
                above.add(effect.feature)
                tally.above += 1
            _keep_example(tally.examples.setdefault(effect.effect, []), effect)

    def add(self, other: Impact) -> None:
        """Add the totals of other customers."""
        self.examined += other.examined
        self.touched += other.touched
        self.above += other.above
        self._reduces += other._reduces
        self.customers.update(other.customers)
        for id_, other_feature in other.features.items():
            tally = self.features.setdefault(id_, FeatureImpact())
            tally.customers.update(other_feature.customers)
            tally.subscriptions.update(other_feature.subscriptions)
            tally.above += other_feature.above
            for effect, examples in other_feature.examples.items():
                for example in examples:
                    _keep_example(tally.examples.setdefault(effect, []), example)


def _keep_example(examples: list[SubjectEffect], effect: SubjectEffect) -> None:
    """Keep an effect as an example while there are few; prefer those whose usage exceeds the new limit."""
    if len(examples) < _EXAMPLES:
        examples.append(effect)
    elif effect.above:
        place = next((place for place, it in enumerate(examples) if not it.above), None)
        if place is not None:
            examples[place] = effect


def impact_data(impact: Impact, *, named: bool = True) -> dict[str, object]:
    """Return the totals as JSON members; `named`: with the examples, which name customers."""
    data: dict[str, object] = {
        "examined": impact.examined,
        "customers": {"touched": impact.touched, "take": impact.reduces, "above": impact.above}
        | _counts(impact.customers),
        "features": [_feature_data(id_, tally, named=named) for id_, tally in sorted(impact.features.items())],
    }
    return data


def _feature_data(id_: str, tally: FeatureImpact, *, named: bool) -> dict[str, object]:
    data: dict[str, object] = {
        "feature": id_,
        "customers": _counts(tally.customers),
        "subscriptions": _counts(tally.subscriptions),
        "above": tally.above,
    }
    if named:
        data["examples"] = [effect_data(entry) for effect in Effect for entry in tally.examples.get(effect, ())]
    return data


def _counts(counter: Counter[Effect]) -> dict[str, int]:
    return {effect.value: counter[effect] for effect in Effect}


def effect_data(effect: SubjectEffect) -> dict[str, object]:
    """Return an effect as JSON members: a line of the full list."""
    data: dict[str, object] = {"customer": effect.customer}
    if not effect.is_customer:
        data["subscription"] = effect.subject.id
    data |= {"feature": effect.feature, "effect": effect.effect.value, "since": format_instant(effect.since)}
    data |= {"before": _result_data(effect.before), "after": _result_data(effect.after)}
    if effect.used is not None:
        data |= {"used": effect.used, "above": effect.above}
    if effect.shown_by is not None:
        data["shown_by"] = _check_data(effect.shown_by)
    return data


def _check_data(check: ComparedCheck) -> dict[str, object]:
    data: dict[str, object] = {"at": format_instant(check.at)}
    for name in ("user", "amount", "used", "user_used", "value", "level"):
        value = getattr(check, name)
        if value is not None:
            data[name] = value
    if check.total_used:
        data["total_used"] = check.total_used
    if check.resets_at is not None:
        data["resets_at"] = format_instant(check.resets_at)
    if check.status:
        data["status"] = check.status
    for name, (allowed, reason) in (("before", check.before), ("after", check.after)):
        data[name] = {"allowed": allowed, "reason": _reason(reason)}
    return data


def _reason(reason: Reason | None) -> str:
    return "unknown_feature" if reason is None else reason.value


def _result_data(answered: LeastCheckResult) -> dict[str, object]:
    data = {"allowed": answered.allowed, "reason": _reason(answered.reason), "value": answered.value}
    return data | {"overage": answered.overage} if answered.overage else data
