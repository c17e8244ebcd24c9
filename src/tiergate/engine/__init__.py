"""The engine: facts, slices, caches, `decide(check, now)`. Pure but for what its sources read."""

from tiergate.engine.bounded_cache import BoundedCache, CacheLimits
from tiergate.engine.engine import Engine, Evaluation
from tiergate.engine.explanation.explain import Explanation, Export, PolicyText, explain, explain_evaluation
from tiergate.engine.explanation.reasoning import Reasoning, Standing, reasoning_json
from tiergate.engine.explanation.sentences import sentences, told
from tiergate.engine.explanation.trace import reason_out
from tiergate.engine.normalized_check import read_question
from tiergate.engine.sources import NO_USAGE, BundleSource, NoUsage, SubjectSource, UsageKnown, UsageSource
from tiergate.wire.decisions import Answer, answer, decision_json

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
    "Reasoning",
    "Standing",
    "SubjectSource",
    "UsageKnown",
    "UsageSource",
    "answer",
    "decision_json",
    "explain",
    "explain_evaluation",
    "read_question",
    "reason_out",
    "reasoning_json",
    "sentences",
    "told",
]
