"""The engine: facts, slices, caches, `decide(check, now)`. Pure but for what its sources read."""

from tiergate.engine.bounded_cache import BoundedCache, CacheLimits
from tiergate.engine.cached_evaluator import CachedEvaluator
from tiergate.engine.evaluator import CheckDecider, Evaluation, Evaluator, decide_all_features
from tiergate.engine.explanation.explain import Explanation, Export, explain, explain_evaluation
from tiergate.engine.explanation.sentences import explanation_sentences, reasoning_sentences
from tiergate.engine.explanation.trace import build_reasoning
from tiergate.engine.normalized_check import normalize_check
from tiergate.engine.sources import NO_USAGE, BundleSource, MeteredUsage, NoUsage, SubjectSource, UsageSource
from tiergate.wire.decision import DecisionDocument, decision_document, decision_json
from tiergate.wire.explanation import Applicability, PolicyText, Reasoning, reasoning_json

__all__ = [
    "NO_USAGE",
    "Applicability",
    "BoundedCache",
    "BundleSource",
    "CacheLimits",
    "CachedEvaluator",
    "CheckDecider",
    "DecisionDocument",
    "Evaluation",
    "Evaluator",
    "Explanation",
    "Export",
    "MeteredUsage",
    "NoUsage",
    "PolicyText",
    "Reasoning",
    "SubjectSource",
    "UsageSource",
    "build_reasoning",
    "decide_all_features",
    "decision_document",
    "decision_json",
    "explain",
    "explain_evaluation",
    "explanation_sentences",
    "normalize_check",
    "reasoning_json",
    "reasoning_sentences",
]
