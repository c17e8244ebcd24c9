"""The leader's state: everything that changes in it is told to the workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from tiergate.sidecar.state import State
from tiergate.sidecar.workers.messages import NewGeneration, Update

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tiergate.model import Instant
    from tiergate.sidecar.state import Generation


class Workers(Protocol):
    """Those who are told."""

    @property
    def are_ready(self) -> bool:
        """Whether all can decide."""
        ...

    def tell(self, update: Update) -> None:
        """Tell all of them."""
        ...

    async def hold(self, *, release: bool) -> bool:
        """Wait until all have applied what they were told, and return whether they have."""
        ...

    def resume(self) -> None:
        """Let all begin their next read transaction."""
        ...

    def generations(self) -> Collection[int]:
        """Return the numbers of the generations that they use."""
        ...


class SharedState(State):
    """A state that workers follow. What changes in one turn of the event loop is told in one update."""

    def __init__(self, clock: Callable[[], Instant], workers: Workers) -> None:
        super().__init__(clock)
        self._workers = workers
        self._generation: NewGeneration | None = None
        self._changed: list[tuple[str, list[str]]] = []
        self._statuses_changed = False
        self._is_changed = False

    @property
    def started(self) -> bool:
        """Whether this process and all workers serve checks, and no shutdown has begun."""
        return super().started and self._workers.are_ready

    def everything(self) -> Update:
        """Return all that a new worker must know."""
        current = self.current
        return self._update(None if current is None else _new_generation(current), [])

    def install(self, generation: Generation) -> None:
        """Activate a generation, here and in the workers."""
        super().install(generation)
        self._generation = _new_generation(generation)
        self._changed.clear()  # the generation is opened after these changes
        self._note_change()

    def subject_changed(self, customer: str, subscriptions: Collection[str]) -> None:
        """Forget what is cached about a customer, here and in the workers."""
        super().subject_changed(customer, subscriptions)
        self._changed.append((customer, list(subscriptions)))
        self._note_change()

    def statuses_changed(self) -> None:
        """Forget all cached answers, here and in the workers."""
        super().statuses_changed()
        self._statuses_changed = True
        self._note_change()

    def set_stale_at(self, stale_at: Instant) -> None:
        """Set the instant from which decisions are stale, here and in the workers."""
        super().set_stale_at(stale_at)
        self._note_change()

    def serve_unloaded(self) -> None:
        """Serve checks without data from now on, here and in the workers."""
        super().serve_unloaded()
        self._note_change()

    async def hold_readers(self, *, release: bool) -> bool:
        """Wait until the workers read nothing newer, or nothing."""
        self._tell()
        return await self._workers.hold(release=release)

    def resume_readers(self) -> None:
        """Let the workers read what is committed now."""
        self._workers.resume()

    def generations_elsewhere(self) -> Collection[int]:
        """Return the numbers of the generations that workers use."""
        return self._workers.generations()

    def _note_change(self) -> None:
        if not self._is_changed:
            self._is_changed = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        if self._is_changed:
            self._is_changed = False
            generation, self._generation = self._generation, None
            changed, self._changed = self._changed, []
            statuses, self._statuses_changed = self._statuses_changed, False
            self._workers.tell(self._update(generation, changed, statuses=statuses))

    def _update(
        self, generation: NewGeneration | None, changed: list[tuple[str, list[str]]], *, statuses: bool = False
    ) -> Update:
        position = None if self.feed_position is None else (self.feed_position.store, self.feed_position.position)
        return Update(self.stale_at, self.unloaded, position, generation, changed, statuses)


def _new_generation(generation: Generation) -> NewGeneration | None:
    files = generation.files
    if files is None:
        return None
    bundle = None if files.bundle is None else str(files.bundle)
    return NewGeneration(generation.number, generation.publication, generation.revision, str(files.replica), bundle)
