"""Engines that decide otherwise: the same subjects, but other definitions or other policies.

For the question what would have come of a check had an item given something else, or had a policy not been there. An
alternative shares with its engine what is kept of subjects, which depends on neither; decisions it keeps none.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from tiergate.engine.bounded_cache import BoundedCache
from tiergate.engine.cedar_entities import EntityFactory

if TYPE_CHECKING:
    from tiergate.engine.engine import Engine
    from tiergate.engine.slices import PolicySlices
    from tiergate.engine.sources import BundleSource


def changed_engine(engine: Engine, *, bundle: BundleSource | None = None, slices: PolicySlices | None = None) -> Engine:
    """An engine that decides by other definitions (`bundle`, of the same index) or other policies (`slices`).

    What it decides is not the truth: it is for `evaluate` alone, and for as long as the data of subjects stay the same.
    """
    other = copy(engine)
    other.decisions = BoundedCache(0, 0)
    if slices is not None:
        other.slices = slices
    if bundle is not None:
        other.bundle = bundle
        if other.slices.reads_tags:  # of items, which say what they give
            other.factory = EntityFactory(bundle)
    return other


def uncached_engine(engine: Engine) -> Engine:
    """An engine that decides the same and keeps nothing of subjects: for instants that no check asks about."""
    other = copy(engine)
    other.known = BoundedCache(0, 0)
    other.decisions = BoundedCache(0, 0)
    return other
