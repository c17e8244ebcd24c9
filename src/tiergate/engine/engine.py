"""The engine: a check and an instant in, a decision out.

Facts, then Cedar: `active` and `facts` resolve what the subject has, a slice of Cedar's policies decides on it.
No I/O of its own, no clock. INVARIANT (errors close): whatever goes wrong below a well-formed check is a denial with
`evaluation_error`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from tiergate.cedar import CedarResult, Uid, authorize
from tiergate.engine.active_items import ActiveItems, resolve_active_items
from tiergate.engine.bounded_cache import BoundedCache, CacheLimits
from tiergate.engine.cedar_context import context_json
from tiergate.engine.cedar_entities import (
    EntityFactory,
    lean_principal,
    principal_entities,
    principal_uid,
    user_parents,
)
from tiergate.engine.facts import Facts, TotalOverflowError, resolve_facts
from tiergate.engine.normalized_check import NormalizedCheck, normalize_check
from tiergate.engine.slices import PolicySlice, PolicySlices
from tiergate.engine.sources import NO_USAGE, MeteredUsage, NoUsage
from tiergate.errors import OperatorError, UnreadableError
from tiergate.model import (
    BEGINNING,
    FOREVER,
    Check,
    Decision,
    Entitlement,
    FeatureType,
    Instant,
    Reason,
    Subject,
    SubjectRecord,
    from_units,
)
from tiergate.model.checks import REASON_PRECEDENCE
from tiergate.model.features import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.engine.sources import BundleSource, SubjectSource, UsageSource
    from tiergate.model import CatalogIndex, Feature

_UNKNOWN_USAGE = MeteredUsage()


@dataclass(slots=True)
class _Known:
    """What is kept of a customer or subscription: its record, and what it holds within the window of `active`.

    `serial` tells it from those before and after it: a kept decision is good only for the one that it was made on.
    """

    serial: int
    record: SubjectRecord
    principal: Uid
    active_items: ActiveItems
    lean: str
    full: str | None = None


class Evaluation(msgspec.Struct, frozen=True):
    """Everything that one decision rested on, for `explain`. `record` is none where nothing is known of the subject."""

    check: Check
    now: Instant
    decision: Decision
    facts: Facts | None
    principal: Uid | None
    action: str
    context: str
    slice: PolicySlice | None
    active_items: ActiveItems | None
    usage: MeteredUsage = _UNKNOWN_USAGE
    record: SubjectRecord | None = None


class Engine:
    """Decides checks against one bundle and one set of subjects. Not for several threads at once."""

    def __init__(
        self,
        bundle: BundleSource,
        subjects: SubjectSource,
        *,
        publication: int = 0,
        usage: UsageSource = NO_USAGE,
        limits: CacheLimits | None = None,
    ) -> None:
        """Prepare to decide.

        Raises:
            BundleError: the bundle's policies or schema are missing or torn.
        """
        limits = limits if limits is not None else CacheLimits()
        self.bundle = bundle
        self.index: CatalogIndex = bundle.index
        self.publication = publication
        self.revision = bundle.revision
        self._subjects = subjects
        self._usage = usage
        self._metering = not isinstance(usage, NoUsage)
        self.slices = PolicySlices(bundle, limits.slices, limits.slice_bytes)
        self.factory = EntityFactory(bundle)
        self.known: BoundedCache[Subject, _Known] = BoundedCache(limits.subjects, limits.subject_bytes)
        self.decisions: BoundedCache[tuple[Subject, str, NormalizedCheck], tuple[int, Decision]] = BoundedCache(
            limits.decisions, limits.decision_bytes
        )
        self._serial = 0

    def decide(self, check: Check, now: Instant) -> Decision:
        """Decide a check at `now`, in UTC milliseconds.

        Raises:
            UnknownFeatureError: the catalog has no such feature.
            CheckError: a field does not fit the feature.
        """
        feature, question = normalize_check(check, self.index.features)
        known = self._know(check.subject, now)
        if isinstance(known, Decision):
            return self._closed(feature, question, known.reason, known.errors, now)
        key = (check.subject, feature.id, question)
        metered = self.metered(feature)
        if not metered:
            cached = self.decisions.get(key)
            if cached is not None and cached[0] == known.serial and cached[1].start <= now < cached[1].until:
                return cached[1]
        decision = self._evaluate(check, feature, question, known, now).decision
        if not decision.volatile:
            self.decisions.offer(key, (known.serial, decision), 700 + 300 * len(decision.sources))
        return decision

    def unknown(self, check: Check, now: Instant) -> Decision:
        """Answer a check as for a subject that does not exist, without looking for it.

        Raises:
            UnknownFeatureError, CheckError: as `decide`.
        """
        feature, question = normalize_check(check, self.index.features)
        return self._closed(feature, question, Reason.UNKNOWN_SUBJECT, (), now)

    def entitlements(self, subject: Subject, now: Instant) -> Iterator[Decision]:
        """Decide, one by one and in the order of their ids, the least check of every feature."""
        for feature in self.index.features:
            yield self.decide(Check(subject, feature), now)

    def evaluate(self, check: Check, now: Instant) -> Evaluation:
        """Decide a check without any cached decision, and keep what it rested on.

        Raises:
            UnknownFeatureError, CheckError: as `decide`.
        """
        feature, question = normalize_check(check, self.index.features)
        known = self._know(check.subject, now)
        if isinstance(known, Decision):
            decision = self._closed(feature, question, known.reason, known.errors, now)
            return Evaluation(check, now, decision, None, None, ACTIONS[feature.type], "", None, None)
        return self._evaluate(check, feature, question, known, now)

    def forget(self, subject: Subject) -> None:
        """Forget what is kept of a subject and its users, because its data has changed. Its decisions go with it.

        A customer and each of its subscriptions are subjects of their own.
        """
        self.known.drop(_holder(subject))

    def record_of(self, subject: Subject) -> SubjectRecord | None:
        """The record that decisions about a subject rest on; none where it is unknown.

        Raises:
            OperatorError: it cannot be read.
        """
        subject = _holder(subject)
        known = self.known.get(subject)
        return self._subjects.find(subject) if known is None else known.record

    def _know(self, subject: Subject, now: Instant) -> _Known | Decision:
        """What is known of a subject at `now`; a bare denial where that is nothing or cannot be read."""
        subject = _holder(subject)
        known = self.known.get(subject)
        if known is not None:
            if known.active_items.start <= now < known.active_items.until:
                return known
            record: SubjectRecord | None = known.record
        else:
            try:
                record = self._subjects.find(subject)
            except UnreadableError:
                raise
            except (OperatorError, msgspec.MsgspecError) as error:
                return _bare(Reason.EVALUATION_ERROR, (str(error),))
        if record is None:
            return _bare(Reason.UNKNOWN_SUBJECT, ())
        active = resolve_active_items(record, subject, self.index, now)
        self._serial += 1
        lean = lean_principal(subject, active.refs)
        known = _Known(self._serial, record, principal_uid(subject), active, lean)
        self.known.offer(subject, known, _size(record) + 3 * len(lean))
        return known

    def _evaluate(
        self, check: Check, feature: Feature, question: NormalizedCheck, known: _Known, now: Instant
    ) -> Evaluation:
        action = ACTIONS[feature.type]
        subject, active = check.subject, known.active_items
        principal = known.principal if subject.user is None else principal_uid(subject)
        usage = _UNKNOWN_USAGE
        facts: Facts | None = None
        context = ""
        part: PolicySlice | None = None
        try:
            if self.metered(feature):
                usage = self._usage.usage_of(check.subject, feature, now)
            facts = resolve_facts(feature, active, subject, self.bundle, now)
            part = self.slices.slice(feature, facts.givers, principal, active.refs, user_parents(subject))
            context = context_json(facts, question, usage, now, time=part.reads_time)
            written = _written(known, subject, full=bool(part.rules))
            entities = self.factory.entities(feature, part.rules, written, active.refs)
            outcome = authorize(part.group, entities, principal, action, feature.id, context)
            if not outcome.allowed and not outcome.policies and not outcome.errors:
                outcome = authorize(
                    self.slices.reasons(feature), entities, principal, action, feature.id, context
                )._replace(allowed=False)
        except UnreadableError:
            raise
        except (OperatorError, TotalOverflowError, ValueError) as error:
            outcome = CedarResult(allowed=False, policies=(), errors=(str(error),))
        decision = self._decision(feature, question, usage, facts, outcome, part, now)
        return Evaluation(check, now, decision, facts, principal, action, context, part, active, usage, known.record)

    def _decision(
        self,
        feature: Feature,
        question: NormalizedCheck,
        usage: MeteredUsage,
        facts: Facts | None,
        outcome: CedarResult,
        part: PolicySlice | None,
        now: Instant,
    ) -> Decision:
        if facts is None:
            return self._closed(feature, question, Reason.EVALUATION_ERROR, outcome.errors, now)
        reason = self._reason(outcome)
        momentary = part is None or part.reads_time or bool(outcome.errors)
        return Decision(
            allowed=reason is Reason.GRANTED,
            reason=reason,
            feature=feature.id,
            type=feature.type,
            entitlement=_entitlement(
                feature, facts.total, usage.used if question.used is None else question.used, unlimited=facts.unlimited
            ),
            sources=facts.sources(),
            policies=outcome.policies,
            publication=self.publication,
            revision=self.revision,
            start=now if momentary else facts.start,
            until=now + 1 if momentary else facts.until,
            volatile=momentary or self.metered(feature),
            errors=outcome.errors,
            usage=(usage.used, usage.user_used, usage.total_used) if self.metered(feature) else None,
        )

    def metered(self, feature: Feature) -> bool:
        """Say whether the usage of this feature is counted here, so that no answer about it may be repeated."""
        return self._metering and feature.metered is not None

    def _reason(self, outcome: CedarResult) -> Reason:
        if outcome.errors:
            return Reason.EVALUATION_ERROR
        if outcome.allowed:
            return Reason.GRANTED
        static = [self.slices.by_id[policy].reason for policy in outcome.policies if policy in self.slices.by_id]
        return min(static, key=REASON_PRECEDENCE.__getitem__, default=Reason.EVALUATION_ERROR)

    def _closed(
        self, feature: Feature, question: NormalizedCheck, reason: Reason, errors: tuple[str, ...], now: Instant
    ) -> Decision:
        """A denial without facts: nothing is held as far as anybody knows."""
        momentary = reason is not Reason.UNKNOWN_SUBJECT
        return Decision(
            allowed=False,
            reason=reason,
            feature=feature.id,
            type=feature.type,
            entitlement=_entitlement(feature, 0, question.used or 0, unlimited=False),
            sources=(),
            policies=(),
            publication=self.publication,
            revision=self.revision,
            start=now if momentary else BEGINNING,
            until=now + 1 if momentary else FOREVER,
            volatile=momentary,
            errors=errors,
        )


def _holder(subject: Subject) -> Subject:
    """The customer or subscription itself, without its user."""
    return subject if subject.user is None else Subject(subject.id, subject.type)


def _written(known: _Known, subject: Subject, *, full: bool) -> str:
    """The principal as entities: `full` where rules may read all of it. Kept but for users, who are many."""
    if subject.user is None:
        if not full:
            return known.lean
        if known.full is None:
            known.full = principal_entities(subject, known.active_items.customer, known.active_items.refs)
        return known.full
    if not full:
        return lean_principal(subject, known.active_items.refs)
    return principal_entities(subject, known.active_items.customer, known.active_items.refs)


def _size(record: SubjectRecord) -> int:
    """About how many bytes a record takes in memory, with what is kept beside it, as measured."""
    customer = record.customer
    parts = (
        len(customer.tags) + 2 * len(customer.attributes) + 6 * (len(customer.overrides) + len(customer.suspensions))
    )
    for subscription in record.subscriptions:
        parts += 6 + 3 * len(subscription.items) + 6 * (len(subscription.overrides) + len(subscription.suspensions))
    return 700 + 70 * parts


def _bare(reason: Reason, errors: tuple[str, ...]) -> Decision:
    return Decision(False, reason, "", FeatureType.SWITCH, Entitlement(), (), (), 0, "", BEGINNING, errors=errors)


def _entitlement(feature: Feature, total: int, used: int, *, unlimited: bool) -> Entitlement:
    if feature.type is FeatureType.SWITCH:
        return Entitlement(value=bool(total))
    if feature.type is FeatureType.CUSTOM:
        return Entitlement(value=feature.labels[total - 1] if total else None)
    unit = feature.unit or msgspec.UNSET
    value = msgspec.UNSET if unlimited else from_units(total, feature.scale)
    if feature.type is FeatureType.RANGE:
        return Entitlement(value=value, unlimited=unlimited, unit=unit)
    return Entitlement(
        value=value,
        unlimited=unlimited,
        unit=unit,
        used=from_units(used, feature.scale),
        remaining=msgspec.UNSET if unlimited else from_units(max(0, total - used), feature.scale),
    )
