"""Background jobs of the control plane: snapshots, the object store, retention, read-only databases, certificates.

Every job runs forever. A failure is logged, and the job starts again.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from starlette.concurrency import run_in_threadpool

from tiergate.admin.outcome_status import judge_services
from tiergate.admin.status_clock import count_statuses
from tiergate.admin.usage_limits import follow_dates, follow_publication
from tiergate.errors import NotFoundError, OperatorError, StoreError
from tiergate.store import SYSTEM
from tiergate.store.events import delete_events
from tiergate.store.outcome_judgements import drop_judgements
from tiergate.store.outcomes import drop_hours as drop_outcomes
from tiergate.store.outcomes import drop_sources
from tiergate.store.publications import publication
from tiergate.store.retention import delete_idempotency, drop_history, raise_floor
from tiergate.store.status_monitors import drop_silences
from tiergate.store.status_reports import drop_reports
from tiergate.store.usage_leases import count_leases
from tiergate.store.usage_retention import drop_grants, drop_holders, drop_keys, drop_windows
from tiergate.store.usage_series import drop_days, drop_hours
from tiergate.store.write_order import delete_old_deletions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from tiergate.admin.budget_watch import BudgetWatch
    from tiergate.admin.clock import Clock
    from tiergate.admin.status_clock import StatusCounts
    from tiergate.control.feed_api.endpoints import FeedApi
    from tiergate.control.feed_api.feed_watcher import FeedWatcher
    from tiergate.control.feed_api.object_store import ObjectStoreWriter
    from tiergate.control.usage_export.exporter import UsageExporter
    from tiergate.control.usage_metrics import UsageMetrics
    from tiergate.model import Instant
    from tiergate.store import Store, WriteUnit
    from tiergate.store.usage_ledger import UsageLedger


_DAY: Final = 24 * 60 * 60 * 1000
_AGAIN: Final = 5.0
_SNAPSHOTS_EVERY: Final = 30.0
_TIDY_EVERY: Final = 600.0
_LIMITS_EVERY: Final = 60.0
_MISSED_DATES: Final = 7 * _DAY  # before the start of this process, perhaps with no other running
_CLOCK_EVERY: Final = 1.0
_BUDGETS_EVERY: Final = 60.0
_STATUS_EVERY: Final = 15.0
_OUTCOMES_EVERY: Final = 10.0
_WRITES_EVERY: Final = 5.0
_LEASES_EVERY: Final = 30.0
_REQUESTS_EVERY: Final = 1.0
_CERTIFICATE_EVERY: Final = 30.0  # seconds: certificates are renewed days before they expire

_log = structlog.get_logger(__name__)


async def run_forever(name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Run a job that never ends; start it again after a failure."""
    while True:
        try:
            await work()
        except OperatorError as error:
            _log.warning("background job failed; restarting it", task=name, error=str(error))
        except Exception:  # noqa: BLE001 - the edge of a task
            _log.error("background job failed; restarting it", task=name, exc_info=True)
        await asyncio.sleep(_AGAIN)


async def refresh_snapshots(sync: FeedApi, *, every: float = _SNAPSHOTS_EVERY) -> None:
    """Make a new snapshot whenever the newest one is too old."""
    while True:
        await sync.refresh_snapshot()
        await asyncio.sleep(every)


async def update_object_store(
    writer: ObjectStoreWriter,
    sync: FeedApi,
    watcher: FeedWatcher,
    store: Store,
    *,
    every: float,
    snapshots_every: float,
) -> None:
    """Update the object store after every publication, and every `every` seconds.

    `snapshots_every`: the maximum age of its snapshot in seconds, if data has changed.
    """
    while True:
        snapshot = await sync.refresh_snapshot(snapshots_every)
        before = -1 if watcher.state is None else watcher.state.head.publication
        revision = await run_in_threadpool(_revision, store)
        await run_in_threadpool(writer.write, revision, snapshot, sync.snapshot_head(snapshot))
        await watcher.wait(lambda state: state.head.publication != before, every)  # noqa: B023 - awaited here
        if watcher.ending:
            return


async def follow_limits(
    store: Store, ledger: UsageLedger, watcher: FeedWatcher, *, every: float = _LIMITS_EVERY
) -> None:
    """Let usage follow the limits of everybody after each publication, and after dates in the catalog."""
    followed = store.clock() - _MISSED_DATES
    while True:
        await run_in_threadpool(follow_publication, store, ledger)
        now = store.clock()
        await run_in_threadpool(follow_dates, store, ledger, followed, now)
        followed = now
        before = -1 if watcher.state is None else watcher.state.head.publication
        await watcher.wait(lambda state: state.head.publication != before, every)  # noqa: B023 - awaited here
        if watcher.ending:
            return


async def count_open_leases(store: Store, metrics: UsageMetrics, *, every: float = _LEASES_EVERY) -> None:
    """Count the leases that are not settled, for the metrics."""
    while True:
        metrics.leases = await run_in_threadpool(store.read, count_leases)
        await asyncio.sleep(every)


async def tell_time(clock: Clock, *, every: float = _CLOCK_EVERY) -> None:
    """Make events of what begins and ends by itself, within a second of its instant."""
    while True:
        await run_in_threadpool(clock.tick)
        await asyncio.sleep(every)


async def watch_budgets(watch: BudgetWatch, watcher: FeedWatcher, *, every: float = _BUDGETS_EVERY) -> None:
    """Look at all error budgets, also after each publication; make events of those that are spent to a level."""
    while True:
        await run_in_threadpool(watch.tick)
        before = -1 if watcher.state is None else watcher.state.head.publication
        await watcher.wait(lambda state: state.head.publication != before, every)  # noqa: B023 - awaited here
        if watcher.ending:
            return


async def watch_status(store: Store, counted: Callable[[StatusCounts], None], *, every: float = _STATUS_EVERY) -> None:
    """Count open reports and silent monitors now and then, for metrics."""
    while True:
        counted(await run_in_threadpool(count_statuses, store))
        await asyncio.sleep(every)


async def follow_outcomes(store: Store, *, every: float = _OUTCOMES_EVERY) -> None:
    """Let the status that services say follow their outcomes."""
    while True:
        await run_in_threadpool(judge_services, store)
        await asyncio.sleep(every)


async def enforce_retention(store: Store, retention: Retention, *, every: float = _TIDY_EVERY) -> None:
    """Delete feed lines, history, usage, events, ended reports and idempotency keys after their retention."""
    while True:
        await run_in_threadpool(apply_retention, store, store.clock(), retention)
        await asyncio.sleep(every)


async def export_usage(exporter: UsageExporter, *, every: float, requests_every: float = _REQUESTS_EVERY) -> None:
    """Export usage every `every` seconds, and soon after days were asked for."""
    while True:
        await run_in_threadpool(exporter.run)
        waited = 0.0
        while waited < every and not (exporter.has_requests and not exporter.failing):
            await asyncio.sleep(min(requests_every, every - waited))
            waited += requests_every


async def watch_read_only(store: Store, *, every: float = _WRITES_EVERY) -> None:
    """Log when the database becomes read-only, and probe it until it is writable again."""
    database = store.database
    is_logged = False
    while True:
        if database.read_only_error is not None:
            if not is_logged:
                _log.error("database is read-only; reads and sync continue", error=str(database.read_only_error))
            is_logged = True
            with contextlib.suppress(StoreError):
                await run_in_threadpool(database.probe)
        if is_logged and database.read_only_error is None:
            _log.info("database is writable again")
            is_logged = False
        await asyncio.sleep(every)


class Retention(NamedTuple):
    """For how many days what is kept; `history`: `None` for ever."""

    feed: int = 30
    history: int | None = None
    usage: int = 1100
    usage_hours: int = 35
    events: int = 30
    status: int = 1100
    outcomes: int = 400


def apply_retention(store: Store, now: Instant, retention: Retention) -> None:
    """Delete once what is older than its retention."""
    store.change(lambda unit: raise_floor(unit, now - retention.feed * _DAY), SYSTEM)
    if retention.history is not None:
        _repeat(store, drop_history, now - retention.history * _DAY)
    store.change(lambda unit: delete_idempotency(unit, now - _DAY), SYSTEM)
    _repeat(store, lambda unit, before: delete_old_deletions(unit.session, before), now - retention.feed * _DAY)
    for drop in (drop_windows, drop_grants, drop_days):
        _repeat(store, drop, now - retention.usage * _DAY)
    _repeat(store, drop_hours, now - retention.usage_hours * _DAY)
    _repeat(store, delete_events, now - retention.events * _DAY)
    for drop_ended in (drop_reports, drop_silences, drop_judgements):
        _repeat(store, drop_ended, now - retention.status * _DAY)
    _repeat(store, drop_outcomes, now - retention.outcomes * _DAY)
    for drop_expired in (drop_keys, drop_holders, drop_sources):
        _repeat(store, drop_expired, now)


def _repeat(store: Store, drop: Callable[[WriteUnit, Instant], int], before: Instant) -> None:
    """Delete some rows in each transaction, until none is left."""
    while store.change(lambda unit: drop(unit, before), SYSTEM):
        pass


def _revision(store: Store) -> str:
    """Return the active revision; empty before the first publication."""
    sequence = store.read(lambda unit: unit.head().publication)
    try:
        return store.read(lambda unit: publication(unit.session, sequence)).revision if sequence else ""
    except NotFoundError:
        return ""


async def watch_certificate(
    files: Sequence[Path], renew: Callable[[], bool], *, every: float = _CERTIFICATE_EVERY
) -> None:
    """Call `renew` whenever a file of the certificate has changed, and again until it returns true.

    A certificate and its key are two files, which do not fit until both are replaced. Files are polled: in a Kubernetes
    volume they change by a link behind a link.
    """
    seen = _states(files)
    while True:
        await asyncio.sleep(every)
        current = _states(files)
        if current != seen and renew():
            seen = current


def _states(files: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    """Return what differs if a file changes; `None` for a missing file."""
    return [_state(file) for file in files]


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
