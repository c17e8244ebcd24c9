"""Long work in short turns, so that no check waits for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.sidecar.state import Generation, State

__all__ = ["take_turns"]

_TURN = 1_000_000
"""How long a turn lasts, in nanoseconds."""


async def take_turns(work: Iterator[object], state: State, generation: Generation) -> bool:
    """Do work that rests on a generation in turns of about a millisecond, letting everything else run between them.

    Say whether it was done; else another generation came, and the work was left.
    """
    begun = time.perf_counter_ns()
    for _ in work:
        if time.perf_counter_ns() - begun > _TURN:
            await asyncio.sleep(0)
            if state.current is not generation:
                return False
            begun = time.perf_counter_ns()
    return True
