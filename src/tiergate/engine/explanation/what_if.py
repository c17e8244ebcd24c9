"""Evaluators that decide otherwise: by other definitions, by other policies, or without cached subjects.

For the question what a check would have come to if an item gave something else, or a policy were not there.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from tiergate.engine.bounded_cache import BoundedCache
from tiergate.engine.cedar_entities import EntityFactory

if TYPE_CHECKING:
    from tiergate.engine.evaluator import Evaluator
    from tiergate.engine.slices import PolicySlices
    from tiergate.engine.sources import BundleSource


def changed_evaluator(
    evaluator: Evaluator, *, bundle: BundleSource | None = None, slices: PolicySlices | None = None
) -> Evaluator:
    """Return an evaluator by other definitions (`bundle`, of the same index) or other policies (`slices`).

    It shares the cached subjects of the given one, and is valid as long as their data does not change.
    """
    other = copy(evaluator)
    if slices is not None:
        other.slices = slices
    if bundle is not None:
        other.bundle = bundle
        if other.slices.reads_tags:  # of items, whose tags are what they give
            other.factory = EntityFactory(bundle)
    return other


def without_subject_cache(evaluator: Evaluator) -> Evaluator:
    """Return an evaluator that decides the same and caches no subjects: for instants that no check is made at."""
    other = copy(evaluator)
    other.subjects = copy(evaluator.subjects)
    other.subjects.cache = BoundedCache(0, 0)
    return other
