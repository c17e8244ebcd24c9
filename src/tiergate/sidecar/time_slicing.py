"""Long work in time slices of about a millisecond, so that no check waits for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.sidecar.state import State, StateView

_SLICE_NS = 1_000_000
"""The length of a slice in nanoseconds."""


async def run_in_slices_for_view(work: Iterator[object], state: State, view: StateView) -> bool:
    """Do work that depends on a view of the state; return whether it was completed.

    It stops if all caches were cleared meanwhile: responses cached from then on depend on another view.
    """
    return await run_in_slices(work, lambda: state.epoch == view.epoch)


async def run_in_slices(work: Iterator[object], goes_on: Callable[[], bool] = lambda: True) -> bool:
    """Do work in slices while `goes_on()`; return whether it was completed."""
    begun = time.perf_counter_ns()
    for _ in work:
        if time.perf_counter_ns() - begun > _SLICE_NS:
            await asyncio.sleep(0)
            if not goes_on():
                return False
            begun = time.perf_counter_ns()
    return True
