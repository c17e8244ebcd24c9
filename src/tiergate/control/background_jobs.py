"""What the control plane does beside its requests: snapshots, the object store, the ends of what is kept.

Every task goes on whatever happens: what fails is logged, and done again at its next turn.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import structlog
from starlette.concurrency import run_in_threadpool

from tiergate.errors import NotFoundError, OperatorError, StoreError
from tiergate.store import SYSTEM
from tiergate.store.publications import publication
from tiergate.store.retention import drop_history, drop_idempotency, raise_floor
from tiergate.store.write_order import drop_deletions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tiergate.control.feed_api.endpoints import FeedApi
    from tiergate.control.feed_api.feed_watcher import FeedWatcher
    from tiergate.control.feed_api.object_store import ObjectStoreWriter
    from tiergate.model import Instant
    from tiergate.store import Store

_DAY: Final = 24 * 60 * 60 * 1000
_AGAIN: Final = 5.0
_SNAPSHOTS_EVERY: Final = 30.0
_TIDY_EVERY: Final = 600.0
_WRITES_EVERY: Final = 5.0

_log = structlog.get_logger(__name__)


async def run_forever(name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Do what should never end; where it fails, begin it again."""
    while True:
        try:
            await work()
        except OperatorError as error:
            _log.warning("a task failed, and begins again", task=name, error=str(error))
        except Exception:  # noqa: BLE001 - the edge of a task
            _log.error("a task failed, and begins again", task=name, exc_info=True)
        await asyncio.sleep(_AGAIN)


async def refresh_snapshots(sync: FeedApi, *, every: float = _SNAPSHOTS_EVERY) -> None:
    """See from time to time that the newest snapshot is recent enough."""
    while True:
        await sync.refresh_snapshot()
        await asyncio.sleep(every)


async def update_object_store(
    depot: ObjectStoreWriter, sync: FeedApi, tail: FeedWatcher, store: Store, *, every: float, snapshots_every: float
) -> None:
    """Bring the object store up to date with every publication and snapshot, and every so many seconds.

    `snapshots_every`: of how many seconds ago its snapshot may be at most, if anything has changed since.
    """
    while True:
        offer = await sync.refresh_snapshot(snapshots_every)
        before = -1 if tail.state is None else tail.state.head.publication
        revision = await run_in_threadpool(_revision, store)
        await run_in_threadpool(depot.bring, revision, offer, sync.snapshot_head(offer))
        await tail.wait(lambda state: state.head.publication != before, every)  # noqa: B023 - awaited here
        if tail.ending:
            return


async def enforce_retention(
    store: Store, *, feed_days: int, history_days: int | None, every: float = _TIDY_EVERY
) -> None:
    """Move the beginning of the feed, and forget what is kept long enough."""
    while True:
        await run_in_threadpool(apply_retention, store, store.clock(), feed_days=feed_days, history_days=history_days)
        await asyncio.sleep(every)


async def watch_read_only(store: Store, *, every: float = _WRITES_EVERY) -> None:
    """Say once that the database takes no changes, and find out when it does again."""
    database = store.database
    is_told = False
    while True:
        if database.refusal is not None:
            if not is_told:
                _log.error("the database takes no changes; reads and sync go on", error=str(database.refusal))
            is_told = True
            with contextlib.suppress(StoreError):
                await run_in_threadpool(database.probe)
        if is_told and database.refusal is None:
            _log.info("the database takes changes again")
            is_told = False
        await asyncio.sleep(every)


def apply_retention(store: Store, now: Instant, *, feed_days: int, history_days: int | None) -> None:
    """Do it once.

    Raises:
        StoreError: the database cannot be used.
    """
    store.change(lambda unit: raise_floor(unit, now - feed_days * _DAY), SYSTEM)
    if history_days is not None:
        before = now - history_days * _DAY
        while store.change(lambda unit: drop_history(unit, before), SYSTEM):
            pass
    store.change(lambda unit: drop_idempotency(unit, now - _DAY), SYSTEM)
    while store.change(lambda unit: drop_deletions(unit.session, now - feed_days * _DAY), SYSTEM):
        pass


def _revision(store: Store) -> str:
    """The revision in force; empty before the first publication."""
    sequence = store.read(lambda unit: unit.head().publication)
    try:
        return store.read(lambda unit: publication(unit.session, sequence)).revision if sequence else ""
    except NotFoundError:
        return ""
