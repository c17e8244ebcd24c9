"""Pages of the feed as they are sent: lines after a position and the signed head that closes them.

Readers who are near the end are served from the tail in memory, and one body is made for all who know as much and
wake together. Those who are far behind are served from the database, once for all who ask the same at once.
"""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import cachetools
from starlette.concurrency import run_in_threadpool

from tiergate.feed.lines import head_line
from tiergate.store.feed_reader import read_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.control.feed_api.feed_watcher import FeedState, FeedWatcher
    from tiergate.control.feed_api.head_signer import HeadSigner
    from tiergate.model import Instant
    from tiergate.store import FeedHead, Store
    from tiergate.store.feed_reader import FeedLine, FeedPage

MAX_LINES: Final = 10_000
"""Most lines of a page."""

_MAX_BYTES: Final = 16 * 1024**2
_KEPT_BYTES: Final = 64 * 1024**2
_WORTH_PACKING: Final = 4 * 1024
_SLOW_TO_PACK: Final = 64 * 1024
_LEVEL: Final = 3


@dataclass(frozen=True)
class PageBody:
    """A page's bytes, and the position that it ends at."""

    content: bytes
    position: int

    @cached_property
    def packed(self) -> bytes:
        """The same, packed by gzip."""
        return gzip.compress(self.content, _LEVEL, mtime=0)

    async def encoded(self, accepted: str) -> tuple[bytes, str]:
        """The bytes for a reader who accepts these encodings, and the encoding, if there is one."""
        if len(self.content) < _WORTH_PACKING or "gzip" not in accepted:
            return self.content, ""
        if len(self.content) < _SLOW_TO_PACK or "packed" in self.__dict__:
            return self.packed, "gzip"
        return await run_in_threadpool(lambda: self.packed), "gzip"


class FeedPages:
    """Makes pages of one store's feed. Belongs to the event loop that the tail runs on."""

    def __init__(self, store: Store, tail: FeedWatcher, heads: HeadSigner) -> None:
        self._store, self._tail, self._heads = store, tail, heads
        self._bodies: cachetools.LRUCache[tuple[int, int, bytes], PageBody] = cachetools.LRUCache(
            _KEPT_BYTES, getsizeof=lambda body: 2 * len(body.content) + 1_000
        )
        self._reading: dict[tuple[int, int], asyncio.Task[tuple[FeedPage, Instant]]] = {}

    async def after(self, position: int, limit: int) -> PageBody | None:
        """The page after a position that is at or before the tail's end; none where the floor has risen above it."""
        state = self._tail.state
        lines = self._tail.after(position, limit)
        if state is not None and lines is not None:
            return self._body(position, _bounded(lines), state.head, latest=state.latest, at=state.confirmed_at)
        page, at = await self._from_database(position, limit)
        if position < page.head.floor:
            return None
        return self._body(position, page.lines, page.head, latest=page.head.position, at=at)

    def snapshot_head(self, state: FeedState, position: int, chain: str, publication: int, manifest: str) -> bytes:
        """The envelope of the head that vouches for a snapshot."""
        return self._heads.head(
            position, chain, publication, latest=state.latest, at=state.confirmed_at, snapshot=manifest
        )

    def _body(self, after: int, lines: Sequence[FeedLine], end: FeedHead, *, latest: int, at: Instant) -> PageBody:
        position, chain, publication = end.position, end.chain, end.publication
        if lines:
            position, _, chain, publication = lines[-1]
        head = self._heads.head(position, chain, publication, latest=latest, at=at)
        key = (after, position, head)
        body = self._bodies.get(key)
        if body is None:
            parts = [line.line for line in lines]
            body = PageBody(b"\n".join([*parts, head_line(head), b""]), position)
            if len(body.content) < _KEPT_BYTES // 4:
                self._bodies[key] = body
        return body

    async def _from_database(self, position: int, limit: int) -> tuple[FeedPage, Instant]:
        key = (position, limit)
        task = self._reading.get(key)
        if task is None:
            task = asyncio.create_task(run_in_threadpool(self._read, position, limit))
            self._reading[key] = task
            task.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(task)

    def _read(self, position: int, limit: int) -> tuple[FeedPage, Instant]:
        now = self._store.clock()
        with self._store.database.reading() as session:
            return read_page(session, position, limit=limit, max_bytes=_MAX_BYTES), now


def _bounded(lines: list[FeedLine]) -> list[FeedLine]:
    """As many of the lines as a page may hold bytes, but always one."""
    size = 0
    for count, line in enumerate(lines):
        size += len(line.line)
        if size > _MAX_BYTES and count:
            return lines[:count]
    return lines
