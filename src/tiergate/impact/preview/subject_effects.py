"""What a change does to subjects, as values: one effect on one subject and feature, and the tally of all of them.

What is allowed is compared as sets of checks. Pure; who is asked and how is `preview`'s and `comparison`'s to know.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.model import Number, SubjectType, format_instant

if TYPE_CHECKING:
    from tiergate.model import Instant, Reason, Subject

UNLIMITED: Final = "unlimited"
"""The value of what has no limit, as catalogs write it."""

_EXAMPLES: Final = 10


class Effect(StrEnum):
    """What becomes of the checks about a feature that a subject is allowed.

    `gains`: nothing was, something is. `loses`: something was, nothing is. `less` and `more`: some of them remain, or
    all of them and others. `other`: some are denied now that were allowed, and the other way round. `unproved`: none of
    them is known to be denied, nor proved to be still allowed. `kept`: as much as before, by an override alone.
    """

    LOSES = "loses"
    LESS = "less"
    OTHER = "other"
    UNPROVED = "unproved"
    KEPT = "kept"
    MORE = "more"
    GAINS = "gains"

    @property
    def takes(self) -> bool:
        """Say whether something that was allowed is denied, or may be."""
        return self in {Effect.LOSES, Effect.LESS, Effect.OTHER, Effect.UNPROVED}

    @property
    def touches(self) -> bool:
        """Say whether something is decided otherwise, or may be."""
        return self is not Effect.KEPT

    @classmethod
    def of(cls, before: frozenset[object], after: frozenset[object]) -> Effect | None:
        """The effect of having other things allowed; none where they are the same."""
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
    """What the least check is answered: whether it is allowed and why, and the value that the subject holds.

    `value`: true or false of a switch, the label of a custom feature, the number of a quantity or a range, or
    `UNLIMITED`; none where nothing is held or the feature is not there.
    """

    allowed: bool
    reason: Reason | None
    value: bool | Number | str | None


class ComparedCheck(NamedTuple):
    """A check that shows an effect: what it asks beside its subject and feature, when, and what both sides answer.

    A reason is none where a side has no such feature. `total_used`: what everybody together has used then,
    where that is counted by itself.
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


class SubjectEffect(NamedTuple):
    """One effect on one subject and feature. `since`: the first instant at which it holds.

    `before`, `after`: with all overrides in force; of what is `kept`, as it would be without those on the feature.
    `used`: what the subject has used, where that is known; `above`: it is more than the subject may have then.
    `shown_by`: a check that shows it, where a rule decides and the least check does not show it.
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
        """Say whether the subject is the customer itself."""
        return self.subject.type is SubjectType.CUSTOMER


@dataclass(slots=True)
class FeatureImpact:
    """How many customers and single subscriptions have each effect of one feature, and a few of them each."""

    customers: Counter[Effect] = field(default_factory=Counter)
    subscriptions: Counter[Effect] = field(default_factory=Counter)
    above: int = 0
    examples: dict[Effect, list[SubjectEffect]] = field(default_factory=dict)


@dataclass(slots=True)
class Impact:
    """The tally of a change. Of subscriptions, only those of customers who have several are asked about by themselves.

    `examined`: customers that were looked at. `customers`: how many have each effect of some feature, themselves or by
    one of their subscriptions; `touched`: any effect; `above`: customers who have used more than they may have then.
    """

    examined: int = 0
    touched: int = 0
    above: int = 0
    customers: Counter[Effect] = field(default_factory=Counter)
    features: dict[str, FeatureImpact] = field(default_factory=dict)

    @property
    def takes(self) -> int:
        """How many customers lose something or get less of it: at least one of their checks is denied then."""
        return self._takes

    _takes: int = 0

    def count(self, effects: list[SubjectEffect]) -> None:
        """Count the effects on one customer and its subscriptions; none of them: it was looked at."""
        self.examined += 1
        if not effects:
            return
        result = {effect.effect for effect in effects}
        self.touched += any(it.touches for it in result)
        self.customers.update(result)
        self._takes += any(value.takes for value in result)
        self.above += any(entry.above for entry in effects)
        above: set[str] = set()
        for effect in effects:
            tally = self.features.setdefault(effect.feature, FeatureImpact())
            (tally.customers if effect.is_customer else tally.subscriptions)[effect.effect] += 1
            if effect.above and effect.feature not in above:
                above.add(effect.feature)
                tally.above += 1
            _show(tally.examples.setdefault(effect.effect, []), effect)

    def add(self, other: Impact) -> None:
        """Add the tally of other customers."""
        self.examined += other.examined
        self.touched += other.touched
        self.above += other.above
        self._takes += other._takes
        self.customers.update(other.customers)
        for id_, its in other.features.items():
            tally = self.features.setdefault(id_, FeatureImpact())
            tally.customers.update(its.customers)
            tally.subscriptions.update(its.subscriptions)
            tally.above += its.above
            for effect, examples in its.examples.items():
                for example in examples:
                    _show(tally.examples.setdefault(effect, []), example)


def _show(examples: list[SubjectEffect], one: SubjectEffect) -> None:
    """Keep an effect as an example while there are few, and rather those who have used more than they may then."""
    if len(examples) < _EXAMPLES:
        examples.append(one)
    elif one.above:
        place = next((place for place, it in enumerate(examples) if not it.above), None)
        if place is not None:
            examples[place] = one


def impact_data(impact: Impact, *, named: bool = True) -> dict[str, object]:
    """A tally as members of JSON; `named`: with the examples, which name customers."""
    said: dict[str, object] = {
        "examined": impact.examined,
        "customers": {"touched": impact.touched, "take": impact.takes, "above": impact.above}
        | _counts(impact.customers),
        "features": [_feature_data(id_, tally, named=named) for id_, tally in sorted(impact.features.items())],
    }
    return said


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


def effect_data(one: SubjectEffect) -> dict[str, object]:
    """An effect as members of JSON: a line of the full list."""
    said: dict[str, object] = {"customer": one.customer}
    if not one.is_customer:
        said["subscription"] = one.subject.id
    said |= {"feature": one.feature, "effect": one.effect.value, "since": format_instant(one.since)}
    said |= {"before": _answered_data(one.before), "after": _answered_data(one.after)}
    if one.used is not None:
        said |= {"used": one.used, "above": one.above}
    if one.shown_by is not None:
        said["shown_by"] = _asked_data(one.shown_by)
    return said


def _asked_data(asked: ComparedCheck) -> dict[str, object]:
    said: dict[str, object] = {"at": format_instant(asked.at)}
    for name in ("user", "amount", "used", "user_used", "value", "level"):
        found = getattr(asked, name)
        if found is not None:
            said[name] = found
    if asked.total_used:
        said["total_used"] = asked.total_used
    for name, (allowed, reason) in (("before", asked.before), ("after", asked.after)):
        said[name] = {"allowed": allowed, "reason": _reason(reason)}
    return said


def _reason(reason: Reason | None) -> str:
    return "unknown_feature" if reason is None else reason.value


def _answered_data(answered: LeastCheckResult) -> dict[str, object]:
    return {"allowed": answered.allowed, "reason": _reason(answered.reason), "value": answered.value}
