"""The engine: facts, slices, caches, `decide(check, now)`. Pure but for what its sources read."""

from tiergate.engine.answers import Answer, answer, decision_json
from tiergate.engine.caches import BoundedCache, CacheLimits
from tiergate.engine.engine import Engine, Evaluation
from tiergate.engine.explain import Explanation, Export, PolicyText, explain
from tiergate.engine.sources import NO_USAGE, BundleSource, NoUsage, SubjectSource, UsageKnown, UsageSource

__all__ = [
    "NO_USAGE",
    "Answer",
    "BoundedCache",
    "BundleSource",
    "CacheLimits",
    "Engine",
    "Evaluation",
    "Explanation",
    "Export",
    "NoUsage",
    "PolicyText",
    "SubjectSource",
    "UsageKnown",
    "UsageSource",
    "answer",
    "decision_json",
    "explain",
]
