"""Long work in short turns, so that no check waits for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.sidecar.state import State, StateView

_TURN = 1_000_000
"""How long a turn lasts, in nanoseconds."""


async def run_in_slices_for_view(work: Iterator[object], state: State, view: StateView) -> bool:
    """Do work that rests on a view of the state in turns of about a millisecond.

    Everything else runs between them. Say whether it was done. It is left where another generation came, or the data
    was stale and no longer is, or the other way round: what others remember by then rests on another view.
    """
    return await run_in_slices(work, lambda: state.epoch == view.epoch)


async def run_in_slices(work: Iterator[object], goes_on: Callable[[], bool] = lambda: True) -> bool:
    """Do work in such turns; say whether it was done, or left because it does not go on."""
    begun = time.perf_counter_ns()
    for _ in work:
        if time.perf_counter_ns() - begun > _TURN:
            await asyncio.sleep(0)
            if not goes_on():
                return False
            begun = time.perf_counter_ns()
    return True
