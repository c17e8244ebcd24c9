"""The evaluator: facts and a slice of policies in, Cedar's decision out. The lowest layer of deciding.

`CheckDecider` is the one protocol of this and of every layer over it. No I/O of its own, no clock.
INVARIANT (errors close): whatever fails below a well-formed check is a denial with `evaluation_error`.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from tiergate.cedar import CedarResult, Uid, authorize
from tiergate.engine.active_items import ActiveItems
from tiergate.engine.bounded_cache import CacheLimits
from tiergate.engine.cedar_context import context_json, knows_metering, knows_status
from tiergate.engine.cedar_entities import EntityFactory, user_parents
from tiergate.engine.entitlements import entitlement_of, entitlement_without_facts
from tiergate.engine.facts import Facts, TotalOverflowError, resolve_facts
from tiergate.engine.feature_status import FeatureStatuses, status_window, with_status
from tiergate.engine.normalized_check import NormalizedCheck, expect_valid_subject, normalize_check
from tiergate.engine.own_access import OwnAccess
from tiergate.engine.slices import PolicySlice, PolicySlices
from tiergate.engine.sources import NO_USAGE, NoUsage
from tiergate.engine.subject_cache import ActiveSubject, SubjectCache
from tiergate.errors import OperatorError, UnreadableError
from tiergate.model import (
    BEGINNING,
    FOREVER,
    NO_METERED_USAGE,
    Check,
    Decision,
    Instant,
    MeteredUsage,
    Reason,
    Subject,
    SubjectRecord,
)
from tiergate.model.checks import REASON_PRECEDENCE
from tiergate.model.features import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.engine.facts import HeldDefinition
    from tiergate.engine.shapes.kept_decision import KeptDecision
    from tiergate.engine.sources import BundleSource, SubjectSource, UsageSource
    from tiergate.model import CatalogIndex, Feature

_SOMEBODY = Subject("somebody")


class Denial(NamedTuple):
    """Why nothing can be evaluated about a subject."""

    reason: Reason
    errors: tuple[str, ...] = ()


_UNKNOWN_SUBJECT = Denial(Reason.UNKNOWN_SUBJECT)


class Evaluation(msgspec.Struct, frozen=True):
    """A decision and everything that it was made from. `record` is `None` if the subject is unknown."""

    check: Check
    now: Instant
    decision: Decision
    facts: Facts | None
    principal: Uid | None
    action: str
    context: str
    slice: PolicySlice | None
    active_items: ActiveItems | None
    usage: MeteredUsage = NO_METERED_USAGE
    record: SubjectRecord | None = None


class CheckDecider(Protocol):
    """Decides checks: a check and an instant in UTC milliseconds in, a decision out."""

    @property
    def evaluator(self) -> Evaluator:
        """The lowest layer, for what must not come from a cache."""
        ...

    def decide(self, check: Check, now: Instant) -> Decision:
        """Decide a check.

        Raises:
            UnknownFeatureError: if the catalog has no such feature.
            CheckError: if a field does not fit the feature.
        """
        ...

    def decide_normalized(
        self, check: Check, feature: Feature, normalized: NormalizedCheck, active: ActiveSubject, now: Instant
    ) -> Decision:
        """Decide a check that is normalized, about a subject that was found as of `now`."""
        ...

    def find_kept(self, check: Check, now: Instant) -> KeptDecision | None:
        """Return the decision on a check if a kept answer gives it; `None` if `decide` must make it. Raises as that."""
        ...

    def find_all_kept(self, subject: Subject, active: ActiveSubject, now: Instant) -> Iterator[KeptDecision | None]:
        """Yield as `find_kept`, for the least check of every feature in the order of their ids.

        `active`: the subject as it was found as of `now`.
        """
        ...

    def forget(self, subject: Subject) -> None:
        """Forget a subject and its users because its data has changed. A customer's subscriptions are own subjects."""
        ...

    def shed(self, count: int) -> bool:
        """Forget up to `count` cached values, so that many are freed in short steps; return whether any are left."""
        ...


def decide_check(decider: CheckDecider, check: Check, now: Instant) -> Decision:
    """Normalize a check and find its subject, for a layer that decides the rest. Raises as `CheckDecider.decide`."""
    evaluator = decider.evaluator
    feature, normalized = normalize_check(check, evaluator.index.features)
    subject = evaluator.find_subject(check.subject, now)
    if isinstance(subject, Denial):
        return evaluator.deny(feature, normalized, subject, now)
    return decider.decide_normalized(check, feature, normalized, subject, now)


def decide_all_features(decider: CheckDecider, subject: Subject, now: Instant) -> Iterator[Decision]:
    """Decide, one by one and in the order of their ids, the least check of every feature.

    The subject is found once: if it changes in between, all must be decided again.
    """
    expect_valid_subject(subject)
    evaluator = decider.evaluator
    active = evaluator.find_subject(subject, now)
    for name in evaluator.index.features:
        feature, normalized = evaluator.least_check(name)
        if isinstance(active, Denial):
            yield evaluator.deny(feature, normalized, active, now)
        else:
            yield decider.decide_normalized(Check(subject, name), feature, normalized, active, now)


def find_all_features(decider: CheckDecider, subject: Subject, now: Instant) -> Iterator[KeptDecision | Decision]:
    """Decide as `decide_all_features`, but yield the kept decision where there is one."""
    expect_valid_subject(subject)
    evaluator = decider.evaluator
    features = evaluator.index.features
    active = evaluator.find_subject(subject, now)
    if isinstance(active, Denial):
        yield from (evaluator.deny(*evaluator.least_check(name), active, now) for name in features)
        return
    for name, kept in zip(features, decider.find_all_kept(subject, active, now), strict=True):
        if kept is None:
            yield decider.decide_normalized(Check(subject, name), *evaluator.least_check(name), active, now)
        else:
            yield kept


class Evaluator:
    """Evaluates checks against one bundle and one set of subjects. Not for several threads at once."""

    def __init__(
        self,
        bundle: BundleSource,
        subjects: SubjectSource,
        *,
        publication: int = 0,
        usage: UsageSource = NO_USAGE,
        statuses: FeatureStatuses | None = None,
        limits: CacheLimits | None = None,
    ) -> None:
        """Parse the policies of the bundle that every check shares."""
        limits = limits if limits is not None else CacheLimits()
        self.bundle = bundle
        self.index: CatalogIndex = bundle.index
        self.publication = publication
        self.revision = bundle.revision
        self._usage = usage
        self.statuses = FeatureStatuses() if statuses is None else statuses
        self.has_meter = not isinstance(usage, NoUsage)
        self.slices = PolicySlices(bundle, limits.slices, limits.slice_bytes)
        self.factory = EntityFactory(bundle)
        schema = bundle.text("schema.cedarschema")
        self.knows_metering, self.knows_status = knows_metering(schema), knows_status(schema)
        self.subjects = SubjectCache(subjects, self.index, limits)
        self.access = OwnAccess(bundle)
        self._least: dict[str, tuple[Feature, NormalizedCheck]] = {}

    @property
    def evaluator(self) -> Evaluator:
        """This evaluator."""
        return self

    def decide(self, check: Check, now: Instant) -> Decision:
        """Decide a check at `now`, in UTC milliseconds."""
        return self.evaluate(check, now).decision

    def find_kept(self, check: Check, now: Instant) -> None:
        """Return `None`: no answers are kept here."""

    def find_all_kept(self, subject: Subject, active: ActiveSubject, now: Instant) -> Iterator[None]:  # noqa: ARG002
        """Yield `None` for every feature."""
        return repeat(None, len(self.index.features))

    def evaluate(self, check: Check, now: Instant) -> Evaluation:
        """Decide a check, and return everything that the decision was made from."""
        feature, normalized = normalize_check(check, self.index.features)
        subject = self.find_subject(check.subject, now)
        if isinstance(subject, Denial):
            decision = self.deny(feature, normalized, subject, now)
            return Evaluation(check, now, decision, None, None, ACTIONS[feature.type], "", None, None)
        return self.evaluate_normalized(check, feature, normalized, subject, now)

    def decide_normalized(
        self, check: Check, feature: Feature, normalized: NormalizedCheck, active: ActiveSubject, now: Instant
    ) -> Decision:
        """Decide a check about a subject that was found as of `now`."""
        return self.evaluate_normalized(check, feature, normalized, active, now).decision

    def deny_unknown(self, check: Check, now: Instant) -> Decision:
        """Deny a check as for a subject that does not exist, without looking for it."""
        feature, normalized = normalize_check(check, self.index.features)
        return self.deny(feature, normalized, _UNKNOWN_SUBJECT, now)

    def forget(self, subject: Subject) -> None:
        """Forget a subject and its users because its data has changed."""
        self.subjects.forget(subject)

    def shed(self, count: int) -> bool:
        """Forget up to `count` cached values; return whether any are left."""
        return self.subjects.cache.shed(count) or self.slices.cache.shed(count)

    def least_check(self, name: str) -> tuple[Feature, NormalizedCheck]:
        """Return a feature and its check without any number."""
        found = self._least.get(name)
        if found is None:
            found = self._least[name] = normalize_check(Check(_SOMEBODY, name), self.index.features)
        return found

    def is_metered(self, feature: Feature) -> bool:
        """Return whether decisions about this feature rest on usage that is counted here, its own or a drawn one."""
        return self.has_meter and (feature.metered is not None or feature.draws is not None)

    # ── the steps, for layers above ──────────────────────────────────────────────────────────────────────────────────

    def find_subject(self, subject: Subject, now: Instant) -> ActiveSubject | Denial:
        """Return a subject as of `now`, or why nothing can be evaluated about it."""
        try:
            found = self.subjects.find(subject, now)
        except UnreadableError:
            raise
        except (OperatorError, msgspec.MsgspecError) as error:
            return Denial(Reason.EVALUATION_ERROR, (str(error),))
        return _UNKNOWN_SUBJECT if found is None else found

    def evaluate_normalized(
        self, check: Check, feature: Feature, normalized: NormalizedCheck, active: ActiveSubject, now: Instant
    ) -> Evaluation:
        """Evaluate a check about a subject that was found as of `now`."""
        action = ACTIONS[feature.type]
        subject, items = check.subject, active.items
        principal = active.principal(subject)
        usage = NO_METERED_USAGE
        facts: Facts | None = None
        context = ""
        part: PolicySlice | None = None
        try:
            usage = self.usage_of(subject, feature, now)
            facts = self.facts_of(feature, items, subject, now)
            part = self.slices.slice(feature, facts.givers, principal, items.refs, user_parents(subject))
            context = self.context_of(facts, normalized, usage, now, part)
            result = self._authorize(part, feature, subject, active, context)
        except UnreadableError:
            raise
        except (OperatorError, TotalOverflowError, ValueError) as error:
            result = _failed(error)
        decision = self.make_decision(feature, normalized, usage, facts, result, part, now)
        return Evaluation(check, now, decision, facts, principal, action, context, part, items, usage, active.record)

    def facts_of(
        self,
        feature: Feature,
        items: ActiveItems,
        subject: Subject,
        now: Instant,
        held: Sequence[HeldDefinition] | None = None,
    ) -> Facts:
        """Resolve the facts of a check, with the status of its feature; parameters and errors as `resolve_facts`."""
        facts = resolve_facts(feature, items, subject, self.bundle, now, held)
        reports = self.statuses.reports
        if not reports or feature.id not in reports:
            return facts
        return with_status(facts, reports[feature.id], now)

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:
        """Return the metered usage that a decision rests on; none for a feature that is not metered here.

        A bundle whose policies know nothing of grants and drawing is decided without them.
        """
        if not self.is_metered(feature):
            return NO_METERED_USAGE
        usage = self._usage.usage_of(subject, feature, now)
        return usage if self.knows_metering else usage._replace(granted=0, drawn=None)

    def context_of(
        self,
        facts: Facts,
        normalized: NormalizedCheck,
        usage: MeteredUsage,
        now: Instant,
        part: PolicySlice | None = None,
    ) -> str:
        """Write the context of a check as the schema of this bundle declares it; without a slice, all of it."""
        return context_json(
            facts,
            normalized,
            usage,
            now,
            time=part is None or part.reads_time,
            status=self.knows_status and (part is None or part.reads_status),
            metering=self.knows_metering,
        )

    def ask_cedar(
        self,
        subject: Subject,
        normalized: NormalizedCheck,
        active: ActiveSubject,
        usage: MeteredUsage,
        facts: Facts,
        unlinked: PolicySlice,
        now: Instant,
    ) -> CedarResult:
        """Evaluate a check whose facts and slice without item policies are known. `UnreadableError` passes through."""
        feature = facts.feature
        try:
            part = self.slices.linked(unlinked, feature, facts.givers)
            context = self.context_of(facts, normalized, usage, now, part)
            return self._authorize(part, feature, subject, active, context)
        except UnreadableError:
            raise
        except (OperatorError, ValueError) as error:
            return _failed(error)

    def _authorize(
        self, part: PolicySlice, feature: Feature, subject: Subject, active: ActiveSubject, context: str
    ) -> CedarResult:
        """Evaluate a slice, and where nothing in it decides, the reasons."""
        action, principal = ACTIONS[feature.type], active.principal(subject)
        principal_json = active.entities(subject, full=bool(part.rules))
        entities = self.factory.entities(feature, part.rules, principal_json, active.items.refs)
        result = authorize(part.group, entities, principal, action, feature.id, context)
        if not result.allowed and not result.policies and not result.errors:
            reasons = self.slices.reasons(feature)
            result = authorize(reasons, entities, principal, action, feature.id, context)._replace(allowed=False)
        return result

    def deny(self, feature: Feature, normalized: NormalizedCheck, denial: Denial, now: Instant) -> Decision:
        """Deny a check without facts."""
        is_volatile = denial.reason is not Reason.UNKNOWN_SUBJECT
        reports = self.statuses.reports
        status = status_window(reports[feature.id], (), (), now) if reports and feature.id in reports else None
        start, until = (BEGINNING, FOREVER) if status is None else (status.start, status.until)
        return Decision(
            allowed=False,
            reason=denial.reason,
            feature=feature.id,
            type=feature.type,
            entitlement=entitlement_without_facts(feature, normalized.used or 0),
            sources=(),
            policies=(),
            publication=self.publication,
            revision=self.revision,
            start=now if is_volatile else start,
            until=now + 1 if is_volatile else until,
            volatile=is_volatile,
            errors=denial.errors,
            status=status,
        )

    def make_decision(
        self,
        feature: Feature,
        normalized: NormalizedCheck,
        usage: MeteredUsage,
        facts: Facts | None,
        result: CedarResult,
        part: PolicySlice | None,
        now: Instant,
    ) -> Decision:
        """Make the decision of a result. `part` is a slice, with or without the policies of items, if there was one."""
        if facts is None:
            return self.deny(feature, normalized, Denial(Reason.EVALUATION_ERROR, result.errors), now)
        return self.decided(
            feature,
            normalized,
            usage,
            facts,
            self.reason_of(result),
            result,
            is_momentary=part is None or part.reads_time or bool(result.errors),
            now=now,
        )

    def decided(
        self,
        feature: Feature,
        normalized: NormalizedCheck,
        usage: MeteredUsage,
        facts: Facts,
        reason: Reason,
        result: CedarResult,
        *,
        is_momentary: bool,
        now: Instant,
    ) -> Decision:
        """Make the decision of a result with a known reason. `is_momentary`: it may be another at the next instant."""
        is_metered = self.is_metered(feature)
        start, until = facts.start, facts.until
        if is_metered:
            start, until = max(start, usage.valid_from), min(until, usage.valid_until)
        return Decision(
            reason is Reason.GRANTED,
            reason,
            feature.id,
            feature.type,
            entitlement_of(
                facts,
                usage.used if normalized.used is None else normalized.used,
                normalized.amount if reason is Reason.GRANTED else 0,
                usage if is_metered else None,
            ),
            facts.sources(),
            result.policies,
            self.publication,
            self.revision,
            now if is_momentary else start,
            now + 1 if is_momentary else until,
            is_momentary,
            False,  # stale
            result.errors,
            usage if is_metered else None,
            facts.status,
        )

    def reason_of(self, result: CedarResult) -> Reason:
        """Return the reason of a result: that of the deciding policies which comes first."""
        if result.errors:
            return Reason.EVALUATION_ERROR
        if result.allowed:
            return Reason.GRANTED
        static = [self.slices.by_id[policy].reason for policy in result.policies if policy in self.slices.by_id]
        return min(static, key=REASON_PRECEDENCE.__getitem__, default=Reason.EVALUATION_ERROR)


def _failed(error: Exception) -> CedarResult:
    return CedarResult(allowed=False, policies=(), errors=(str(error),))
