"""A layer over an evaluator that repeats decisions exactly as long as they are valid.

A decision is cached with its window of time and the serial of the subject that it was made on: it is repeated within
that window, and until the subject or the reports on the feature's status change. One that rests on metered usage is
repeated while that usage is the same. Volatile decisions are never cached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tiergate.engine.bounded_cache import BoundedCache, CacheLimits
from tiergate.engine.evaluator import decide_check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.engine.evaluator import CheckDecider, Evaluator
    from tiergate.engine.normalized_check import NormalizedCheck
    from tiergate.engine.shapes.kept_decision import KeptDecision
    from tiergate.engine.subject_cache import ActiveSubject
    from tiergate.model import Check, Decision, Feature, Instant, ReportedStatus, Subject


_Cached: TypeAlias = "tuple[int, tuple[ReportedStatus, ...] | None, Decision]"
"""A decision, the serial of its subject, and the reports on the status of its feature."""


class CachedEvaluator:
    """Decides as the layer below it. Not for several threads at once."""

    def __init__(self, below: CheckDecider, limits: CacheLimits | None = None) -> None:
        limits = limits if limits is not None else CacheLimits()
        self.below = below
        self.evaluator: Evaluator = below.evaluator
        self.decisions: BoundedCache[tuple[Subject, str, NormalizedCheck], _Cached] = BoundedCache(
            limits.decisions, limits.decision_bytes
        )

    def decide(self, check: Check, now: Instant) -> Decision:
        """Decide a check at `now`, in UTC milliseconds; from the cache if possible."""
        return decide_check(self, check, now)

    def decide_normalized(
        self, check: Check, feature: Feature, normalized: NormalizedCheck, active: ActiveSubject, now: Instant
    ) -> Decision:
        """Decide a check about a subject that was found as of `now`; from the cache if possible."""
        key = (check.subject, feature.id, normalized)
        reports = self.evaluator.statuses.reports.get(feature.id)
        cached = self.decisions.get(key)
        if cached is not None:
            serial, known_reports, decision = cached
            if serial == active.serial and decision.start <= now < decision.until and known_reports is reports:
                usage = decision.usage
                if usage is None or usage == self.evaluator.usage_of(check.subject, feature, now):
                    return decision
        decision = self.below.decide_normalized(check, feature, normalized, active, now)
        if not decision.volatile:
            self.decisions.offer(key, (active.serial, reports, decision), 700 + 300 * len(decision.sources))
        return decision

    def find_kept(self, check: Check, now: Instant) -> KeptDecision | None:
        """Return as the decider below."""
        return self.below.find_kept(check, now)

    def find_all_kept(self, subject: Subject, active: ActiveSubject, now: Instant) -> Iterator[KeptDecision | None]:
        """Yield as the decider below."""
        return self.below.find_all_kept(subject, active, now)

    def forget(self, subject: Subject) -> None:
        """Forget a subject and its users because its data has changed; its cached decisions are no longer valid."""
        self.below.forget(subject)

    def shed(self, count: int) -> bool:
        """Forget up to `count` cached values; return whether any are left."""
        return self.decisions.shed(count) or self.below.shed(count)
