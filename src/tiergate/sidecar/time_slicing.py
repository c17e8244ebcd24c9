"""Long work in time slices of about a millisecond, so that no check waits for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.state import State, StateView

_SLICE_NS = 1_000_000
"""The length of a slice in nanoseconds."""

_MAX_TRIES: Final = 3
"""How often an answer is decided in time slices before it is decided without any pause."""


class Attempt(Protocol):
    """An answer in progress, which rests on one view of the state."""

    @property
    def is_consistent(self) -> bool:
        """Whether each subject that was decided so far is still as it was then."""
        ...

    def decide(self) -> Iterator[object]:
        """Decide, pausing where others may have their turn."""
        ...


_Attempt = TypeVar("_Attempt", bound=Attempt)


async def decide_consistently(service: CheckService, begin: Callable[[StateView], _Attempt]) -> _Attempt:
    """Decide an answer by one view of the state and one version of each subject, in time slices.

    It starts again if either changes in between; the last time it is decided without any pause. Raises as the service.
    """
    for _ in range(_MAX_TRIES):
        view = service.view()
        attempt = begin(view)
        if await run_in_slices_for_view(attempt.decide(), service.state, view) and attempt.is_consistent:
            return attempt
    attempt = begin(service.view())
    for _ in attempt.decide():
        pass
    return attempt


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
