"""Activating a bundle: the step that file mode and sync share once the data is on disk."""

from __future__ import annotations

import asyncio
import time
import weakref
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from tiergate.sidecar.state import Generation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.bundle import Bundle
    from tiergate.engine import CheckDecider
    from tiergate.sidecar.state import GenerationFiles, State

K = TypeVar("K")

_SLICE_NS: Final = 200_000
"""How long freeing may take at once, in nanoseconds."""

_FREED_AT_ONCE: Final = 4
_PAUSE_SECONDS: Final = 0.002


class GenerationSwitch(Generic[K]):
    """Installs engines in the `State`, frees the previous ones, and remembers which bundles are still in use.

    A bundle has a key, such as its revision or its paths, which names what must not be deleted while it is in use.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._engine: CheckDecider | None = None
        self._bundle: Bundle | None = None
        self._bundles: list[tuple[K, int, weakref.ref[Bundle]]] = []

    def prepare(self, bundle: Bundle) -> None:
        """Let a bundle take over from the active one what checks will read first. From any thread; takes milliseconds.

        A definition that is the same is adopted; one that has changed is read now, not in the first check.
        """
        before = self._bundle
        if before is not None:
            bundle.adopt(before)
            bundle.read_ahead(before)

    def install(
        self,
        key: K,
        bundle: Bundle,
        engine: CheckDecider,
        publication: int,
        tasks: asyncio.TaskGroup,
        files: GenerationFiles | None = None,
    ) -> int:
        """Answer by an engine from now on, and free the previous one in a task; return the generation's number."""
        current = self._state.current
        number = 1 if current is None else current.number + 1
        self._state.install(Generation(number, engine, publication, bundle.revision, self._state.clock(), files))
        if self._engine is not None and self._bundle is not None:
            tasks.create_task(_free(self._engine.shed, self._bundle.shed))
        self._engine, self._bundle = engine, bundle
        self._bundles.append((key, number, weakref.ref(bundle)))
        return number

    def in_use(self) -> list[K]:
        """Return the keys of the active bundle, and of those that an answer in progress or a worker still uses."""
        elsewhere = self._state.generations_elsewhere()
        self._bundles = [held for held in self._bundles if held[2]() is not None or held[1] in elsewhere]
        return [key for key, _, _ in self._bundles]


async def _free(*sheds: Callable[[int], bool]) -> None:
    """Free what an engine and its bundle cache in short steps: freeing all of it at once would delay checks."""
    for shed in sheds:
        while _shed_for_a_moment(shed):  # noqa: ASYNC110 - there is nothing to wait for but others' turns
            await asyncio.sleep(_PAUSE_SECONDS)


def _shed_for_a_moment(shed: Callable[[int], bool]) -> bool:
    """Free values for a fraction of a millisecond; return whether any are left."""
    until = time.perf_counter_ns() + _SLICE_NS
    while shed(_FREED_AT_ONCE):
        if time.perf_counter_ns() >= until:
            return True
    return False
