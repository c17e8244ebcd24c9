"""The layers of a long-lived engine, and their options.

Over the evaluator there are either kept answers or cached decisions: a decision from a kept answer costs little more
than a cached one, and needs no memory of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiergate.engine.bounded_cache import CacheLimits
from tiergate.engine.cached_evaluator import CachedEvaluator
from tiergate.engine.evaluator import Evaluator
from tiergate.engine.shapes.rechecks import Rechecks
from tiergate.engine.shapes.shape_evaluator import ShapeEvaluator
from tiergate.engine.sources import NO_USAGE

if TYPE_CHECKING:
    from tiergate.engine.evaluator import CheckDecider
    from tiergate.engine.feature_status import FeatureStatuses
    from tiergate.engine.sources import BundleSource, SubjectSource, UsageSource


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Options of a process for each engine that it builds.

    `keep_answers`: keep what Cedar answers by shape; otherwise Cedar evaluates every decision that is not cached.
    `rechecks`: which kept answers are asked of Cedar again; shared by all engines of the process. `usage`: what was
    used of metered features.
    """

    limits: CacheLimits = field(default_factory=CacheLimits)
    keep_answers: bool = True
    rechecks: Rechecks = field(default_factory=Rechecks)
    usage: UsageSource = NO_USAGE

    def build(
        self,
        bundle: BundleSource,
        subjects: SubjectSource,
        publication: int = 0,
        statuses: FeatureStatuses | None = None,
    ) -> CheckDecider:
        """Build an engine for a bundle and its subjects, ready for its first check; raises `BundleError`."""
        evaluator = Evaluator(
            bundle, subjects, publication=publication, usage=self.usage, statuses=statuses, limits=self.limits
        )
        if not self.keep_answers:
            return CachedEvaluator(evaluator, self.limits)
        engine = ShapeEvaluator(evaluator, self.limits, rechecks=self.rechecks)
        engine.read_ahead()
        return engine
