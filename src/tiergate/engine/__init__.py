"""The engine: facts, slices, caches, `decide(check, now)`. Pure but for what its sources read."""

from tiergate.engine.bounded_cache import BoundedCache, CacheLimits
from tiergate.engine.cached_evaluator import CachedEvaluator
from tiergate.engine.evaluator import CheckDecider, Evaluation, Evaluator, decide_all_features, find_all_features
from tiergate.engine.explanation.explain import Explanation, explain, explain_evaluation
from tiergate.engine.explanation.sentences import explanation_sentences, reasoning_sentences
from tiergate.engine.explanation.trace import build_reasoning
from tiergate.engine.normalized_check import normalize_check
from tiergate.engine.options import EngineOptions
from tiergate.engine.shapes.rechecks import Difference, Rechecks
from tiergate.engine.shapes.shape_evaluator import ShapeEvaluator
from tiergate.engine.sources import BundleSource, SubjectSource
from tiergate.wire.decision import decision_document, decision_json
from tiergate.wire.explanation import Applicability, Reasoning, reasoning_json
