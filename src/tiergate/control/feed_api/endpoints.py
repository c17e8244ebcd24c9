"""The endpoints for sidecars: changes of the feed, the active publication, bundles, snapshots, single subjects.

Everything here is signed, or hashes to something signed: a machine in between can withhold content, and nothing else.
Documented in docs/reference/sync-api.md.

If the database cannot be used, or was never read, it is a `StoreError`.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from starlette.concurrency import run_in_threadpool

from tiergate.bundle import SubjectStatement
from tiergate.control.api.request import AdminRequest, Response
from tiergate.control.api.router import Endpoint
from tiergate.control.feed_api.feed_pages import MAX_LINES, FeedPages
from tiergate.errors import ConflictError, NotFoundError, OperatorError, RequestError, StoreError
from tiergate.feed.lines import head_line
from tiergate.model import SubjectRecord, SubjectType
from tiergate.naming import is_subject_id
from tiergate.permissions import Action, Resource
from tiergate.store.feed_reader import publication_envelope
from tiergate.store.snapshots import subject_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.control.feed_api.bundle_archives import BundleArchives
    from tiergate.control.feed_api.feed_pages import HeadSigner
    from tiergate.control.feed_api.feed_watcher import FeedState, FeedWatcher
    from tiergate.control.feed_api.snapshots import Snapshots, StoredSnapshot
    from tiergate.store import ReadUnit, Store

MAX_WAIT: Final = 30.0
"""Most seconds that a request waits for a change."""

_LINES: Final = 5_000
_CONFIRM_SECONDS: Final = 2.0
_IMMUTABLE: Final = "private, max-age=31536000, immutable"
_SECONDS: Final = re.compile(r"[0-9]{1,5}(\.[0-9]{1,6})?")
_KINDS: Final = {"customers": SubjectType.CUSTOMER, "subscriptions": SubjectType.SUBSCRIPTION}

_record = msgspec.json.Decoder(SubjectRecord).decode

_log = structlog.get_logger(__name__)


class FeedApi:
    """The sync API of one store. Belongs to the event loop of the watcher."""

    def __init__(
        self,
        store: Store,
        watcher: FeedWatcher,
        signer: HeadSigner,
        snapshots: Snapshots,
        archives: BundleArchives,
        *,
        max_waiting: int = 5_000,
        lines_between_snapshots: int = 50_000,
    ) -> None:
        """Compose. `max_waiting`: the number of requests that may wait at the same time.

        `lines_between_snapshots`: a new snapshot is created when the newest one is more lines behind the end of the
        feed than this, and than a quarter of the customers.
        """
        self._store, self._watcher, self._signer = store, watcher, signer
        self._snapshots, self.archives = snapshots, archives
        self._pages = FeedPages(store, watcher, signer)
        self._max_waiting = max_waiting
        self._between = lines_between_snapshots
        self._creating: asyncio.Task[StoredSnapshot] | None = None
        self._envelope = (0, b"")
        self.waiting = 0

    def endpoints(self) -> list[Endpoint]:
        """Return the routes."""

        def route(path: str, handler: object, *query: str) -> Endpoint:
            return Endpoint("GET", f"/v1/sync/{path}", Action.SYNC, handler, Resource.store(), query)  # type: ignore[arg-type]

        return [
            route("changes", self.changes, "after", "wait", "limit"),
            route("publication", self.publication, "after", "wait"),
            route("bundles/{revision}", self.bundle, "have"),
            route("snapshot", self.snapshot),
            route("snapshot/pages/{sha256}", self.snapshot_page),
            route("subjects/{kind}/{subject}", self.subject),
        ]

    async def changes(self, request: AdminRequest) -> Response:
        """Follow the feed: its lines after a position and a signed head. Waits if there are none yet."""
        after = request.number("after", 0, least=0, most=2**62)
        limit = min(request.number("limit", _LINES, least=1, most=10**9), MAX_LINES)
        wait = _seconds(request)
        state = await self._state_reaching(after)
        if after == state.head.position and wait:
            with self._count_waiting():
                await self._watcher.wait(lambda now: now.head.position > after, wait)
        body = None if self._state().head.floor > after else await self._pages.after(after, limit)
        if body is None:
            raise RequestError(
                410, "resync needed", f"the feed begins after position {self._state().head.floor}: take a snapshot"
            )
        content, encoding = await body.encoded(request.headers.get("accept-encoding", ""))
        headers = {"content-type": "application/x-ndjson", "vary": "accept-encoding"}
        return Response(200, content, headers | ({"content-encoding": encoding} if encoding else {}))

    async def publication(self, request: AdminRequest) -> Response:
        """Get the signed active publication. Waits if there is none after a given sequence yet."""
        after = request.number("after", 0, least=0, most=2**62)
        wait = _seconds(request)
        state = await self._state_reaching(0)
        if state.head.publication <= after and wait:
            with self._count_waiting():
                await self._watcher.wait(lambda now: now.head.publication > after, wait)
        sequence = self._state().head.publication
        if not sequence:
            raise NotFoundError("publication", str(after + 1))
        headers = {"content-type": "application/json", "etag": f'"{sequence}"'}
        if request.is_fresh(sequence):
            return Response(304, headers={"etag": headers["etag"]})
        if self._envelope[0] != sequence:
            self._envelope = (sequence, await run_in_threadpool(self._read_envelope, sequence))
        return Response(200, self._envelope[1], headers)

    def bundle(self, request: AdminRequest) -> Response:
        """Get a bundle as a zip: all of its files, or only those that differ from a bundle that the caller has."""
        revision = request.params["revision"]
        content = self.archives.get(revision, request.query.get("have", ""))
        return Response(200, content, {"content-type": "application/zip", "cache-control": _IMMUTABLE})

    async def snapshot(self, request: AdminRequest) -> Response:  # noqa: ARG002 - as every handler
        """Get the newest snapshot of all subjects, or a new one: a signed head and the manifest of its pages."""
        state = await self._state_reaching(0)
        snapshot = await run_in_threadpool(self._snapshots.newest)
        if snapshot is None or self._is_outdated(snapshot, state):
            creating = self._create_snapshot(state.head.position)
            if snapshot is None:
                snapshot = await asyncio.shield(creating)
        content = head_line(self.snapshot_head(snapshot)) + b"\n" + snapshot.content + b"\n"
        return Response(200, content, {"content-type": "application/x-ndjson"})

    def snapshot_page(self, request: AdminRequest) -> Response:
        """Get one page of a snapshot."""
        sha256 = request.params["sha256"]
        headers = {"content-type": "application/gzip", "cache-control": _IMMUTABLE, "etag": f'"{sha256}"'}
        return Response(200, self._snapshots.page(sha256), headers)

    def subject(self, request: AdminRequest) -> Response:
        """Get the signed record of one customer or subscription."""
        kind, id_ = _KINDS.get(request.params["kind"]), request.params["subject"]
        if kind is None or not is_subject_id(id_):
            raise NotFoundError("kind of subject", request.params["kind"])
        return Response(200, self._store.read(lambda unit: self._subject(unit, kind, id_)), _JSON)

    def snapshot_head(self, snapshot: StoredSnapshot) -> bytes:
        """Return the envelope of a head, signed now, that names a snapshot."""
        state = self._state()
        manifest = snapshot.manifest
        return self._signer.head(
            manifest.position,
            manifest.chain,
            snapshot.publication,
            latest=max(state.latest, manifest.position),
            at=state.confirmed_at,
            snapshot=snapshot.sha256,
        )

    async def refresh_snapshot(self, max_age: float | None = None) -> StoredSnapshot:
        """Return a snapshot that is recent enough, and create it if necessary; for a background job.

        `max_age`: in seconds, of a snapshot after which anything has changed, for readers who cannot follow the feed.
        One from before the first publication is of no use to them at any age.
        """
        state = await self._state_reaching(0)
        await run_in_threadpool(self._snapshots.remove_outdated)
        snapshot = await run_in_threadpool(self._snapshots.newest)
        if snapshot is None or self._is_outdated(snapshot, state) or self._is_too_old(snapshot, state, max_age):
            snapshot = await asyncio.shield(self._create_snapshot(state.head.position))
        return snapshot

    def _create_snapshot(self, position: int) -> asyncio.Task[StoredSnapshot]:
        """Create a snapshot in a thread, one at a time."""
        if self._creating is None or self._creating.done():
            self._creating = asyncio.create_task(run_in_threadpool(self._snapshots.create, position))
            self._creating.add_done_callback(_log_failure)
        return self._creating

    def _is_outdated(self, snapshot: StoredSnapshot, state: FeedState) -> bool:
        """Return whether a new snapshot is worth its cost, which grows with the number of customers."""
        behind = state.head.position - snapshot.manifest.position
        return behind > max(self._between, snapshot.manifest.customers // 4)

    def _is_too_old(self, snapshot: StoredSnapshot, state: FeedState, max_age: float | None) -> bool:
        """Return whether a snapshot is too old for readers who cannot follow the feed."""
        if max_age is None or snapshot.manifest.position >= state.head.position:
            return False
        is_blank = not snapshot.publication and state.head.publication > 0
        return is_blank or self._store.clock() - snapshot.created_at >= max_age * 1000

    def _state(self) -> FeedState:
        if self._watcher.state is None:
            raise StoreError("the feed was not read yet")
        return self._watcher.state

    async def _state_reaching(self, position: int) -> FeedState:
        """Return the state of the feed, which reaches the position of a reader; reads the database if necessary."""
        if self._watcher.state is None:
            await self._watcher.confirm(_CONFIRM_SECONDS)
        state = self._state()
        if position > state.head.position:
            await self._watcher.confirm(_CONFIRM_SECONDS)
            state = self._state()
        if position > state.head.position:
            detail = f"position {position} is beyond the end of the feed, {state.head.position}"
            raise ConflictError("ahead-of-store", detail)
        return state

    @contextmanager
    def _count_waiting(self) -> Iterator[None]:
        if self.waiting >= self._max_waiting:
            raise RequestError(503, "too many readers", f"{self._max_waiting} requests wait already")
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def _read_envelope(self, sequence: int) -> bytes:
        envelope = self._store.read(lambda unit: publication_envelope(unit.session, sequence))
        if envelope is None:
            raise StoreError(f"the store has no publication {sequence}, which its feed names")
        return envelope

    def _subject(self, unit: ReadUnit, kind: SubjectType, id_: str) -> bytes:
        position = unit.head().position
        content = subject_record(unit.session, kind, id_)
        return self._signer.subject(
            SubjectStatement(
                store=self._store.id,
                issued_at=unit.now,
                position=position,
                type=kind,
                id=id_,
                record=None if content is None else _record(content),
            )
        )


_JSON: Final = {"content-type": "application/json"}


def _seconds(request: AdminRequest) -> float:
    """Return how long the request waits."""
    text = request.query.get("wait", "0")
    if not _SECONDS.fullmatch(text):
        raise RequestError(400, "invalid request", "`wait` must be a number of seconds")
    return min(float(text), MAX_WAIT)


def _log_failure(task: asyncio.Task[StoredSnapshot]) -> None:
    error = None if task.cancelled() else task.exception()
    if isinstance(error, OperatorError):
        _log.warning("cannot create a snapshot", error=str(error))
    elif error is not None:
        _log.error("cannot create a snapshot", exc_info=error)
