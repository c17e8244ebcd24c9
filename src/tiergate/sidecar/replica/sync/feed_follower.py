"""Following a store: from what is on disk or a snapshot, then change by change, for as long as the process lives.

What is in force goes on answering whatever happens here. Rules:

- Persisted before served: a step is committed, then read, then remembered answers are forgotten, the last two in one
  turn of the event loop. A publication's engine is opened before it is committed, so that one that cannot be decided
  by is never on record.
- A replica that cannot be trusted, or that the feed does not continue, is replaced by a new one, which is built beside
  it from a snapshot and follows the feed until it is no older than what is in force: the *floor*, which survives the
  process. Only then is it put in force.
- Whatever fails is tried again after a random wait that doubles each time (full jitter), measured by a clock that does
  not step. Wall-clock time is only compared with what was signed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import weakref
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from msgspec.structs import replace

from tiergate.bundle import Cursor, TrustedFeed
from tiergate.errors import OperatorError, RejectionReason, ReplicaError, SyncError, TrustError
from tiergate.feed.lines import UnreadableChange
from tiergate.feed.unreadable_records import UnreadableRecord
from tiergate.sidecar.engine_disposal import free_engine
from tiergate.sidecar.replica.replica_folder import ReplicaFolder, RollbackFloor
from tiergate.sidecar.replica.sync.active_replica import ActiveBundle, ActiveReplica
from tiergate.sidecar.replica.sync.bootstrap import bootstrap
from tiergate.sidecar.replica.sync.commit_batches import plan_commits
from tiergate.sidecar.replica.sync.on_demand import OnDemand
from tiergate.sidecar.replica.sync.poll_pacing import PollPacer
from tiergate.sidecar.state import FeedPosition, Generation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tiergate.bundle import Bundle, SubjectStatement, UnreadableStatement, VerifiedPage
    from tiergate.engine import CacheLimits
    from tiergate.feed.lines import RecordChange
    from tiergate.model import Subject, SubjectRecord
    from tiergate.sidecar.replica.data_directory import DataDirectory
    from tiergate.sidecar.replica.sync.bundle_origins import BundleOrigins
    from tiergate.sidecar.replica.sync.commit_batches import FeedCommit
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
_GONE: Final = frozenset({404, 409, 410})
_NOT_TO_BE_CONTINUED: Final = frozenset(
    {RejectionReason.GAP, RejectionReason.BROKEN_CHAIN, RejectionReason.CONTRADICTION}
)

_log = structlog.get_logger(__name__)


class OnDemandOptions(NamedTuple):
    """How subjects are held on demand: seconds that a check waits for one, and how many customers are held."""

    timeout: float
    keep: int


class FollowOptions(NamedTuple):
    """How it is followed. `max_staleness` in seconds; `random`: from [0, 1), for the jitter."""

    max_staleness: float
    limits: CacheLimits | None = None
    on_demand: OnDemandOptions | None = None
    random: Callable[[], float] = random.random


class FeedFollower:
    """Keeps `state` at what a store says. Belongs to the event loop's thread."""

    def __init__(
        self,
        believed: TrustConfig,
        control: ControlPlaneClient,
        depots: BundleOrigins,
        directory: DataDirectory,
        state: State,
        rules: FollowOptions,
        report: SyncReport,
    ) -> None:
        """Prepare; `run` does the work.

        Raises:
            OSError: the directory cannot be written.
        """
        self._believed = believed
        self._control = control
        self._depots = depots
        self._state = state
        self._rules = rules
        self._report = report
        self._directory = directory
        self._folder = ReplicaFolder(directory.root)
        self._wait = min(_LONGEST_WAIT, rules.max_staleness / 3)
        self.committing = asyncio.Lock()
        self.on_demand = None if rules.on_demand is None else OnDemand(self, **rules.on_demand._asdict())
        self._held: ActiveReplica | None = None
        self._candidate: ActiveReplica | None = None
        self._floor: RollbackFloor | None = None
        self._floor_at = 0.0
        self._advanced = asyncio.Event()
        self._rebuild = False
        self._begun: float | None = None
        self._latest: int | None = None
        self._cut_off = False
        self._at_end = False
        self._pace = PollPacer()
        self._opened: ActiveBundle | None = None
        self._alive: list[tuple[str, weakref.ref[Bundle]]] = []
        self._tasks: asyncio.TaskGroup

    def report(self) -> StatusReport:
        """What `/status` and the metrics say of the work."""
        return self._report.status

    async def run(self) -> None:
        """Serve what is on disk, then follow, until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            try:
                await self._resume()
                await self._follow()
            finally:
                if self.on_demand is not None:
                    await self.on_demand.end()
                self._end()
                await self._control.close()

    def _end(self) -> None:
        """Leave on disk what the next process begins with."""
        floor = self._lowest
        with contextlib.suppress(OSError, ReplicaError):  # it is there as it is, only in a form that takes longer
            if self._held is not None and floor is not None:
                self._folder.write_floor(floor)
                self._held.replica.release()
                self._held.writer.fold()
        for holding in (self._held, self._candidate):
            if holding is not None:
                holding.retire()

    async def _follow(self) -> None:
        failures = 0
        while True:
            try:
                if self._candidate is None and (self._held is None or self._rebuild or self._held.replica.damaged):
                    await self._build()
                if self._cut_off and self._candidate is not None:
                    await self._promote(self._candidate)
                await self._poll(self._candidate or self._held)
                failures = 0
                self._cut_off = False
                continue
            except (SyncError, OperatorError, OSError) as error:
                failure: Exception = error
            except Exception as error:  # noqa: BLE001 - the edge of the work: what is in force goes on answering
                _log.exception("a defect in Tiergate keeps the store from being followed")
                failure = error
            failures += 1
            self._cut_off = isinstance(failure, SyncError)
            again_in = self._rules.random() * min(_LAST_RETRY, _FIRST_RETRY * 2 ** min(failures, 20))
            self._recover(failure)
            if isinstance(failure, ReplicaError | OSError):
                await self._stand_aside()
            self._report.fail(failure, self._state.clock(), serving=self._state.current is not None, again_in=again_in)
            await asyncio.sleep(again_in)

    # ── beginnings ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _resume(self) -> None:
        """Put in force what an earlier process left, if that can be."""
        store = self._believed.store
        damaged = False
        try:
            floor = await asyncio.to_thread(self._folder.read_floor)
        except ReplicaError as error:
            floor, damaged = None, True
            _log.error(
                "the record of what was in force is damaged; what the replica proves takes its place", error=str(error)
            )
        if floor is not None and store is not None and floor.store != store:
            _log.warning("the data directory was another store's, and is begun anew", was=floor.store, now=store)
            floor = None
        self._floor = floor
        path = self._folder.latest()
        if path is None:
            return
        keys = self._believed.keys
        try:
            store = store or (None if floor is None else floor.store)
            loop = asyncio.get_running_loop()
            held = await asyncio.to_thread(ActiveReplica.resume, path, keys, store, loop)
        except (OperatorError, OSError) as error:
            _log.warning("what is on disk cannot be used, and is fetched anew", error=str(error))
            return
        if held.writer.kept.whole != (self.on_demand is None):
            _log.info("which subjects are held is another setting now: they are fetched anew")
            held.abandon()
            return
        self._candidate = held
        if damaged and held.writer.floor is not None:
            self._floor = RollbackFloor(held.writer.kept.store, held.writer.floor)
        try:
            await self._promote(held)
        except (OperatorError, OSError) as error:
            self._discard()
            _log.warning("what is on disk cannot be put in force, and is fetched anew", error=str(error))

    async def _build(self) -> None:
        """Begin a new replica, beside the one in force, from a snapshot."""
        self._report.begin()
        self._begun = time.monotonic()
        path = self._folder.next()
        floor = self._lowest
        trust = TrustedFeed(
            self._believed.keys,
            store=self._believed.store if floor is None else floor.store,
            cursor=None if floor is None else floor.cursor,
        )
        whole = self.on_demand is None
        snapshot = await bootstrap(path, trust, self._depots, self._state.clock(), with_subjects=whole)
        trust = trust.with_cursor(snapshot.cursor)
        candidate = await asyncio.to_thread(ActiveReplica, path, trust, asyncio.get_running_loop())
        self._candidate = candidate
        self._rebuild = False
        self._latest = snapshot.head.latest
        await self._promote(candidate)
        if self._held is candidate:
            self._report.succeed(self._state.clock())

    async def _promote(self, candidate: ActiveReplica) -> None:
        """Put a candidate in force once it is no older than what was; else let it follow the feed for a while.

        Where nothing is in force, it first goes on from its snapshot to the end of the feed, so that nobody who is
        known is denied as unknown; unless nobody can be asked for the feed.
        """
        floor = self._lowest
        behind = self._latest is not None and candidate.trust.position < self._latest
        if self._held is None and behind and not self._cut_off:
            return
        try:
            if floor is not None and not candidate.trust.may_replace(floor.cursor):
                return
        except TrustError:
            self._discard()
            raise
        opened = None
        if candidate.cursor.publication:
            opened = await candidate.work(lambda: candidate.open(self._rules.limits))
        async with self.committing:
            if self.on_demand is not None:
                self.on_demand.begin(await candidate.work(candidate.writer.holders))
            before, self._held, self._candidate = self._held, candidate, None
            self._reach(candidate)
            if opened is not None:
                self._install(opened)
        self._state.set_stale_at(self._stale_at(candidate.cursor))
        self._tell(candidate)
        if opened is not None:
            self._report.install(candidate.writer.kept, self._state.clock(), self._seconds())
        self._advanced.set()
        if before is not None:
            before.retire()
        await asyncio.to_thread(self._folder.sweep, [candidate.path])
        await self._lower(force=True)

    # ── the feed ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _poll(self, holding: ActiveReplica | None) -> None:
        """Ask for what comes next, once, and take it."""
        if holding is None:
            return
        if self._at_end and holding is self._held:
            await holding.unless_damaged(asyncio.sleep(self._pace.delay(time.monotonic())))
        begun, asked_at = time.monotonic(), self._state.clock()
        wait = self._wait if holding is self._held else 0.0
        body = await holding.unless_damaged(self._control.changes(holding.trust.position, wait, _PAGE_LINES))
        trust, now = holding.trust, self._state.clock()
        page = await holding.work(lambda: trust.verify_page(body, now))
        self._report.compare_clocks(page.head.issued_at, asked_at, now)
        self._latest = page.head.latest
        self._at_end = page.head.position == page.head.latest
        await self._take(holding, page)
        if holding is self._candidate:
            floor = self._lowest
            if floor is not None and page.head.latest < floor.cursor.position:
                detail = f"the feed ends at {page.head.latest}, and {floor.cursor.position} was in force"
                raise TrustError(RejectionReason.ROLLBACK, detail)
            await self._promote(holding)
        if holding is self._held:
            self._state.set_stale_at(self._stale_at(trust.cursor or holding.cursor))
            self._tell(holding)
            self._report.succeed(self._state.clock())
        if not page.steps and time.monotonic() - begun < self._wait / 2:
            await asyncio.sleep(self._rules.random() * _IDLE)  # whoever does not wait for us is not asked in a loop

    async def _take(self, holding: ActiveReplica, page: VerifiedPage) -> None:
        """Commit a page, and serve what it says if this replica is in force."""
        for advance in plan_commits(page.steps):
            if advance.publication is None:
                async with self.committing:
                    await self._apply(holding, advance, page.envelope)
            else:
                await self._publish(holding, advance, page.envelope)
            self._advanced.set()
        fresh = holding.trust.cursor
        if fresh is not None and fresh.fresh_at - holding.cursor.fresh_at >= _FRESH_EVERY:
            async with self.committing:
                await holding.work(lambda: holding.writer.apply((), fresh, page.envelope))
        await self._lower()
        async with self.committing:
            await holding.fold()

    async def _apply(self, holding: ActiveReplica, advance: FeedCommit, head: bytes) -> None:
        """Commit changes of subjects. While `committing` is held."""
        followed = self._concerned(advance.changes)
        changed = await holding.work(lambda: holding.writer.apply(followed, advance.cursor, head))
        self._serve(holding, advance.changes, changed)

    async def _publish(self, holding: ActiveReplica, advance: FeedCommit, head: bytes) -> None:
        """Fetch a publication's bundle, open it, commit it and put it in force."""
        publication, writer = advance.publication, holding.writer
        if publication is None:
            return
        revision = publication.revision
        manifest, files = writer.manifest(revision), {}
        if manifest is None:
            have = holding.cursor.revision or None
            pack = await holding.unless_damaged(
                self._depots.bundle(revision, have, lambda pack: writer.has_all(pack.manifest, pack.files))
            )
            manifest, files = pack.manifest, pack.files
        found, number = manifest, publication.sequence
        opened = await holding.work(lambda: ActiveBundle(holding, found, files, number, self._rules.limits))
        in_use = [revision for revision, bundle in self._alive if bundle() is not None]
        async with self.committing:
            followed = self._concerned(advance.changes)
            kept = replace(writer.kept, cursor=advance.cursor, publication=advance.envelope, head=head)
            changed = await holding.work(lambda: writer.publish(followed, kept, found, files, in_use))
            opened.settle()
            if holding is self._held:
                self._install(opened)
            self._serve(holding, advance.changes, changed)
        if holding is self._held:
            self._tell(holding)
            self._report.install(writer.kept, self._state.clock(), self._seconds())
            await self._lower(force=True)

    def _serve(
        self, holding: ActiveReplica, changes: Iterable[RecordChange], changed: Iterable[ChangedSubjects]
    ) -> None:
        """Answer by what was committed, from this turn of the event loop on."""
        holding.replica.renew()
        self._report.set_aside(change.record for change in changes if isinstance(change, UnreadableChange))
        if holding is self._held:
            self._reach(holding)
            self.forget(changed)
            if self.on_demand is not None:
                self.on_demand.followed(changes)

    def _reach(self, holding: ActiveReplica) -> None:
        """Say how far what can be read goes: what is committed, in the turn in which it is first read."""
        kept = holding.writer.kept
        self._state.feed_position = FeedPosition(kept.store, kept.cursor.position)

    def _concerned(self, changes: Sequence[RecordChange]) -> Sequence[RecordChange]:
        return changes if self.on_demand is None else self.on_demand.follow(changes)

    def _install(self, opened: ActiveBundle) -> None:
        current = self._state.current
        number = 1 if current is None else current.number + 1
        revision = opened.bundle.revision
        self._state.install(Generation(number, opened.engine, opened.publication, revision, self._state.clock()))
        if self._opened is not None:
            self._tasks.create_task(free_engine(self._opened.engine))
        self._opened = opened
        self._alive = [(name, bundle) for name, bundle in self._alive if bundle() is not None]
        self._alive.append((revision, weakref.ref(opened.bundle)))

    # ── on demand ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def position(self) -> int:
        """How far everything that is committed goes."""
        return 0 if self._held is None else self._held.cursor.position

    async def state_of(self, subject: Subject) -> SubjectStatement | UnreadableStatement:
        """What the store says of a subject, believed.

        Raises:
            SyncError, TrustError: it is not to be had.
        """
        held = self._held
        if held is None:
            raise SyncError(self._control.url, "nothing is held yet")
        since = held.cursor.position
        content = await self._control.subject(subject)
        return held.trust.verify_subject(content, subject, since=since)

    async def reach(self, position: int) -> None:
        """Wait until everything up to a position is committed."""
        while self.position < position:
            self._advanced.clear()
            await self._advanced.wait()

    async def keep(self, record: SubjectRecord | UnreadableRecord, dropped: Sequence[str]) -> None:
        """Commit a record, or that it cannot be read, and that some customers are not held any more.

        Answers about all of them are forgotten.

        Raises:
            ReplicaError: the disk refuses.
        """
        held = self._held
        if held is None:
            raise ReplicaError("nothing is held yet")
        changed = await held.work(lambda: held.writer.exchange(record, dropped))
        if isinstance(record, UnreadableRecord):
            self._report.set_aside([record])
            self._tell(held)
        held.replica.renew()
        self.forget(changed)

    def forget(self, changed: Iterable[ChangedSubjects]) -> None:
        """Have answers forgotten."""
        for one in changed:
            self._state.subject_changed(one.customer, one.subscriptions)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _lowest(self) -> RollbackFloor | None:
        """Before what nothing is put in force."""
        return self._floor if self._held is None else RollbackFloor(self._held.writer.kept.store, self._held.cursor)

    def _recover(self, failure: Exception) -> None:
        """Believe only what is committed, and decide whether to go on from there."""
        unusable = (isinstance(failure, SyncError) and failure.status in _GONE) or (
            isinstance(failure, TrustError) and failure.kind in _NOT_TO_BE_CONTINUED
        )
        if self._candidate is not None:
            if unusable or isinstance(failure, ReplicaError):
                self._discard()
            else:
                self._candidate.recover()
        elif self._held is not None:
            self._rebuild = unusable and not self._rebuild
            self._held.recover()

    async def _stand_aside(self) -> None:
        """Where the folder cannot be written any more, go on in another one: with a new replica, from a snapshot."""
        if await asyncio.to_thread(self._directory.stand_aside_if_refused):
            self._folder = ReplicaFolder(self._directory.root)
            self._discard()
            self._rebuild = True

    def _discard(self) -> None:
        if self._candidate is not None:
            self._candidate.abandon()
            self._candidate = None

    async def _lower(self, *, force: bool = False) -> None:
        """Put on record before what nothing is put in force again."""
        held, floor, now = self._held, self._lowest, time.monotonic()
        if held is None or floor is None:
            return
        if force or now - self._floor_at >= _FLOOR_EVERY:
            self._floor_at = now
            await held.work(lambda: self._folder.write_floor(floor))

    def _tell(self, holding: ActiveReplica) -> None:
        self._report.hold(holding.writer.kept, self._latest, holding.writer.quarantined)

    def _seconds(self) -> float | None:
        """How long everything took to fetch, once it was."""
        begun, self._begun = self._begun, None
        return None if begun is None else time.monotonic() - begun

    def _stale_at(self, cursor: Cursor) -> int:
        return cursor.fresh_at + round(self._rules.max_staleness * 1000)
