"""A worker's data: opened as the leader says, and changed in the same order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.bundle import MANIFEST, Bundle
from tiergate.errors import BundleError, OperatorError
from tiergate.sidecar.replica.file_source.active_files import ActiveFiles
from tiergate.sidecar.replica.generation_switch import GenerationSwitch
from tiergate.sidecar.replica.reader import Replica
from tiergate.sidecar.state import FeedPosition
from tiergate.sidecar.workers.messages import Held, Using

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.engine import CheckDecider, EngineOptions
    from tiergate.sidecar.state import State
    from tiergate.sidecar.workers.messages import Hold, NewGeneration, ToLeader, Update

_ATTEMPTS: Final = 3
_PAUSE_SECONDS: Final = 0.5


class _Opened(NamedTuple):
    """A generation, opened; `replica` is followed, or none in file mode."""

    bundle: Bundle
    engine: CheckDecider
    files: ActiveFiles | None
    replica: Replica | None


class WorkerFollower:
    """Keeps a worker's `state` equal to its leader's. Belongs to the event loop's thread."""

    def __init__(
        self, state: State, options: EngineOptions, tell: Callable[[ToLeader], None], tasks: asyncio.TaskGroup
    ) -> None:
        self._state = state
        self._options = options
        self._tell = tell
        self._tasks = tasks
        self._switch = GenerationSwitch[int](state)
        self._files: ActiveFiles | None = None
        self._replica: Replica | None = None
        self._newest = 0
        self._reported: Using | None = None
        self._known_damage: Replica | None = None

    async def apply(self, update: Update) -> None:
        """Apply an update, in one turn of the event loop once its generation is open.

        Raises:
            OperatorError: if it cannot be opened.
        """
        generation = update.generation
        opened = None if generation is None else await self._open_patiently(generation)
        state = self._state
        if opened is not None and generation is not None:
            self._files, self._replica = opened.files, opened.replica
            self._newest = generation.number
        if self._replica is not None and (opened is not None or update.changed or update.statuses):
            self._replica.renew()
            if update.statuses:
                self._replica.read_statuses()
        if update.position is not None:
            state.feed_position = FeedPosition(*update.position)
        if opened is not None and generation is not None:
            number, publication = generation.number, generation.publication
            self._switch.install(number, opened.bundle, opened.engine, publication, self._tasks)
        for customer, subscriptions in update.changed:
            state.subject_changed(customer, subscriptions)
        if update.statuses:
            state.statuses_changed()
        if update.stale_at != state.stale_at:
            state.set_stale_at(update.stale_at)
        if update.is_unloaded and not state.unloaded:
            state.serve_unloaded()
        self.report()

    def hold(self, hold: Hold) -> None:
        """Answer that everything before is applied."""
        if hold.release and self._replica is not None:
            self._replica.release()
        self._tell(Held(hold.number))

    def resume(self) -> None:
        """Begin the next read transaction."""
        if self._replica is not None:
            self._replica.renew()

    def report(self) -> None:
        """Tell which generations are in use, if that has changed."""
        using = Using(self._state.started, self._newest, self._switch.in_use())
        if using != self._reported:
            self._reported = using
            self._tell(using)

    def take_damage(self) -> bool:
        """Return whether a file turned out to be damaged since the last call."""
        if self._files is not None and self._files.damaged:
            self._files.reset_damage()
            return True
        if self._replica is not None and self._replica.damaged and self._known_damage is not self._replica:
            self._known_damage = self._replica
            return True
        return False

    def close(self) -> None:
        """End the read transaction, so that the leader can fold the log."""
        if self._replica is not None:
            self._replica.release()

    async def _open_patiently(self, generation: NewGeneration) -> _Opened:
        for _ in range(_ATTEMPTS - 1):
            try:
                return await asyncio.to_thread(self._open, generation)
            except (OperatorError, OSError):
                await asyncio.sleep(_PAUSE_SECONDS)
        return await asyncio.to_thread(self._open, generation)

    def _open(self, generation: NewGeneration) -> _Opened:
        path, revision, publication = Path(generation.replica), generation.revision, generation.publication
        if generation.bundle is not None:
            files = ActiveFiles(Path(generation.bundle), path, revision, publication, self._options)
            self._switch.prepare(files.bundle)
            return _Opened(files.bundle, files.engine, files, None)
        replica = self._replica
        if replica is None or replica.path != path:
            replica = Replica(path, followed=True)
        manifest = replica.manifest(revision)
        if manifest is None:
            raise BundleError(MANIFEST, f"of `{revision}` is not in the replica")
        bundle = Bundle(manifest, replica.read_file)
        self._switch.prepare(bundle)
        engine = self._options.build(bundle, replica, publication, replica.statuses)
        return _Opened(bundle, engine, None, replica)
