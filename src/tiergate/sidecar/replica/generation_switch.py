"""Activating a bundle: the step that file mode and sync share once the data is on disk."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from tiergate.sidecar.state import Generation

if TYPE_CHECKING:
    from tiergate.bundle import Bundle
    from tiergate.engine import CachedEvaluator
    from tiergate.sidecar.state import State

K = TypeVar("K")

_FREED_AT_ONCE: Final = 100
_PAUSE_SECONDS: Final = 0.002


class GenerationSwitch(Generic[K]):
    """Installs engines in the `State`, frees the previous ones, and remembers which bundles are still in use.

    A bundle has a key, such as its revision or its paths, which names what must not be deleted while it is in use.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._engine: CachedEvaluator | None = None
        self._bundles: list[tuple[K, weakref.ref[Bundle]]] = []

    def install(
        self, key: K, bundle: Bundle, engine: CachedEvaluator, publication: int, tasks: asyncio.TaskGroup
    ) -> None:
        """Answer by an engine from now on, and free the previous one in a task."""
        current = self._state.current
        number = 1 if current is None else current.number + 1
        self._state.install(Generation(number, engine, publication, bundle.revision, self._state.clock()))
        if self._engine is not None:
            tasks.create_task(_free(self._engine))
        self._engine = engine
        self._bundles.append((key, weakref.ref(bundle)))

    def in_use(self) -> list[K]:
        """Return the keys of the active bundle, and of those that an answer in progress still uses."""
        self._bundles = [(key, bundle) for key, bundle in self._bundles if bundle() is not None]
        return [key for key, _ in self._bundles]


async def _free(engine: CachedEvaluator) -> None:
    """Free what an engine caches in short steps: freeing all of it at once would delay checks."""
    while engine.shed(_FREED_AT_ONCE):  # noqa: ASYNC110 - there is nothing to wait for but others' turns
        await asyncio.sleep(_PAUSE_SECONDS)
