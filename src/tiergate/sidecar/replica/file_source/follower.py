"""File mode: the active publication follows a catalog, rules and subjects on disk.

The loader's process does the heavy work; this module decides when to load, and what to do with the result. A load
activates the content that the files had when it began; later content is loaded next. So under constant writing the
active publication is at most two loads behind. A load that fails, for whatever reason, leaves the active publication as
it is. Failures that the operator must fix are tried again, ever less often; problems that an author must fix are tried
again when the files change.

The last good state is in the data directory. It is served at once if the files' stamps have not changed, while a load
verifies it by digests. Otherwise it is the fallback if the files cannot be loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

import structlog
from msgspec.structs import replace

from tiergate.engine import EngineOptions
from tiergate.errors import OperatorError
from tiergate.process.detached_threads import run_detached
from tiergate.sidecar.replica.file_source.active_files import ActiveFiles
from tiergate.sidecar.replica.file_source.file_watch import CHECK_INTERVAL, watch
from tiergate.sidecar.replica.file_source.load_report import LoadReport
from tiergate.sidecar.replica.file_source.loader_process import LOADER, LoadJob, LoadResult, run_loader
from tiergate.sidecar.replica.file_source.source_files import stamp_files
from tiergate.sidecar.replica.generation_switch import GenerationSwitch
from tiergate.sidecar.state import GenerationFiles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiergate.sidecar.replica.data_directory import DataDirectory
    from tiergate.sidecar.replica.file_source.source_files import Sources
    from tiergate.sidecar.replica.loaded_state import FileStamp, LoadedState
    from tiergate.sidecar.state import State, StatusReport

DEFAULT_LOAD_TIMEOUT: Final = 1800.0
"""Default limit of a load, in seconds."""

_SETTLE: Final = 0.1
"""Seconds for which files must be unchanged before they are read."""

_LONGEST_SETTLE: Final = 1.0
"""Seconds after which they are read anyway: they may be written all the time."""

_LONGEST_LOOK: Final = 10.0
"""Seconds within which the file system must return the stamps."""

_FIRST_RETRY: Final = 1.0
_LAST_RETRY: Final = 60.0

_log = structlog.get_logger(__name__)


class FileFollower:
    """Keeps `state` equal to the source files. Belongs to the event loop's thread."""

    def __init__(
        self,
        sources: Sources,
        directory: DataDirectory,
        state: State,
        *,
        engine: EngineOptions | None = None,
        loader: Sequence[str] = LOADER,
        load_timeout: float = DEFAULT_LOAD_TIMEOUT,
        strict: bool = False,
        data_limit: int | None = None,
    ) -> None:
        """Prepare; `run` does the work. `loader` is the command of the loader's process, `load_timeout` in seconds.

        `strict`: one problem in the subjects rejects all of them. `data_limit`: how many bytes the data directory may
        take while a new replica is built in it.
        """
        self._sources = sources
        self._paths = (*sources.catalog_paths, *sources.subject_paths)
        self._directory = directory
        self._state = state
        self._engine_options = engine if engine is not None else EngineOptions()
        self._loader = loader
        self._load_timeout = load_timeout
        self._strict = strict
        self._data_limit = data_limit
        self._wake = asyncio.Event()
        self._report = LoadReport(sources)
        self._loaded = directory.read()
        self._publication = 0 if self._loaded is None else self._loaded.publication
        self._is_verified = False
        self._active: ActiveFiles | None = None
        self._switch = GenerationSwitch[tuple["Path", "Path"]](state)
        self._swept: list[tuple[Path, Path]] = []
        self._attempted: tuple[FileStamp, ...] = ()
        self._followed: tuple[FileStamp, ...] = ()
        self._behind_since: float | None = None
        self._stamping: asyncio.Future[tuple[FileStamp, ...]] | None = None
        self._retry_after = _FIRST_RETRY
        self._repair_after = _FIRST_RETRY
        self._tasks: asyncio.TaskGroup
        self._retry_at: float | None = None

    def report(self) -> StatusReport:
        """Return the report for `/status` and the metrics."""
        behind = 0.0 if self._behind_since is None else time.monotonic() - self._behind_since
        return replace(self._report.status, behind=round(behind, 3))

    def note_damage(self) -> None:
        """Verify the active publication, because another process found it damaged."""
        if self._active is not None:
            self._active.bundle.damaged = True

    async def run(self) -> None:
        """Load, then follow the source files, until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            end = asyncio.Event()
            self._tasks.create_task(watch(self._paths, self._wake, end))
            try:
                await self._follow()
            finally:
                end.set()

    async def _follow(self) -> None:
        loaded = self._loaded
        with contextlib.suppress(OperatorError):
            stamps = await self._stamps()
            if loaded is not None and stamps == (*loaded.catalog.stamps, *loaded.subjects.stamps):
                await self._activate_loaded()
        while True:
            await self._load_once()
            await self._sweep()
            await self._wait_for_change()

    # ── loading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _load_once(self) -> None:
        """Load once. Whatever the result is, the last good state is active afterwards, if there is one."""
        began = time.monotonic()
        try:
            self._attempted = await self._stamps()
            self._note_behind(began)
            self._report.begin(self._attempted)
            result = await self._load()
            self._attempted = result.stamps or self._attempted
        except (OperatorError, OSError) as error:
            # Data that cannot be opened has changed since it was verified: the retry verifies it, and builds it again.
            self._is_verified = False
            result = LoadResult(error=self._directory.describe(error))
        except Exception as error:  # noqa: BLE001 - the edge of the work: the active publication keeps answering
            _log.exception("unexpected error while loading the files; this is a bug in Tiergate")
            result = LoadResult(error=f"unexpected error: {error!r}; this is a bug in Tiergate")
        if result.changed:
            self._report.interrupt()
            self._retry_at = time.monotonic() + _SETTLE
            return
        if result.error is not None and await asyncio.to_thread(self._directory.use_temporary_if_read_only):
            self._is_verified = False
        self._plan_retry(failed=result.error is not None)
        if self._state.current is None:
            await self._activate_loaded()
        if result.error is None and not result.problems:
            await self._note_current(result, began)
        serving = self._state.current is not None
        self._report.end(result, time.monotonic() - began, self._state.clock(), serving=serving)

    async def _load(self) -> LoadResult:
        job = LoadJob(
            self._sources,
            str(self._directory.root),
            self._loaded,
            verify=not self._is_verified,
            strict=self._strict,
            limit=self._data_limit,
        )
        result = await run_loader(job, self._loader, timeout=self._load_timeout)
        if result.error is None and not result.changed:
            self._is_verified = True
            if self._active is not None:
                self._active.reset_damage()
            await self._activate(result.state)
        return result

    async def _activate(self, loaded: LoadedState | None) -> None:
        """Activate the state that a load returned, as a new publication if it differs from the last one."""
        before = self._loaded
        if loaded is None:
            self._loaded = None
        elif before is None or (before.revision, before.replica.sha256) != (loaded.revision, loaded.replica.sha256):
            new = replace(loaded, publication=self._publication + 1, published_at=self._state.clock())
            files = await asyncio.to_thread(self._open, new)
            await asyncio.to_thread(self._directory.write, new)
            self._install(new, files)
        elif loaded != before:
            await asyncio.to_thread(self._directory.write, loaded)
            self._loaded = loaded
            self._report.set_active(loaded.replica)

    async def _activate_loaded(self) -> None:
        """Activate the last good state, if there is one and it can be opened."""
        if self._loaded is None:
            return
        try:
            files = await asyncio.to_thread(self._open, self._loaded)
        except (OperatorError, OSError) as error:
            _log.warning("cannot open the last active publication", error=self._directory.describe(error))
            self._loaded = None
        else:
            self._install(self._loaded, files)

    def _open(self, loaded: LoadedState) -> ActiveFiles:
        files = ActiveFiles(*self._directory.paths(loaded), loaded.revision, loaded.publication, self._engine_options)
        files.check_size(loaded.replica.size)
        self._switch.prepare(files.bundle)
        return files

    def _install(self, loaded: LoadedState, files: ActiveFiles) -> None:
        bundle, replica = files.paths
        others = GenerationFiles(replica, bundle)
        self._switch.install(files.paths, files.bundle, files.engine, loaded.publication, self._tasks, others)
        self._active = files
        self._loaded = loaded
        self._publication = loaded.publication
        self._report.set_active(loaded.replica)
        _log.info(
            "publication active",
            publication=loaded.publication,
            revision=loaded.revision,
            customers=loaded.replica.customers,
            subscriptions=loaded.replica.subscriptions,
        )

    # ── between loads ────────────────────────────────────────────────────────────────────────────────────────────────

    def _plan_retry(self, *, failed: bool) -> None:
        if failed:
            self._retry_at = time.monotonic() + self._retry_after
            self._retry_after = min(2 * self._retry_after, _LAST_RETRY)
        else:
            self._retry_at = None
            self._retry_after = _FIRST_RETRY

    async def _wait_for_change(self) -> None:
        """Wait for a reason to load: changed and settled files, damage on disk, or a planned retry."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_INTERVAL):
                    await self._wake.wait()
            self._wake.clear()
            if self._switch.in_use() != self._swept:
                await self._sweep()
            if self._active is not None and self._active.damaged and self._retry_at is None:
                _log.error("cannot read a file of the active publication", remedy="verifying it, and rebuilding it")
                self._is_verified = False
                self._retry_at = time.monotonic() + self._repair_after
                self._repair_after = min(2 * self._repair_after, _LAST_RETRY)
            if self._retry_at is not None and time.monotonic() >= self._retry_at:
                return
            try:
                changed = await self._stamps() != self._attempted
                if changed:
                    self._note_behind(time.monotonic())
                    await self._settle()
            except OperatorError:
                return  # the load reports the cause
            if changed:
                return

    async def _settle(self) -> None:
        """Wait until the files are unchanged for a moment: editors write in steps."""
        before = await self._stamps()
        for _ in range(round(_LONGEST_SETTLE / _SETTLE)):
            await asyncio.sleep(_SETTLE)
            now = await self._stamps()
            if now == before:
                return
            before = now

    def _note_behind(self, now: float) -> None:
        """Note since when the files differ from the active publication, if they do."""
        if self._behind_since is None and self._attempted != self._followed:
            self._behind_since = now

    async def _note_current(self, result: LoadResult, began: float) -> None:
        """Note that the content at the begin of a load is active, whether or not the files have changed since."""
        self._followed = result.stamps
        self._behind_since = None
        with contextlib.suppress(OperatorError):
            if await self._stamps() != self._followed:
                self._behind_since = began

    async def _stamps(self) -> tuple[FileStamp, ...]:
        if self._stamping is None:
            self._stamping = run_detached(lambda: stamp_files(self._paths), "stamps")
        done, _ = await asyncio.wait([self._stamping], timeout=_LONGEST_LOOK)
        if not done:
            raise OperatorError(f"the file system of the files does not answer within {_LONGEST_LOOK:g} seconds")
        stamping, self._stamping = self._stamping, None
        return stamping.result()

    async def _sweep(self) -> None:
        """Delete the data on disk that is not in use any more. Not while a load is running."""
        self._swept = self._switch.in_use()
        kept = {path for paths in self._swept for path in paths}
        if self._active is not None:
            kept.update(self._active.paths)
        if self._loaded is not None:
            kept.update(self._directory.paths(self._loaded))
        await asyncio.to_thread(self._directory.sweep, kept)
