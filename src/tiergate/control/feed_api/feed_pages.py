"""Pages of the feed as they are sent: lines after a position, and the signed head that ends them.

Readers near the end are served from memory, and readers at the same position share one body. Readers far behind are
served from the database; simultaneous requests for the same page share one query. Heads are signed on demand, and at
most once a second for the same position.

INVARIANT (a head is true): a head states the end of the feed at `issued_at`, which is an instant at which the database
was read, never the clock of the signing process. Sidecars count the age of their data from it.
"""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import cachetools
from starlette.concurrency import run_in_threadpool

from tiergate.bundle import Head
from tiergate.feed.lines import head_line
from tiergate.store.feed_reader import read_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.bundle import SubjectStatement
    from tiergate.control.feed_api.feed_watcher import FeedWatcher
    from tiergate.model import Instant
    from tiergate.publish.signer import Signer
    from tiergate.store import FeedHead, Store
    from tiergate.store.feed_reader import FeedLine, FeedPage


MAX_LINES: Final = 10_000
"""Most lines of a page."""

_MAX_BYTES: Final = 16 * 1024**2
_KEPT_BYTES: Final = 64 * 1024**2
_MIN_COMPRESSED: Final = 4 * 1024
_SLOW_TO_COMPRESS: Final = 64 * 1024
_LEVEL: Final = 3


@dataclass(frozen=True)
class PageBody:
    """The bytes of a page, and the position of its end."""

    content: bytes
    position: int

    @cached_property
    def compressed(self) -> bytes:
        """The bytes, compressed by gzip."""
        return gzip.compress(self.content, _LEVEL, mtime=0)

    async def encoded(self, accepted: str) -> tuple[bytes, str]:
        """Return the bytes for a reader that accepts these encodings, and the encoding, if there is one."""
        if len(self.content) < _MIN_COMPRESSED or "gzip" not in accepted:
            return self.content, ""
        if len(self.content) < _SLOW_TO_COMPRESS or "compressed" in self.__dict__:
            return self.compressed, "gzip"
        return await run_in_threadpool(lambda: self.compressed), "gzip"


class FeedPages:
    """Builds pages of one store's feed. Belongs to the event loop of the watcher."""

    def __init__(self, store: Store, watcher: FeedWatcher, signer: HeadSigner) -> None:
        self._store, self._watcher, self._signer = store, watcher, signer
        self._bodies: cachetools.LRUCache[tuple[int, int, bytes], PageBody] = cachetools.LRUCache(
            _KEPT_BYTES, getsizeof=lambda body: 2 * len(body.content) + 1_000
        )
        self._reading: dict[tuple[int, int], asyncio.Task[tuple[FeedPage, Instant]]] = {}

    async def after(self, position: int, limit: int) -> PageBody | None:
        """Return the page after a position, at most at the end of the feed; none if the floor is above it."""
        state = self._watcher.state
        lines = self._watcher.after(position, limit)
        if state is not None and lines is not None:
            return self._body(position, _bounded(lines), state.head, latest=state.latest, at=state.confirmed_at)
        page, at = await self._from_database(position, limit)
        if position < page.head.floor:
            return None
        return self._body(position, page.lines, page.head, latest=page.head.position, at=at)

    def _body(self, after: int, lines: Sequence[FeedLine], end: FeedHead, *, latest: int, at: Instant) -> PageBody:
        position, chain, publication = end.position, end.chain, end.publication
        if lines:
            position, _, chain, publication = lines[-1]
        head = self._signer.head(position, chain, publication, latest=latest, at=at)
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
    """Return as many lines as the bytes of a page allow, but at least one."""
    size = 0
    for count, line in enumerate(lines):
        size += len(line.line)
        if size > _MAX_BYTES and count:
            return lines[:count]
    return lines


_KEPT: Final = 256
_FRESH_MS: Final = 1_000


class HeadSigner:
    """Signs heads and statements of one store."""

    def __init__(self, store: str, signer: Signer) -> None:
        """Sign for the store with this id."""
        self.store = store
        self._signer = signer
        self._signed: cachetools.LRUCache[tuple[int, int, str | None], tuple[Instant, bytes]] = cachetools.LRUCache(
            _KEPT
        )

    def head(
        self, position: int, chain: str, publication: int, *, latest: int, at: Instant, snapshot: str | None = None
    ) -> bytes:
        """Return the envelope of a head, signed within the second before `at`. Call it from one thread."""
        key = (position, latest, snapshot)
        issued_at, envelope = self._signed.get(key, (0, b""))
        if not envelope or not 0 <= at - issued_at < _FRESH_MS:
            envelope = self._signer.sign(
                Head(
                    store=self.store,
                    issued_at=at,
                    position=position,
                    chain=chain,
                    latest=latest,
                    publication=publication,
                    snapshot=snapshot,
                )
            )
            self._signed[key] = (at, envelope)
        return envelope

    def subject(self, statement: SubjectStatement) -> bytes:
        """Return the envelope of a statement about one subject."""
        return self._signer.sign(statement)
