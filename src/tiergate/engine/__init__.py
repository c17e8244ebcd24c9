"""The engine: facts, slices, caches, `decide(check, now)`. Pure but for what its sources read."""

from tiergate.engine.answers import Answer, answer, decision_json
from tiergate.engine.caches import BoundedCache, CacheLimits
from tiergate.engine.derivations import reason_out
from tiergate.engine.engine import Engine, Evaluation
from tiergate.engine.explain import Explanation, Export, PolicyText, explain, explain_evaluation
from tiergate.engine.questions import read_question
from tiergate.engine.reasoning import Reasoning, Standing, reasoning_json
from tiergate.engine.sentences import sentences, told
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
