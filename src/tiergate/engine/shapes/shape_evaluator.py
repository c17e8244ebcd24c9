"""A layer over the evaluator that asks Cedar once for each shape and key, and answers equal checks with that answer.

Every decision of this layer is one that Cedar made, for the same policies and the same outcomes of all their tests.
Whatever differs between two such checks, such as limits, sources and the validity, comes from the facts of each.

INVARIANT (a kept answer is Cedar's): it equals what Cedar answers now; `Rechecks` verifies a sample in production. At
the first difference this layer stops for its bundle, and the evaluator decides alone.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from tiergate.cedar import CedarResult
from tiergate.engine.bounded_cache import CacheLimits
from tiergate.engine.cedar_context import context_kind
from tiergate.engine.cedar_entities import user_parents
from tiergate.engine.evaluator import Denial, decide_check
from tiergate.engine.facts import TotalOverflowError, held_definitions
from tiergate.engine.normalized_check import normalize_check
from tiergate.engine.shapes.answer_table import AnswerTable, general_answer
from tiergate.engine.shapes.kept_decision import KeptDecision, KeptText
from tiergate.engine.shapes.metered_checks import MeteredChecks, ResolvedCheck, fits_cedar
from tiergate.engine.shapes.plain_checks import PlainChecks, has_plain_checks, is_plain_subject
from tiergate.engine.shapes.rechecks import Difference, Rechecks
from tiergate.engine.shapes.shape import Shape, shape_of
from tiergate.errors import OperatorError
from tiergate.model import NO_METERED_USAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.engine.cedar_context import ContextKind
    from tiergate.engine.evaluator import Evaluator
    from tiergate.engine.facts import Facts, HeldDefinition
    from tiergate.engine.normalized_check import NormalizedCheck
    from tiergate.engine.shapes.answer_table import Answer
    from tiergate.engine.shapes.shape import Key
    from tiergate.engine.slices import PolicySlice
    from tiergate.engine.subject_cache import ActiveSubject
    from tiergate.model import Check, Decision, Feature, Instant, MeteredUsage, Subject

_MOST_SHAPES = 250
"""Slices are few unless rules are for single customers; checks with slices beyond these go to Cedar each time."""

_MOST_FEATURES = 50_000
_READ_AHEAD = 5_000


class ShapeEvaluator:
    """Decides as the evaluator below it. Not for several threads at once."""

    def __init__(
        self, evaluator: Evaluator, limits: CacheLimits | None = None, *, rechecks: Rechecks | None = None
    ) -> None:
        limits = limits if limits is not None else CacheLimits()
        self.evaluator = evaluator
        self.answers = AnswerTable(limits.answers, limits.answer_bytes)
        self.rechecks = rechecks if rechecks is not None else Rechecks()
        self.is_trusted = True
        self._shapes: dict[tuple[PolicySlice, ContextKind], Shape | None] = {}
        self._by_feature: dict[tuple[PolicySlice, str], Shape | None] = {}
        self._plain: dict[str, PlainChecks] = {}
        self._metered = MeteredChecks(evaluator, limits)

    def decide(self, check: Check, now: Instant) -> Decision:
        """Decide a check at `now`, in UTC milliseconds."""
        return decide_check(self, check, now)

    def decide_normalized(
        self, check: Check, feature: Feature, normalized: NormalizedCheck, active: ActiveSubject, now: Instant
    ) -> Decision:
        """Decide a check about a subject that was found as of `now`."""
        evaluator, subject = self.evaluator, check.subject
        try:
            usage = evaluator.usage_of(subject, feature, now)
            facts = evaluator.facts_of(feature, active.items, subject, now)
            unlinked, shape, key = self._find_key(subject, facts, normalized, usage, active, now)
        except (OperatorError, TotalOverflowError, ValueError):  # the evaluator reports it
            return evaluator.decide_normalized(check, feature, normalized, active, now)
        written = ""
        if shape is not None and shape.reads_whole_principal and key is not None:
            written = active.entities(subject, full=True)
            key = (*key, written)
        kept = None if shape is None or key is None else shape.answers.get(key)
        if kept is None or self.rechecks.is_due():
            result = evaluator.ask_cedar(subject, normalized, active, usage, facts, unlinked, now)
            reason = evaluator.reason_of(result)
            answer = general_answer(result, reason, facts.givers, feature.id)
            if kept is not None:
                self._compare(kept, answer, result, feature)
            elif shape is not None and key is not None and answer is not None and self.is_trusted:
                self.answers.put(shape, key, answer, len(written))
        else:
            result = CedarResult(kept.allowed, kept.policies(facts.givers, feature.id), ())
            reason = kept.reason
        is_momentary = unlinked.reads_time or bool(result.errors)
        return evaluator.decided(feature, normalized, usage, facts, reason, result, is_momentary=is_momentary, now=now)

    def find_kept(self, check: Check, now: Instant) -> KeptDecision | None:
        """Return the decision on a check if its answer is kept; `None` if `decide` must make it, for any reason.

        Raises:
            UnknownFeatureError, CheckError: as `decide`.
        """
        plain = self._plain.get(check.feature)
        if plain is not None:
            kept = plain.find(check, now)
            if kept is not None:
                return kept if self.rechecks.passes() else None
        else:
            kept = self._metered.find(check, now)
            if kept is not None:
                return kept if self.rechecks.passes() else None
        evaluator, subject = self.evaluator, check.subject
        feature, normalized = normalize_check(check, evaluator.index.features)
        active = evaluator.find_subject(subject, now)
        if isinstance(active, Denial):
            return None
        return self._find_normalized(subject, feature, normalized, active, now)

    def find_all_kept(self, subject: Subject, active: ActiveSubject, now: Instant) -> Iterator[KeptDecision | None]:
        """Yield as `find_kept`, for the least check of every feature in the order of their ids.

        `active`: the subject as it was found as of `now`. What its items give is found once.
        """
        evaluator, passes = self.evaluator, self.rechecks.passes
        held: list[HeldDefinition] | None = None
        with suppress(OperatorError):  # the evaluator reports it
            held = held_definitions(active.items, evaluator.bundle)
        plain = self._plain if is_plain_subject(subject, active) else {}
        for name in evaluator.index.features:
            feature, normalized = evaluator.least_check(name)
            checks = plain.get(name)
            if checks is None or held is None:
                yield self._find_normalized(subject, feature, normalized, active, now, held)
            else:
                kept = checks.find_held(subject, normalized, active, held, now)
                yield None if kept is None or not passes() else kept

    def _find_normalized(
        self,
        subject: Subject,
        feature: Feature,
        normalized: NormalizedCheck,
        active: ActiveSubject,
        now: Instant,
        held: Sequence[HeldDefinition] | None = None,
    ) -> KeptDecision | None:
        evaluator = self.evaluator
        try:
            usage = evaluator.usage_of(subject, feature, now)
            facts = evaluator.facts_of(feature, active.items, subject, now, held)
            unlinked, shape, key = self._find_key(subject, facts, normalized, usage, active, now)
        except (OperatorError, TotalOverflowError, ValueError):
            return None
        if shape is None or key is None or shape.reads_whole_principal or unlinked.reads_time:
            return None
        kept = shape.answers.get(key)
        if kept is None or self.rechecks.is_next_due:
            return None
        self.rechecks.is_due()
        used = usage.used if normalized.used is None else normalized.used
        metered = usage if evaluator.is_metered(feature) else None
        if metered is not None:
            reports = evaluator.statuses.reports.get(feature.id)
            principal = active.principal(subject)
            self._metered.keep(subject, ResolvedCheck(active, facts, principal, shape, reports, KeptText()))
        amount = normalized.amount if facts.soft or metered is not None else 0
        return KeptDecision(feature, facts, used, kept, amount, metered)

    def read_ahead(self) -> None:
        """Read the shapes of checks about customers, which takes milliseconds, before there are any checks."""
        evaluator = self.evaluator
        for feature in islice(evaluator.index.features.values(), _READ_AHEAD):
            with suppress(OperatorError, ValueError):  # the evaluator reports it
                self._read_plain(feature)

    def _read_plain(self, feature: Feature) -> None:
        evaluator = self.evaluator
        common = evaluator.slices.common(feature, "Customer")
        shape = None if common is None else self._shape(feature, common)
        if common is None or shape is None or shape.reads_whole_principal or common.reads_time:
            return
        if has_plain_checks(feature) and not evaluator.is_metered(feature):
            self._plain[feature.id] = PlainChecks(evaluator, feature, shape)

    def forget(self, subject: Subject) -> None:
        """Forget a subject and its users because its data has changed. Answers do not depend on who asked."""
        self.evaluator.forget(subject)

    def shed(self, count: int) -> bool:
        """Forget up to `count` cached values; return whether any are left."""
        return self.answers.shed(count) or self._metered.resolved.shed(count) or self.evaluator.shed(count)

    def _find_key(
        self,
        subject: Subject,
        facts: Facts,
        normalized: NormalizedCheck,
        usage: MeteredUsage,
        active: ActiveSubject,
        now: Instant,
    ) -> tuple[PolicySlice, Shape | None, Key | None]:
        """Return the slice of a check without the policies of items, its shape, and its key in that shape."""
        feature, principal = facts.feature, active.principal(subject)
        unlinked = self.evaluator.slices.unlinked(feature, principal, active.items.refs, user_parents(subject))
        shape = self._shape(feature, unlinked)
        if shape is None or (usage is not NO_METERED_USAGE and not fits_cedar(usage)):
            return unlinked, shape, None
        return unlinked, shape, shape.key(facts, normalized, usage, now, principal, subject)

    def _shape(self, feature: Feature, unlinked: PolicySlice) -> Shape | None:
        try:
            return self._by_feature[unlinked, feature.id]
        except KeyError:
            pass
        if not self.is_trusted:
            return None
        kind = (unlinked, context_kind(feature))
        if kind not in self._shapes:
            if len(self._shapes) >= _MOST_SHAPES:
                return None
            policies = self.evaluator.slices.deciding(unlinked, feature)
            self._shapes[kind] = shape_of(
                policies,
                feature,
                time=unlinked.reads_time,
                status=unlinked.reads_status and self.evaluator.knows_status,
                metering=self.evaluator.knows_metering,
            )
        if len(self._by_feature) >= _MOST_FEATURES:
            self._by_feature.clear()
        self._by_feature[unlinked, feature.id] = self._shapes[kind]
        return self._shapes[kind]

    def _compare(self, kept: Answer, answer: Answer | None, result: CedarResult, feature: Feature) -> None:
        """Compare a kept answer with Cedar's; at a difference, use no kept answer of this bundle any more."""
        if kept == answer:
            self.rechecks.count(None)
            return
        self.is_trusted = False
        self.answers.clear()
        self._shapes.clear()
        self._by_feature.clear()
        self._plain.clear()
        self._metered.resolved.clear()
        self.rechecks.count(Difference(feature.id, kept, result))
