"""The end of the feed in this process: read once, kept for a while, and told to all who wait for more.

A commit of this process is heard of at once, one of another control plane by PostgreSQL's notification; and whatever is
heard, the database is asked every second. What `state` says was true of the database at `confirmed_at`, which is what
signed heads rest on: where the database cannot be asked, time stands still here, and readers see their data grow old.

Belongs to the event loop that `run` runs on; the database is asked from a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from tiergate.control.feed_api.time_slicing import WakeQueue
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
_ARRIVES_WITHIN: Final = 5.0
_SILENCE: Final = 60.0

_log = structlog.get_logger(__name__)


class FeedState(NamedTuple):
    """How far the feed was read, and what the database had at `confirmed_at`: `latest`, the last position."""

    head: FeedHead
    latest: int
    confirmed_at: Instant


class FeedWatcher:
    """Follows the feed of a store."""

    def __init__(
        self,
        store: Store,
        *,
        kept: int = 20_000,
        kept_bytes: int = 64 * 1024**2,
        poll: float = 1.0,
        pause: float = 0.03,
    ) -> None:
        """Prepare to follow. At most `kept` lines of `kept_bytes` together are held in memory.

        `poll`: seconds after which the database is asked in any case; `pause`: at least so many between two questions,
        so that many commits that follow each other closely wake readers once.
        """
        self._store = store
        self._kept, self._kept_bytes = kept, kept_bytes
        self._poll, self._pause = poll, pause
        self.state: FeedState | None = None
        self.failures = 0
        self.failing = False
        self.ending = False
        self.listening = store.database.is_sqlite
        """Whether commits of other control planes are heard of at once."""
        self._lines: list[FeedLine] = []
        self._bytes = 0
        self._wake = asyncio.Event()
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._asked = asyncio.Event()
        self._pace = WakeQueue()

    async def run(self) -> None:
        """Follow until cancelled."""
        loop = asyncio.get_running_loop()

        def committed() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._wake.set)

        self._store.database.listen(committed)
        thread = ThreadPoolExecutor(1, "tail")
        try:
            async with asyncio.TaskGroup() as tasks:
                if not self._store.database.is_sqlite:
                    tasks.create_task(self._hear())
                while True:
                    self._wake.clear()
                    await self._look(thread)
                    await asyncio.sleep(self._pause)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._poll):
                            await self._wake.wait()
        finally:
            thread.shutdown(wait=False, cancel_futures=True)

    def end(self) -> None:
        """Let go of all who wait."""
        self.ending = True
        self._tell()
        self._pace.wake_all()
        self._asked.set()

    async def wait(self, happened: Callable[[FeedState], bool], seconds: float) -> None:
        """Wait until something is so, but no longer than these seconds, nor beyond the end.

        Of many who wait for the same, a few go on at a time: between them, others get their turn on the event loop.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.ending and (self.state is None or not happened(self.state)):
                    news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting[news] = None
                    try:
                        await news
                    finally:
                        self._waiting.pop(news, None)

    async def confirm(self, seconds: float) -> None:
        """Wait until the database was asked anew, but no longer than these seconds, nor beyond the end.

        Somebody knows more than this process does: another control plane said it to them a moment ago.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for _ in range(2):  # the question that is under way may have been asked before
                    if not self.ending:
                        asked = self._asked
                        self._wake.set()
                        await asked.wait()

    def after(self, position: int, limit: int) -> list[FeedLine] | None:
        """The lines after a position, as far as they are in memory; none where memory does not go back so far."""
        if self.state is None or position > self.state.head.position:
            return None
        first = self.state.head.position - len(self._lines)
        if position < first:
            return None
        return self._lines[position - first : position - first + limit]

    async def _look(self, thread: ThreadPoolExecutor) -> None:
        """Ask the database for what is new, until there is no more."""
        loop = asyncio.get_running_loop()
        more = True
        while more:
            try:
                more = self._take(*await loop.run_in_executor(thread, self._read))
            except Exception as error:  # noqa: BLE001 - following goes on, whatever happens
                self.failures += 1
                if not self.failing:
                    _log.warning("cannot read the feed", error=str(error))
                self.failing = True
                return
            if self.failing:
                _log.info("reading the feed again")
            self.failing = False

    def _read(self) -> tuple[FeedPage, Instant]:
        now = self._store.clock()
        with self._store.database.reading() as session:
            after = -1 if self.state is None else self.state.head.position
            page = read_page(session, after, limit=_PAGE, max_bytes=_PAGE_BYTES)
            if not self._store.database.is_sqlite and is_read_only(session):
                self._store.database.refuse()
            return page, now

    def _take(self, page: FeedPage, now: Instant) -> bool:
        """Take over what was read, and say whether there is more."""
        before = self.state
        reached = page.head
        if before is None or not _follows(before.head, page):
            # The beginning; or a database put back to an earlier state; or a floor that rose beyond what is known.
            self._lines, self._bytes = [], 0
        elif page.lines:
            self._lines += page.lines
            self._bytes += sum(len(line.line) for line in page.lines)
            last = page.lines[-1]
            reached = reached._replace(position=last.position, chain=last.chain, publication=last.publication)
        self.state = FeedState(reached, page.head.position, now)
        self._drop()
        self._asked.set()
        self._asked = asyncio.Event()
        if before is None or reached[:2] != before.head[:2]:
            self._tell()
        return reached.position < page.head.position

    def _tell(self) -> None:
        """Have those who wait look again."""
        waiting, self._waiting = self._waiting, {}
        self._pace.wake(waiting)

    def _drop(self) -> None:
        """Forget the oldest lines beyond the bounds, and those that nobody may have any more."""
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

    async def _hear(self) -> None:
        """Be woken by other control planes; where that is lost, begin again. Meanwhile the database is polled."""
        pause, is_told = _RECONNECT_AFTER, False
        while True:
            try:
                async with aclosing(notifications(self._store.database)) as heard:
                    await anext(heard)
                    _raise_if_canceled()
                    await self._hear_on(heard)
            except Exception as error:  # noqa: BLE001 - whatever it is, polling goes on
                if self.listening:
                    pause, is_told = _RECONNECT_AFTER, False
                if not is_told:
                    _log.warning("LISTEN does not work; polling for changes of other instances", error=str(error))
                is_told = True
            self.listening = False
            await asyncio.sleep(pause)
            pause = min(2 * pause, _RECONNECT_AT_LAST)

    async def _hear_on(self, heard: AsyncGenerator[None]) -> None:
        """Be woken, for as long as notifications arrive, which is tried in silence: a pooler loses them unsaid.

        Raises:
            StoreError: they do not.
        """
        coming = asyncio.create_task(_next(heard))
        is_tried = await self._call()
        try:
            while True:
                done, _ = await asyncio.wait([coming], timeout=_ARRIVES_WITHIN if is_tried else _SILENCE)
                if done:
                    coming.result()
                    coming = asyncio.create_task(_next(heard))
                    if not self.listening:
                        _log.info("LISTEN works; notified of changes of other instances")
                    self.listening, is_tried = True, False
                    self._wake.set()
                elif is_tried:
                    raise StoreError("notifications do not arrive: perhaps a pooler is in transaction mode")
                else:
                    is_tried = await self._call()
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def _call(self) -> bool:
        """Have this process notified, and say whether that could be sent."""
        try:
            await asyncio.to_thread(self._store.database.call)
        except StoreError:  # it takes no changes now, or is away
            return False
        return True


def _raise_if_canceled() -> None:
    """Raise if this task was canceled while it connected.

    `asyncio.wait_for` of Python 3.11, on which psycopg waits, drops a cancellation that comes at the same moment as the
    socket's event (https://github.com/python/cpython/issues/81839).

    Raises:
        CancelledError: it was.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _next(heard: AsyncGenerator[None]) -> None:
    await anext(heard)


def _follows(before: FeedHead, page: FeedPage) -> bool:
    """Say whether a page goes on where `before` ended."""
    if page.lines:
        first = page.lines[0]
        return extend_chain(before.chain, line_digest(first.line)) == first.chain
    return (page.head.position, page.head.chain) == (before.position, before.chain)
