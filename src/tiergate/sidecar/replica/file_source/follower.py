"""File mode: what is in force follows a catalog, rules and subjects on disk.

What is heavy happens in the loader's process; here is only when to load, and what to do with the outcome. A load puts
in force what the files said when it began, and what they have said since is loaded next: where somebody writes without
pause, what is in force is behind by two loads at most. A load that fails, for whatever reason, leaves in force what
was. What the operator must mend is tried again, ever less often; what an author must mend is tried again when the files
change.

With a data directory that outlives the process, so does the last good state. It is served at once where the files'
stamps say that nothing changed, while a load proves it by their digests; else it is what remains if they cannot be
loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from typing import TYPE_CHECKING, Final

import structlog
from msgspec.structs import replace

from tiergate.bundle import MANIFEST, Bundle
from tiergate.engine import CachedEvaluator, Evaluator
from tiergate.errors import BundleError, OperatorError, ReplicaError, UnreadableError
from tiergate.process.detached_threads import run_detached
from tiergate.sidecar.engine_disposal import free_engine
from tiergate.sidecar.replica.file_source.file_watch import CHECK_INTERVAL, watch
from tiergate.sidecar.replica.file_source.load_job import LoadJob, LoadResult
from tiergate.sidecar.replica.file_source.load_report import LoadReport
from tiergate.sidecar.replica.file_source.loader_process import LOADER, run_loader
from tiergate.sidecar.replica.file_source.source_files import stamp_files
from tiergate.sidecar.replica.reader import Replica
from tiergate.sidecar.state import Generation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.engine import CacheLimits
    from tiergate.sidecar.replica.data_directory import DataDirectory, LoadedState
    from tiergate.sidecar.replica.file_source.source_files import FileStamp, Sources
    from tiergate.sidecar.state import State, StatusReport

DEFAULT_LOAD_TIMEOUT: Final = 1800.0
"""Seconds that a load may take, unless told otherwise."""

_SETTLE: Final = 0.1
"""Seconds for which files must not have changed before they are read."""

_LONGEST_SETTLE: Final = 1.0
"""Seconds after which they are read anyway: somebody may be writing all the time."""

_LONGEST_LOOK: Final = 10.0
"""Seconds within which the file system must say how old they are."""

_FIRST_RETRY: Final = 1.0
_LAST_RETRY: Final = 60.0

_log = structlog.get_logger(__name__)


class FileFollower:
    """Keeps `state` at what the sources say. Belongs to the event loop's thread."""

    def __init__(
        self,
        sources: Sources,
        directory: DataDirectory,
        state: State,
        *,
        limits: CacheLimits | None = None,
        loader: Sequence[str] = LOADER,
        load_timeout: float = DEFAULT_LOAD_TIMEOUT,
        strict: bool = False,
    ) -> None:
        """Prepare; `run` does the work. `loader` is the command of the loader's process, `load_timeout` in seconds.

        `strict`: subjects are taken as a whole or not at all.
        """
        self._sources = sources
        self._paths = (*sources.catalog_paths, *sources.subject_paths)
        self._directory = directory
        self._state = state
        self._limits = limits
        self._loader = loader
        self._load_timeout = load_timeout
        self._strict = strict
        self._wake = asyncio.Event()
        self._report = LoadReport(sources)
        self._standing = directory.read()
        self._publication = 0 if self._standing is None else self._standing.publication
        self._proved = False
        self._held: _Held | None = None
        self._retired: list[_Retired] = []
        self._attempted: tuple[FileStamp, ...] = ()
        self._followed: tuple[FileStamp, ...] = ()
        self._behind_since: float | None = None
        self._looking: asyncio.Future[tuple[FileStamp, ...]] | None = None
        self._retry_after = _FIRST_RETRY
        self._mend_after = _FIRST_RETRY
        self._tasks: asyncio.TaskGroup
        self._retry_at: float | None = None

    def report(self) -> StatusReport:
        """What `/status` and the metrics say of the work."""
        behind = 0.0 if self._behind_since is None else time.monotonic() - self._behind_since
        return replace(self._report.status, behind=round(behind, 3))

    async def run(self) -> None:
        """Load, then follow the sources, until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            end = asyncio.Event()
            self._tasks.create_task(watch(self._paths, self._wake, end))
            try:
                await self._follow()
            finally:
                end.set()

    async def _follow(self) -> None:
        standing = self._standing
        with contextlib.suppress(OperatorError):
            stamps = await self._stamps()
            if standing is not None and stamps == (*standing.catalog.stamps, *standing.subjects.stamps):
                await self._serve_standing()
        while True:
            await self._try()
            await self._sweep()
            await self._change()

    # ── loading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _try(self) -> None:
        """Load once. Whatever comes of it, the last good state is in force afterwards, if there is one."""
        began = time.monotonic()
        try:
            self._attempted = await self._stamps()
            self._fall_behind(began)
            self._report.begin(self._attempted)
            outcome = await self._load()
            self._attempted = outcome.stamps or self._attempted
        except (OperatorError, OSError) as error:
            # What could not be opened is not what it was when it was proved: the retry proves it, and makes it anew.
            self._proved = False
            outcome = LoadResult(error=self._directory.told(error))
        except Exception as error:  # noqa: BLE001 - the edge of the work
            # What is in force goes on answering, and this is logged, counted and tried again.
            _log.exception("a defect in Tiergate keeps the files from being followed")
            outcome = LoadResult(error=f"a defect in Tiergate: {error!r}")
        if outcome.changed:
            self._report.interrupt()
            self._retry_at = time.monotonic() + _SETTLE
            return
        if outcome.error is not None and await asyncio.to_thread(self._directory.stand_aside_if_refused):
            self._proved = False
        self._plan_retry(failed=outcome.error is not None)
        if self._state.current is None:
            await self._serve_standing()
        if outcome.error is None and not outcome.problems:
            await self._catch_up(outcome, began)
        serving = self._state.current is not None
        self._report.end(outcome, time.monotonic() - began, self._state.clock(), serving=serving)

    async def _load(self) -> LoadResult:
        """Have the files loaded, and put in force what comes of it.

        Raises:
            OperatorError, OSError: what was made cannot be opened or put on record; nothing has changed.
        """
        job = LoadJob(
            self._sources, str(self._directory.root), self._standing, verify=not self._proved, strict=self._strict
        )
        outcome = await run_loader(job, self._loader, timeout=self._load_timeout)
        if outcome.error is None and not outcome.changed:
            self._proved = True
            if self._held is not None:
                self._held.forgive()
            await self._take(outcome.standing)
        return outcome

    async def _take(self, standing: LoadedState | None) -> None:
        """Put in force what a load made, as a new publication where it is not what was published last.

        Raises:
            OperatorError, OSError: it cannot be opened or put on record; nothing has changed.
        """
        before = self._standing
        if standing is None:
            self._standing = None
        elif before is None or (before.revision, before.replica.sha256) != (standing.revision, standing.replica.sha256):
            new = replace(standing, publication=self._publication + 1, published_at=self._state.clock())
            held = await asyncio.to_thread(self._open, new)
            await asyncio.to_thread(self._directory.write, new)
            self._put_in_force(new, held)
        elif standing != before:
            await asyncio.to_thread(self._directory.write, standing)
            self._standing = standing
            self._report.hold(standing.replica)

    async def _serve_standing(self) -> None:
        """Put in force what was last good, if there is such a thing and it can be opened."""
        if self._standing is None:
            return
        try:
            held = await asyncio.to_thread(self._open, self._standing)
        except (OperatorError, OSError) as error:
            _log.warning("what was last in force cannot be opened", error=self._directory.told(error))
            self._standing = None
        else:
            self._put_in_force(self._standing, held)

    def _open(self, standing: LoadedState) -> _Held:
        return _Held(self._directory, standing, self._limits)

    def _put_in_force(self, standing: LoadedState, held: _Held) -> None:
        current = self._state.current
        number = 1 if current is None else current.number + 1
        self._state.install(
            Generation(number, held.engine, standing.publication, standing.revision, self._state.clock())
        )
        if self._held is not None:
            self._retired.append(_Retired(self._held))
            self._tasks.create_task(free_engine(self._held.engine))
        self._held = held
        self._standing = standing
        self._publication = standing.publication
        self._report.hold(standing.replica)
        _log.info(
            "in force",
            publication=standing.publication,
            revision=standing.revision,
            customers=standing.replica.customers,
            subscriptions=standing.replica.subscriptions,
        )

    # ── between loads ────────────────────────────────────────────────────────────────────────────────────────────────

    def _plan_retry(self, *, failed: bool) -> None:
        if failed:
            self._retry_at = time.monotonic() + self._retry_after
            self._retry_after = min(2 * self._retry_after, _LAST_RETRY)
        else:
            self._retry_at = None
            self._retry_after = _FIRST_RETRY

    async def _change(self) -> None:
        """Wait until there is a reason to load: settled changes of the files, damage on disk, or a planned retry."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_INTERVAL):
                    await self._wake.wait()
            self._wake.clear()
            if self._retired:
                await self._sweep()
            if self._held is not None and self._held.damaged and self._retry_at is None:
                _log.error("a file of what is in force cannot be read", remedy="it is proved, and made anew if torn")
                self._proved = False
                self._retry_at = time.monotonic() + self._mend_after
                self._mend_after = min(2 * self._mend_after, _LAST_RETRY)
            if self._retry_at is not None and time.monotonic() >= self._retry_at:
                return
            try:
                changed = await self._stamps() != self._attempted
                if changed:
                    self._fall_behind(time.monotonic())
                    await self._settle()
            except OperatorError:
                return  # the load says what is the matter
            if changed:
                return

    async def _settle(self) -> None:
        """Wait until the files have not changed for a moment: an editor writes in steps."""
        before = await self._stamps()
        for _ in range(round(_LONGEST_SETTLE / _SETTLE)):
            await asyncio.sleep(_SETTLE)
            now = await self._stamps()
            if now == before:
                return
            before = now

    def _fall_behind(self, now: float) -> None:
        """Note since when the files say something else than what is in force, if they do."""
        if self._behind_since is None and self._attempted != self._followed:
            self._behind_since = now

    async def _catch_up(self, outcome: LoadResult, began: float) -> None:
        """Note that what the files said when a load began is in force, whatever they say by now."""
        self._followed = outcome.stamps
        self._behind_since = None
        with contextlib.suppress(OperatorError):
            if await self._stamps() != self._followed:
                self._behind_since = began

    async def _stamps(self) -> tuple[FileStamp, ...]:
        """Stamp the files.

        Raises:
            OperatorError: the file system does not answer.
        """
        if self._looking is None:
            self._looking = run_detached(lambda: stamp_files(self._paths), "stamps")
        done, _ = await asyncio.wait([self._looking], timeout=_LONGEST_LOOK)
        if not done:
            raise OperatorError(f"the files cannot be looked at: no answer within {_LONGEST_LOOK:g} seconds")
        looked, self._looking = self._looking, None
        return looked.result()

    async def _sweep(self) -> None:
        """Remove from disk what nobody decides by any more. Not while a load is under way."""
        self._retired = [retired for retired in self._retired if retired.in_use()]
        kept = {path for retired in self._retired for path in retired.paths}
        if self._held is not None:
            kept.update(self._held.paths)
        if self._standing is not None:
            kept.update(self._directory.paths(self._standing))
        await asyncio.to_thread(self._directory.sweep, kept)


class _WatchedBundle(Bundle):
    """A bundle that remembers whether a file of it is torn, or the disk does not give it."""

    damaged = False

    def content(self, path: str) -> bytes:
        try:
            return super().content(path)
        except BundleError as error:
            self.damaged = self.damaged or not (isinstance(error, UnreadableError) and error.transient)
            raise


class _Held:
    """The files of one publication, opened, and the engine that decides by them."""

    def __init__(self, directory: DataDirectory, standing: LoadedState, limits: CacheLimits | None) -> None:
        """Open them.

        Raises:
            BundleError, ReplicaError: they are not what the record says that they are.
        """
        self.paths = bundle_path, replica_path = directory.paths(standing)
        self.bundle = _WatchedBundle.open(bundle_path)
        if self.bundle.revision != standing.revision:
            raise BundleError(MANIFEST, f"is that of `{self.bundle.revision}`, not of `{standing.revision}`")
        self.replica = Replica(replica_path)
        if self.replica.size != standing.replica.size:
            raise ReplicaError(f"replica `{replica_path}` is not of `{standing.replica.size}` bytes")
        evaluator = Evaluator(self.bundle, self.replica, publication=standing.publication, limits=limits)
        self.engine = CachedEvaluator(evaluator, limits)

    @property
    def damaged(self) -> bool:
        """Whether something could not be read."""
        return self.bundle.damaged or self.replica.damaged

    def forgive(self) -> None:
        """Forget the damage, because everything on disk was proved since."""
        self.bundle.damaged = self.replica.damaged = False


class _Retired:
    """The files of a publication that is no longer in force, and whether an answer under way still needs them."""

    def __init__(self, held: _Held) -> None:
        self.paths = held.paths
        self._engine = weakref.ref(held.bundle)

    def in_use(self) -> bool:
        """Say whether somebody holds on to it."""
        return self._engine() is not None
