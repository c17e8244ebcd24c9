"""Watching the end of the feed: this process reads each line once, caches it, and wakes the requests that wait for it.

Commits of this process wake the watcher directly, those of other control planes by PostgreSQL's notifications; besides,
it reads the database every second. `state` was true in the database at `confirmed_at`, which is the time in signed
heads. If the database cannot be read, `confirmed_at` stays, and readers see their data age.

Belongs to the event loop of `run`; a thread of its own reads the database.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from tiergate.control.feed_api.wake_queue import WakeQueue
from tiergate.errors import StoreError
from tiergate.feed.hash_chain import extend_chain, line_digest
from tiergate.store.feed_reader import FeedLine, FeedPage, is_read_only, notifications, read_page

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from tiergate.model import Instant
    from tiergate.store import FeedHead, Store

_PAGE: Final = 5_000
_PAGE_BYTES: Final = 16 * 1024**2
_RECONNECT_AFTER: Final = 1.0
_RECONNECT_AT_LAST: Final = 60.0
_DELIVERY_SECONDS: Final = 5.0
_SILENCE_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)


class FeedState(NamedTuple):
    """The end of the lines that were read, and the last position in the database at `confirmed_at`: `latest`."""

    head: FeedHead
    latest: int
    confirmed_at: Instant


class FeedWatcher:
    """Watches the feed of a store."""

    def __init__(
        self,
        store: Store,
        *,
        kept: int = 20_000,
        kept_bytes: int = 64 * 1024**2,
        poll: float = 1.0,
        pause: float = 0.03,
    ) -> None:
        """Prepare. At most `kept` lines with `kept_bytes` in total stay in memory.

        `poll`: most seconds between two reads of the database; `pause`: fewest, so that many commits in a short time
        wake readers once.
        """
        self._store = store
        self._kept, self._kept_bytes = kept, kept_bytes
        self._poll, self._pause = poll, pause
        self.state: FeedState | None = None
        self.failures = 0
        self.failing = False
        self.ending = False
        self.listening = store.database.is_sqlite
        """Whether commits of other control planes wake this one."""
        self._lines: list[FeedLine] = []
        self._bytes = 0
        self._wake = asyncio.Event()
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._confirmed = asyncio.Event()
        self._wake_queue = WakeQueue()

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()

        def committed() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._wake.set)

        self._store.database.on_commit(committed)
        thread = ThreadPoolExecutor(1, "tail")
        try:
            async with asyncio.TaskGroup() as tasks:
                if not self._store.database.is_sqlite:
                    tasks.create_task(self._listen())
                while True:
                    self._wake.clear()
                    await self._read_new(thread)
                    await asyncio.sleep(self._pause)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._poll):
                            await self._wake.wait()
        finally:
            thread.shutdown(wait=False, cancel_futures=True)

    def end(self) -> None:
        """End all waiting requests."""
        self.ending = True
        self._wake_waiting()
        self._wake_queue.wake_all()
        self._confirmed.set()

    async def wait(self, happened: Callable[[FeedState], bool], seconds: float) -> None:
        """Wait until the state meets a condition, for at most these seconds, and not beyond the end.

        Many waiting requests continue a few at a time, so that others can use the event loop in between.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.ending and (self.state is None or not happened(self.state)):
                    woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting[woken] = None
                    try:
                        await woken
                    finally:
                        self._waiting.pop(woken, None)

    async def confirm(self, seconds: float) -> None:
        """Wait until the database was read again, for at most these seconds, and not beyond the end.

        The reader knows a later position than this process: it was served by another control plane a moment ago.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for _ in range(2):  # the read in progress may have begun before
                    if not self.ending:
                        confirmed = self._confirmed
                        self._wake.set()
                        await confirmed.wait()

    def after(self, position: int, limit: int) -> list[FeedLine] | None:
        """Return the lines after a position from memory; none if they are not all in memory."""
        if self.state is None or position > self.state.head.position:
            return None
        first = self.state.head.position - len(self._lines)
        if position < first:
            return None
        return self._lines[position - first : position - first + limit]

    async def _read_new(self, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        more = True
        while more:
            try:
                more = self._add_page(*await loop.run_in_executor(thread, self._read))
            except Exception as error:  # noqa: BLE001 - watching continues, whatever happens
                self.failures += 1
                if not self.failing:
                    _log.warning("cannot read the feed", error=str(error))
                self.failing = True
                return
            if self.failing:
                _log.info("the change feed can be read again")
            self.failing = False

    def _read(self) -> tuple[FeedPage, Instant]:
        now = self._store.clock()
        with self._store.database.reading() as session:
            after = -1 if self.state is None else self.state.head.position
            page = read_page(session, after, limit=_PAGE, max_bytes=_PAGE_BYTES)
            if not self._store.database.is_sqlite and is_read_only(session):
                self._store.database.set_read_only()
            return page, now

    def _add_page(self, page: FeedPage, now: Instant) -> bool:
        """Add a page, and return whether there is more."""
        before = self.state
        reached = page.head
        if before is None or not _follows(before.head, page):
            # The beginning, a database that was restored to an earlier state, or a floor beyond the lines in memory.
            self._lines, self._bytes = [], 0
        elif page.lines:
            self._lines += page.lines
            self._bytes += sum(len(line.line) for line in page.lines)
            last = page.lines[-1]
            reached = reached._replace(position=last.position, chain=last.chain, publication=last.publication)
        self.state = FeedState(reached, page.head.position, now)
        self._drop()
        self._confirmed.set()
        self._confirmed = asyncio.Event()
        if before is None or reached[:2] != before.head[:2]:
            self._wake_waiting()
        return reached.position < page.head.position

    def _wake_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        self._wake_queue.wake(waiting)

    def _drop(self) -> None:
        """Drop the oldest lines beyond the limits, and those below the floor."""
        if self.state is None:
            return
        first = self.state.head.position - len(self._lines)
        dropped = max(0, min(len(self._lines), self.state.head.floor - first))
        size = self._bytes - sum(len(line.line) for line in self._lines[:dropped])
        while len(self._lines) - dropped > self._kept or size > self._kept_bytes:
            size -= len(self._lines[dropped].line)
            dropped += 1
        if dropped:
            self._lines, self._bytes = self._lines[dropped:], size

    async def _listen(self) -> None:
        """Listen for commits of other control planes; reconnect when the connection is lost."""
        pause, is_logged = _RECONNECT_AFTER, False
        while True:
            try:
                async with aclosing(notifications(self._store.database)) as notified:
                    await anext(notified)
                    _raise_if_canceled()
                    await self._receive(notified)
            except Exception as error:  # noqa: BLE001 - whatever it is, polling goes on
                if self.listening:
                    pause, is_logged = _RECONNECT_AFTER, False
                if not is_logged:
                    _log.warning("LISTEN does not work; polling for changes of other instances", error=str(error))
                is_logged = True
            self.listening = False
            await asyncio.sleep(pause)
            pause = min(2 * pause, _RECONNECT_AT_LAST)

    async def _receive(self, notified: AsyncGenerator[None]) -> None:
        """Wake the watcher at notifications. In silence, send one to this process: a pooler may lose them all."""
        next_notification = asyncio.create_task(_next(notified))
        is_testing = await self._notify_self()
        try:
            while True:
                done, _ = await asyncio.wait(
                    [next_notification], timeout=_DELIVERY_SECONDS if is_testing else _SILENCE_SECONDS
                )
                if done:
                    next_notification.result()
                    next_notification = asyncio.create_task(_next(notified))
                    if not self.listening:
                        _log.info("LISTEN works; notified of changes of other instances")
                    self.listening, is_testing = True, False
                    self._wake.set()
                elif is_testing:
                    raise StoreError("notifications do not arrive: perhaps a pooler is in transaction mode")
                else:
                    is_testing = await self._notify_self()
        finally:
            next_notification.cancel()
            await asyncio.gather(next_notification, return_exceptions=True)

    async def _notify_self(self) -> bool:
        """Send a notification to this process, and return whether it could be sent."""
        try:
            await asyncio.to_thread(self._store.database.send_test_notification)
        except StoreError:  # read-only, or not reachable
            return False
        return True


def _raise_if_canceled() -> None:
    """Raise if this task was canceled while it connected.

    `asyncio.wait_for` of Python 3.11, on which psycopg waits, drops a cancellation that comes at the same moment as the
    socket's event (https://github.com/python/cpython/issues/81839).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _next(notified: AsyncGenerator[None]) -> None:
    await anext(notified)


def _follows(before: FeedHead, page: FeedPage) -> bool:
    """Return whether a page continues at the head `before`."""
    if page.lines:
        first = page.lines[0]
        return extend_chain(before.chain, line_digest(first.line)) == first.chain
    return (page.head.position, page.head.chain) == (before.position, before.chain)
