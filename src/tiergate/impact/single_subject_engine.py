"""One side of a comparison: a bundle whose engine decides about subjects that are made up for the purpose.

The part of a decision that counts is `ComparedDecision`: allowed or not, why, and the value granted. Which
versions and policies a decision names does not count, so that what is only called otherwise is no difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from tiergate.engine import Evaluator, MeteredUsage
from tiergate.engine.fixed_sources import FixedSubject, FixedUsage
from tiergate.errors import CheckError
from tiergate.model import Check, Instant, Number, Reason, Subject, SubjectType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.engine import BundleSource, Evaluation
    from tiergate.model import Decision, SubjectRecord

_RULES = ("policies/rules/", "entities/rules/")


class EntitlementValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a subject holds of a feature, as a decision says it.

    `value`: switch true or false; custom the level, `None` for none; else the exact number, `None` where `unlimited`.
    """

    value: bool | int | Number | str | None = None
    unlimited: bool = False
    unit: str = ""

    @property
    def is_nothing(self) -> bool:
        """Say whether it grants nothing."""
        return not self.unlimited and not self.value


NO_ENTITLEMENT = EntitlementValue()
"""What is held of a feature that there is not."""


class CheckParameters(NamedTuple):
    """What a check asks beside its subject and feature; `metered`: the usage that is known of itself, in units."""

    amount: Number | None = None
    used: Number | None = None
    user_used: Number | None = None
    value: Number | None = None
    level: str | None = None
    metered: MeteredUsage = MeteredUsage()


class ComparedDecision(NamedTuple):
    """What counts of a decision. `mistake`: the field that does not fit the feature, or that there is no feature.

    `facts`: all that rules can read of it in Cedar's context, empty where no rule can come to it. `rules`: those of the
    users' own that decided.
    """

    allowed: bool
    reason: str
    held: EntitlementValue
    mistake: str = ""
    facts: str = ""
    rules: tuple[str, ...] = ()

    @property
    def decided(self) -> tuple[bool, str, EntitlementValue, str]:
        """What counts: all but the facts and the rules."""
        return self[:4]


class BundleWithoutRules:
    """A bundle without the users' rules: what its catalog alone comes to.

    `alone`: every item counts, whatever it is available for or depends on, so that it shows what it gives itself.
    """

    def __init__(self, bundle: BundleSource, *, alone: bool = False) -> None:
        self.revision, self.index = bundle.revision, bundle.index
        if alone:
            items = {id_: replace(it, available_for=(), depends_on=()) for id_, it in bundle.index.items.items()}
            self.index = replace(bundle.index, items=items)
        self.definition, self.text = bundle.definition, bundle.text
        self._bundle = bundle

    def paths(self, prefix: str) -> Sequence[str]:
        """The files whose path begins so, but for those of rules."""
        return [path for path in self._bundle.paths(prefix) if not path.startswith(_RULES)]


class SingleSubjectEngine:
    """A bundle that is asked."""

    def __init__(self, bundle: BundleSource) -> None:
        """Prepare to decide.

        Raises:
            BundleError: the bundle cannot be read.
        """
        self.bundle = bundle
        self.index = bundle.index
        self._stage = FixedSubject()
        self._meter = FixedUsage()
        self._engine = Evaluator(bundle, self._stage, usage=self._meter)

    def receive(self, record: SubjectRecord) -> None:
        """Let this be the one subject there is from now on."""
        self._stage.record = record
        self._engine.forget(Subject(record.customer.id))
        for subscription in record.subscriptions:
            self._engine.forget(Subject(subscription.id, SubjectType.SUBSCRIPTION))

    def decide(
        self, subject: Subject, feature: str, ask: CheckParameters, now: Instant, *, ruled: bool
    ) -> ComparedDecision:
        """Decide a check without any cached decision; `ruled`: rules can come to it, and what they read counts.

        Raises:
            BundleError: the bundle cannot be read.
        """
        if feature not in self.index.features:
            return ComparedDecision(allowed=False, reason="", held=NO_ENTITLEMENT, mistake="feature")
        self._meter.usage = ask.metered
        check = Check(subject, feature, ask.amount, ask.used, ask.user_used, ask.value, ask.level)
        try:
            evaluation = self._engine.evaluate(check, now)
        except CheckError as error:
            return ComparedDecision(allowed=False, reason="", held=NO_ENTITLEMENT, mistake=error.field)
        return _said(evaluation, ruled=ruled)


def _said(evaluation: Evaluation, *, ruled: bool) -> ComparedDecision:
    decision = evaluation.decision
    rules = tuple(policy for policy in decision.policies if policy.startswith("rule/"))
    return ComparedDecision(
        decision.allowed, decision.reason.value, _held(decision), "", evaluation.context if ruled else "", rules
    )


def _held(decision: Decision) -> EntitlementValue:
    if decision.reason is Reason.UNKNOWN_SUBJECT:
        return NO_ENTITLEMENT
    entitlement = decision.entitlement
    value = entitlement.value
    return EntitlementValue(
        None if isinstance(value, msgspec.UnsetType) else value,
        entitlement.unlimited is True,
        "" if isinstance(entitlement.unit, msgspec.UnsetType) else entitlement.unit,
    )
