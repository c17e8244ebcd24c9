"""An engine on one bundle that decides about one made-up subject at a time.

`ComparedDecision` is the part of a decision that counts in a comparison: allowed or not, why, and the value granted.
The versions and policies that a decision names do not count, so a mere renaming is no difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from tiergate.engine import Evaluator
from tiergate.engine.feature_status import FeatureStatuses, fixed_status
from tiergate.engine.fixed_sources import FixedSubject, FixedUsage
from tiergate.errors import CheckError
from tiergate.model import Check, Instant, MeteredUsage, Number, Reason, Status, Subject, SubjectType, from_units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.engine import BundleSource, Evaluation
    from tiergate.engine.facts import Facts
    from tiergate.model import Decision, SubjectRecord

_RULES = ("policies/rules/", "entities/rules/")


class EntitlementValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value of a feature that a decision grants.

    `value`: true or false for a switch; the level, or `None`, for a custom feature; else the exact number, `None` if
    `unlimited`. `soft`: usage above it is allowed, up to `overage_max` more, or any number.
    """

    value: bool | int | Number | str | None = None
    unlimited: bool = False
    unit: str = ""
    soft: bool = False
    overage_max: Number | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether it grants nothing."""
        return not self.unlimited and not self.value

    def is_equal(self, other: EntitlementValue) -> bool:
        """Return whether both are as much, in whatever unit; nothing equals nothing."""
        if self.is_nothing or other.is_nothing:
            return self.is_nothing and other.is_nothing
        if self.unlimited or other.unlimited:
            return self.unlimited == other.unlimited
        return (self.value, self.soft, self.overage_max) == (other.value, other.soft, other.overage_max)


NO_ENTITLEMENT = EntitlementValue()
"""The value of a feature that does not exist."""


class CheckParameters(NamedTuple):
    """The fields of a check beside its subject and feature.

    `metered`: metered usage, in units. `status`: of the feature.
    """

    amount: Number | None = None
    used: Number | None = None
    user_used: Number | None = None
    value: Number | None = None
    level: str | None = None
    metered: MeteredUsage = MeteredUsage()
    status: Status = Status.OPERATIONAL


class ComparedDecision(NamedTuple):
    """The part of a decision that counts. `mistake`: the field that does not fit the feature, or `feature`.

    `facts`: the Cedar context, empty if no rule applies. `rules`: the user-defined rules that decided.
    """

    allowed: bool
    reason: str
    held: EntitlementValue
    mistake: str = ""
    facts: str = ""
    rules: tuple[str, ...] = ()

    @property
    def decided(self) -> tuple[bool, str, EntitlementValue, str]:
        """All that counts: without the facts and the rules."""
        return self[:4]


class BundleWithoutRules:
    """A bundle without user-defined rules.

    `alone`: ignore `available_for` and `depends_on`, so that every item counts and shows what it grants by itself.
    """

    def __init__(self, bundle: BundleSource, *, alone: bool = False) -> None:
        self.revision, self.index = bundle.revision, bundle.index
        if alone:
            items = {id_: replace(it, available_for=(), depends_on=()) for id_, it in bundle.index.items.items()}
            self.index = replace(bundle.index, items=items)
        self.definition, self.text = bundle.definition, bundle.text
        self._bundle = bundle

    def paths(self, prefix: str) -> Sequence[str]:
        """Return the files with this prefix, without those of rules."""
        return [path for path in self._bundle.paths(prefix) if not path.startswith(_RULES)]


class SingleSubjectEngine:
    """An engine that knows one subject at a time."""

    def __init__(self, bundle: BundleSource) -> None:
        self.bundle = bundle
        self.index = bundle.index
        self._stage = FixedSubject()
        self._meter = FixedUsage()
        self._statuses = FeatureStatuses()
        self._engine = Evaluator(bundle, self._stage, usage=self._meter, statuses=self._statuses)

    def receive(self, record: SubjectRecord) -> None:
        """Make this the only subject from now on."""
        self._stage.record = record
        self._engine.forget(Subject(record.customer.id))
        for subscription in record.subscriptions:
            self._engine.forget(Subject(subscription.id, SubjectType.SUBSCRIPTION))

    def decide(
        self, subject: Subject, feature: str, ask: CheckParameters, now: Instant, *, ruled: bool
    ) -> ComparedDecision:
        """Decide a check without cached decisions; `ruled`: rules may apply, so the facts they read count."""
        if feature not in self.index.features:
            return ComparedDecision(allowed=False, reason="", held=NO_ENTITLEMENT, mistake="feature")
        self._meter.usage = ask.metered
        self._statuses.replace(fixed_status(feature, ask.status, now))
        check = Check(subject, feature, ask.amount, ask.used, ask.user_used, ask.value, ask.level)
        try:
            evaluation = self._engine.evaluate(check, now)
        except CheckError as error:
            return ComparedDecision(allowed=False, reason="", held=NO_ENTITLEMENT, mistake=error.field)
        return _compared_decision(evaluation, ruled=ruled)


def _compared_decision(evaluation: Evaluation, *, ruled: bool) -> ComparedDecision:
    decision = evaluation.decision
    rules = tuple(policy for policy in decision.policies if policy.startswith("rule/"))
    return ComparedDecision(
        decision.allowed,
        decision.reason.value,
        _granted_value(decision, evaluation.facts),
        "",
        evaluation.context if ruled else "",
        rules,
    )


def _granted_value(decision: Decision, facts: Facts | None) -> EntitlementValue:
    if decision.reason is Reason.UNKNOWN_SUBJECT:
        return NO_ENTITLEMENT
    soft, overage_max = False, None
    if facts is not None and facts.soft and not facts.unlimited:
        soft = True
        overage_max = None if facts.overage_max is None else from_units(facts.overage_max, facts.feature.scale)
    entitlement = decision.entitlement
    value = entitlement.value
    return EntitlementValue(
        None if isinstance(value, msgspec.UnsetType) else value,
        entitlement.unlimited is True,
        "" if isinstance(entitlement.unit, msgspec.UnsetType) else entitlement.unit,
        soft,
        overage_max,
    )
