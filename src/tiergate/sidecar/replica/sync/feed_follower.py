"""Following a store: from the data on disk or a snapshot, then change by change, as long as the process lives.

The active publication keeps answering whatever happens here. Rules:

- Persist before serving: a step is committed, then read, then cached answers are invalidated, the last two in one turn
  of the event loop. The engine of a publication is opened before the commit, so that an unusable one is never recorded.
- A replica that cannot be trusted, or that the feed does not continue, is replaced by a candidate beside it, which
  becomes active once it is not older than the rollback floor (`follow_phases`). The floor survives the process.
- After a failure, the follower waits for a random time whose bound doubles each time (full jitter), measured by a
  monotonic clock. Wall-clock time is only compared with signed times.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from msgspec.structs import replace

from tiergate.bundle import TrustedFeed
from tiergate.engine import EngineOptions
from tiergate.errors import OperatorError, RejectionReason, ReplicaError, SyncError, TrustError
from tiergate.feed.lines import UnreadableChange
from tiergate.feed.unreadable_records import UnreadableRecord
from tiergate.sidecar.replica.generation_switch import GenerationSwitch
from tiergate.sidecar.replica.replica_folder import ReplicaFolder
from tiergate.sidecar.replica.sync.active_replica import ActiveBundle, ActiveReplica
from tiergate.sidecar.replica.sync.bootstrap import bootstrap
from tiergate.sidecar.replica.sync.commits import merge_publications
from tiergate.sidecar.replica.sync.follow_phases import TRANSITIONS, Event, Phase, classify_failure
from tiergate.sidecar.replica.sync.on_demand import OnDemand
from tiergate.sidecar.replica.sync.poll_pacing import PollPacer
from tiergate.sidecar.replica.sync.rollback_floor import RollbackFloor, read_floor, write_floor
from tiergate.sidecar.state import FeedPosition, GenerationFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tiergate.bundle import Cursor, FeedStep, SubjectStatement, UnreadableStatement, VerifiedPage
    from tiergate.feed.lines import RecordChange
    from tiergate.model import Subject, SubjectRecord
    from tiergate.sidecar.replica.data_directory import DataDirectory
    from tiergate.sidecar.replica.sync.bundle_origins import BundleOrigins
    from tiergate.sidecar.replica.sync.control_plane_client import ControlPlaneClient
    from tiergate.sidecar.replica.sync.sync_report import SyncReport
    from tiergate.sidecar.replica.sync.trust_config import TrustConfig
    from tiergate.sidecar.replica.writer import ChangedSubjects
    from tiergate.sidecar.state import State, StatusReport

_PAGE_LINES: Final = 1_000
_LONGEST_WAIT: Final = 25.0
_FIRST_RETRY: Final = 0.25
_LAST_RETRY: Final = 15.0
_FLOOR_EVERY: Final = 10.0
_FRESH_EVERY: Final = 10_000
_IDLE: Final = 1.0

_log = structlog.get_logger(__name__)


class OnDemandOptions(NamedTuple):
    """Options of subjects on demand: seconds that a check waits for one, and how many customers are stored."""

    timeout: float
    keep: int


class FollowOptions(NamedTuple):
    """Options of following. `max_staleness` in seconds; `random`: from [0, 1), for the jitter.

    `data_limit`: how many bytes the data folder may take while a new replica is built in it.
    """

    max_staleness: float
    engine: EngineOptions = EngineOptions()
    on_demand: OnDemandOptions | None = None
    random: Callable[[], float] = random.random
    data_limit: int | None = None


class FeedFollower:
    """Keeps `state` equal to a store. Belongs to the event loop's thread."""

    def __init__(
        self,
        trusted: TrustConfig,
        control: ControlPlaneClient,
        origins: BundleOrigins,
        directory: DataDirectory,
        state: State,
        options: FollowOptions,
        report: SyncReport,
    ) -> None:
        """Prepare; `run` does the work."""
        self._trusted = trusted
        self._control = control
        self._origins = origins
        self._state = state
        self._options = options
        self._report = report
        self._directory = directory
        self._folder = ReplicaFolder(directory.sync)
        self._wait = min(_LONGEST_WAIT, options.max_staleness / 3)
        self.committing = asyncio.Lock()
        self.on_demand = None if options.on_demand is None else OnDemand(self, **options.on_demand._asdict())
        self._phase = Phase.EMPTY
        self._active: ActiveReplica | None = None
        self._candidate: ActiveReplica | None = None
        self._stored_floor: RollbackFloor | None = None
        self._floor_written_at = 0.0
        self._advanced = asyncio.Event()
        self._fetch_began: float | None = None
        self._latest: int | None = None
        self._is_unreachable = False
        self._is_at_end = False
        self._pacer = PollPacer()
        self._switch = GenerationSwitch[str](state)
        self._tasks: asyncio.TaskGroup

    def report(self) -> StatusReport:
        """Return the report for `/status` and the metrics."""
        return self._report.status

    def note_damage(self) -> None:
        """Replace the active replica, because another process found it damaged."""
        if self._active is not None:
            self._active.replica.note_damage()

    async def run(self) -> None:
        """Serve the data on disk, then follow the store, until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            try:
                await self._resume()
                await self._follow()
            finally:
                if self.on_demand is not None:
                    await self.on_demand.end()
                self._close()
                await self._control.close()

    def _close(self) -> None:
        with contextlib.suppress(OSError, ReplicaError):  # without this, the next start only takes longer
            if self._active is not None:
                write_floor(self._folder.path, self._active.floor)
                self._active.replica.release()
                self._active.writer.fold()
        for replica in (self._active, self._candidate):
            if replica is not None:
                replica.retire()

    async def _follow(self) -> None:
        failures = 0
        while True:
            try:
                await self._step()
            except (SyncError, OperatorError, OSError) as error:
                failure: Exception = error
            except Exception as error:  # noqa: BLE001 - the edge of the work: the active publication keeps answering
                _log.exception("unexpected error while following the store; this is a bug in Tiergate")
                failure = error
            else:
                failures = 0
                self._is_unreachable = False
                continue
            failures += 1
            self._is_unreachable = isinstance(failure, SyncError)
            again_in = self._options.random() * min(_LAST_RETRY, _FIRST_RETRY * 2 ** min(failures, 20))
            self._recover(failure)
            if isinstance(failure, ReplicaError | OSError):
                await self._replace_folder_if_read_only()
            self._report.fail(failure, self._state.clock(), serving=self._state.current is not None, again_in=again_in)
            await asyncio.sleep(again_in)

    async def _step(self) -> None:
        """Build a candidate if one is needed, and follow the feed by one page."""
        active = self._active if self._phase is Phase.FOLLOWING else None
        if active is not None and (active.replica.damaged or not (active.has_statuses or self._is_unreachable)):
            self._enter(Event.DAMAGED)
        if self._phase.must_build:
            await self._build()
        if self._is_unreachable and self._candidate is not None:
            await self._promote(self._candidate)
        replica = self._candidate or self._active
        if replica is not None:
            await self._poll(replica)

    # ── phases ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _enter(self, event: Event) -> None:
        """Enter the phase after an event; a candidate that it ends is closed."""
        self._phase = TRANSITIONS[self._phase, event]
        if self._candidate is not None and not self._phase.has_candidate:
            self._candidate.abandon()
            self._candidate = None

    def _recover(self, failure: Exception) -> None:
        """Decide how to continue after a failure, and return to the committed cursor."""
        polled = self._candidate or self._active
        self._enter(classify_failure(failure))
        if polled is not None and polled in (self._candidate, self._active):
            polled.recover()

    async def _replace_folder_if_read_only(self) -> None:
        """If the folder cannot be written any more, use another one, with a new replica."""
        if await asyncio.to_thread(self._directory.use_temporary_if_read_only):
            self._folder = ReplicaFolder(self._directory.sync)
            self._enter(Event.FOLDER_LOST)

    async def _resume(self) -> None:
        """Activate the data of an earlier process, if that is possible."""
        store = self._trusted.store
        is_floor_damaged = False
        try:
            floor = await asyncio.to_thread(read_floor, self._folder.path)
        except ReplicaError as error:
            floor, is_floor_damaged = None, True
            _log.error("rollback floor is damaged; using the position of the replica instead", error=str(error))
        if floor is not None and store is not None and floor.store != store:
            _log.warning("data folder is of another store; fetching everything again", was=floor.store, now=store)
            floor = None
        self._stored_floor = floor
        path = self._folder.latest()
        if path is None:
            return
        try:
            store = store or (None if floor is None else floor.store)
            loop = asyncio.get_running_loop()
            replica = await asyncio.to_thread(ActiveReplica.resume, path, self._trusted.keys, store, loop)
        except (OperatorError, OSError) as error:
            _log.warning("cannot use the replica on disk; downloading it again", error=str(error))
            return
        if replica.writer.state.whole != (self.on_demand is None):
            _log.info("subject filter changed; fetching all subjects again")
            replica.abandon()
            return
        self._candidate = replica
        self._enter(Event.CANDIDATE_OPENED)
        if is_floor_damaged and replica.writer.floor is not None:
            self._stored_floor = RollbackFloor(replica.writer.state.store, replica.writer.floor)
        try:
            await self._promote(replica)
        except (OperatorError, OSError) as error:
            if self._candidate is not None:
                self._enter(Event.CANDIDATE_REJECTED)
            _log.warning("cannot activate the bundle on disk; downloading it again", error=str(error))

    async def _build(self) -> None:
        self._report.begin()
        self._fetch_began = time.monotonic()
        path = self._folder.next()
        floor = self._floor
        trust = TrustedFeed(
            self._trusted.keys,
            store=self._trusted.store if floor is None else floor.store,
            cursor=None if floor is None else floor.cursor,
        )
        whole = self.on_demand is None
        snapshot = await bootstrap(
            path,
            trust,
            self._origins,
            self._state.clock(),
            with_subjects=whole,
            folder=self._folder.path.parent,
            limit=self._options.data_limit,
        )
        trust = trust.with_cursor(snapshot.cursor)
        candidate = await asyncio.to_thread(ActiveReplica, path, trust, asyncio.get_running_loop())
        self._candidate = candidate
        self._enter(Event.CANDIDATE_OPENED)
        self._latest = snapshot.head.latest
        await self._promote(candidate)
        if self._active is candidate:
            self._report.succeed(self._state.clock())

    async def _promote(self, candidate: ActiveReplica) -> None:
        """Activate a candidate if it is not older than the floor; else it continues to follow the feed.

        If nothing is active, it first follows the feed to its end, so that no known subject is denied as unknown,
        unless the store cannot be reached.
        """
        floor = self._floor
        is_behind = self._latest is not None and candidate.trust.position < self._latest
        if self._active is None and is_behind and not self._is_unreachable:
            return
        try:
            if floor is not None and not candidate.trust.may_replace(floor.cursor):
                return
        except TrustError:
            self._enter(Event.CANDIDATE_REJECTED)
            raise
        bundle = None
        if candidate.cursor.publication:
            opened = bundle = await candidate.run(lambda: candidate.open_bundle(self._options.engine))
            await candidate.run(lambda: self._switch.prepare(opened.bundle))
        async with self.committing:
            if self.on_demand is not None:
                self.on_demand.reset(await candidate.run(candidate.writer.customers))
            before, self._active, self._candidate = self._active, candidate, None
            self._enter(Event.PROMOTED)
            self._set_feed_position(candidate)
            if bundle is not None:
                self._install(bundle, candidate)
        self._state.set_stale_at(self._stale_at(candidate.cursor))
        self._report_active(candidate)
        if bundle is not None:
            self._report.install(candidate.writer.state, self._state.clock(), self._fetch_seconds())
        self._advanced.set()
        if before is not None:
            before.retire()
        await asyncio.to_thread(self._folder.sweep, [candidate.path])
        await self._write_floor(force=True)

    # ── the feed ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _poll(self, replica: ActiveReplica) -> None:
        """Request the next page, once, and commit it."""
        if self._is_at_end and replica is self._active:
            await replica.unless_damaged(asyncio.sleep(self._pacer.delay(time.monotonic())))
        began, requested_at = time.monotonic(), self._state.clock()
        wait = self._wait if replica is self._active else 0.0
        body = await replica.unless_damaged(self._control.changes(replica.trust.position, wait, _PAGE_LINES))
        trust, now = replica.trust, self._state.clock()
        page = await replica.run(lambda: trust.verify_page(body, now))
        self._report.compare_clocks(page.head.issued_at, requested_at, now)
        self._latest = page.head.latest
        self._is_at_end = page.head.position == page.head.latest
        await self._commit_page(replica, page)
        if replica is self._candidate:
            floor = self._floor
            if floor is not None and page.head.latest < floor.cursor.position:
                detail = f"the feed ends at {page.head.latest}, but position {floor.cursor.position} was active"
                raise TrustError(RejectionReason.ROLLBACK, detail)
            await self._promote(replica)
        if replica is self._active:
            self._state.set_stale_at(self._stale_at(trust.cursor or replica.cursor))
            self._report_active(replica)
            self._report.succeed(self._state.clock())
        if not page.steps and time.monotonic() - began < self._wait / 2:
            await asyncio.sleep(self._options.random() * _IDLE)  # the server does not wait: do not poll in a busy loop

    async def _commit_page(self, replica: ActiveReplica, page: VerifiedPage) -> None:
        """Commit a page, and serve it if this replica is active."""
        for commit in merge_publications(page.steps):
            if commit.publication is None:
                await self._apply(replica, commit, page.envelope)
            else:
                await self._publish(replica, commit, page.envelope)
            self._advanced.set()
        cursor = replica.trust.cursor
        if cursor is not None and cursor.fresh_at - replica.cursor.fresh_at >= _FRESH_EVERY:
            async with self.committing:
                await replica.run(lambda: replica.writer.apply((), cursor, page.envelope))
        await self._write_floor()
        async with self.committing:
            if replica.writer.has_long_log and await self._state.hold_readers(release=True):
                try:
                    await replica.fold()
                finally:
                    self._state.resume_readers()

    async def _apply(self, replica: ActiveReplica, commit: FeedStep, head: bytes) -> None:
        async with self.committing:
            changes = self._relevant(commit.changes)
            changed = await replica.run(lambda: replica.writer.apply(changes, commit.cursor, head, commit.statuses))
            self._serve(replica, commit, changed)

    async def _publish(self, replica: ActiveReplica, commit: FeedStep, head: bytes) -> None:
        """Fetch a publication's bundle, open it, commit it and activate it."""
        publication, writer = commit.publication, replica.writer
        if publication is None:
            return
        manifest, files = writer.manifest(publication.revision), {}
        if manifest is None:
            known = replica.cursor.revision or None
            content = await replica.unless_damaged(
                self._origins.bundle(
                    publication.revision, known, lambda content: writer.has_all(content.manifest, content.files)
                )
            )
            manifest, files = content.manifest, content.files
        listed, number = manifest, publication.sequence
        bundle = await replica.run(lambda: ActiveBundle(replica, listed, files, number, self._options.engine))
        await replica.run(lambda: self._switch.prepare(bundle.bundle))
        async with self.committing:
            changes = self._relevant(commit.changes)
            state = replace(writer.state, cursor=commit.cursor, publication=commit.envelope, head=head)
            in_use = self._switch.in_use()
            if replica is self._active:
                await self._state.hold_readers(release=False)
            changed = await replica.run(lambda: writer.publish(changes, state, listed, files, in_use, commit.statuses))
            bundle.forget_files()
            if replica is self._active:
                self._install(bundle, replica)
            self._serve(replica, commit, changed)
        if replica is self._active:
            self._report_active(replica)
            self._report.install(writer.state, self._state.clock(), self._fetch_seconds())
            await self._write_floor(force=True)

    def _serve(self, replica: ActiveReplica, commit: FeedStep, changed: Iterable[ChangedSubjects]) -> None:
        """Answer by what was committed, from this turn of the event loop on."""
        changes = commit.changes
        replica.replica.renew()
        self._report.quarantine(change.record for change in changes if isinstance(change, UnreadableChange))
        if replica is self._active:
            self._set_feed_position(replica)
            self.invalidate(changed)
            if self.on_demand is not None:
                self.on_demand.note_committed(changes)
        if commit.statuses:
            replica.replica.read_statuses()
            if replica is self._active:
                self._state.statuses_changed()

    def _set_feed_position(self, replica: ActiveReplica) -> None:
        """Set the position that answers rest on, in the turn in which it is first read."""
        state = replica.writer.state
        self._state.feed_position = FeedPosition(state.store, state.cursor.position)

    def _relevant(self, changes: Sequence[RecordChange]) -> Sequence[RecordChange]:
        return changes if self.on_demand is None else self.on_demand.filter_changes(changes)

    def _install(self, bundle: ActiveBundle, replica: ActiveReplica) -> None:
        files = GenerationFiles(replica.path)
        opened, revision = bundle.bundle, bundle.bundle.revision
        self._switch.install(revision, opened, bundle.engine, bundle.publication, self._tasks, files)

    # ── subjects on demand ───────────────────────────────────────────────────────────────────────────────────────────

    @property
    def position(self) -> int:
        """The position up to which everything is committed."""
        return 0 if self._active is None else self._active.cursor.position

    async def fetch_statement(self, subject: Subject) -> SubjectStatement | UnreadableStatement:
        """Fetch and verify the store's statement about a subject."""
        active = self._active
        if active is None:
            raise SyncError(self._control.url, "nothing is active yet")
        since = active.cursor.position
        content = await self._control.subject(subject)
        return active.trust.verify_subject(content, subject, since=since)

    async def wait_for_position(self, position: int) -> None:
        """Wait until everything up to a position is committed."""
        while self.position < position:
            self._advanced.clear()
            await self._advanced.wait()

    async def store_record(self, record: SubjectRecord | UnreadableRecord, dropped: Sequence[str]) -> None:
        """Commit a record, delete the `dropped` customers, and invalidate the answers about all of them."""
        active = self._active
        if active is None:
            raise ReplicaError("nothing is active yet")
        changed = await active.run(lambda: active.writer.store_record(record, dropped))
        if isinstance(record, UnreadableRecord):
            self._report.quarantine([record])
            self._report_active(active)
        active.replica.renew()
        self.invalidate(changed)

    def invalidate(self, changed: Iterable[ChangedSubjects]) -> None:
        """Invalidate the cached answers about changed subjects."""
        for customer, subscriptions in changed:
            self._state.subject_changed(customer, subscriptions)

    # ── the floor and the report ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def _floor(self) -> RollbackFloor | None:
        """The cursor before which nothing becomes active."""
        return self._stored_floor if self._active is None else self._active.floor

    async def _write_floor(self, *, force: bool = False) -> None:
        active, now = self._active, time.monotonic()
        if active is not None and (force or now - self._floor_written_at >= _FLOOR_EVERY):
            self._floor_written_at = now
            floor = active.floor
            await active.run(lambda: write_floor(self._folder.path, floor))

    def _report_active(self, replica: ActiveReplica) -> None:
        self._report.set_active(replica.writer.state, self._latest, replica.writer.quarantined)

    def _fetch_seconds(self) -> float | None:
        """Return how long fetching everything took, once."""
        began, self._fetch_began = self._fetch_began, None
        return None if began is None else time.monotonic() - began

    def _stale_at(self, cursor: Cursor) -> int:
        return cursor.fresh_at + round(self._options.max_staleness * 1000)
